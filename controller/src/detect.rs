//! Detectors: pure functions from what is and was to findings.
//!
//! One file a detector. [`Detector`] lists them; a finding is identified by its detector's name
//! and a key that stays the same for as long as the same thing is wrong.

use chrono::{DateTime, Utc};
use holdfast_proto::{
    fleet::{Container, Instance, InstanceHealth, Volume},
    names::HostName,
};

use crate::{
    catalog::Pruning,
    check::CheckState,
    fleet::{Fleet, HostState},
    job::JobSummary,
    standing::{DatabaseStanding, HostStanding},
};

pub mod anonymous_volume;
pub mod archiver;
pub mod check;
pub mod checksums;
pub mod connections;
pub mod damaged_backup;
pub mod disk;
pub mod engine;
pub mod host_silent;
pub mod instance_down;
pub mod job_stuck;
pub mod long_queries;
pub mod no_fresh_backup;
pub mod no_fresh_drill;
pub mod no_fresh_host_drill;
pub mod pruning_failing;
pub mod rpo_broken;
pub mod schedule_late;
pub mod slots;
pub mod transaction_ids;
pub mod unprotected;

/// Everything that detectors look at, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub hosts: Vec<HostFacts>,
    pub checks: Vec<CheckState>,
    /// Those that have not ended well: running ones and stuck ones.
    pub jobs: Vec<JobSummary>,
    /// Databases with their policies, backups and schedules.
    pub protection: Vec<DatabaseStanding>,
    /// Hosts as a whole, with what is drilled of them.
    pub whole_hosts: Vec<HostStanding>,
    /// Of every repository.
    pub prunings: Vec<Pruning>,
}

/// One host as it was reported last.
#[derive(Debug, Clone, PartialEq)]
pub struct HostFacts {
    pub name: HostName,
    pub connected: bool,
    pub enrolled_at: Option<DateTime<Utc>>,
    /// Last sign of life; none: it never connected.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Why the container engine could not be asked; empty when it could.
    pub engine_error: String,
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
    pub instances: Vec<Instance>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// None below the warning's limit.
    fn by_limits(value: u64, warning: u64, critical: u64) -> Option<Self> {
        if value >= critical {
            Some(Self::Critical)
        } else {
            (value >= warning).then_some(Self::Warning)
        }
    }
}

/// What a detector sees now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Name of the detector.
    pub kind: &'static str,
    pub key: String,
    pub severity: Severity,
    /// "web-1", "web-1/shop-db", "web-1/shop-db/shop".
    pub subject: String,
    pub message: String,
    /// Next command or deed; may be empty.
    pub advice: String,
}

/// A stored finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub id: u64,
    pub kind: String,
    pub key: String,
    pub severity: Severity,
    pub subject: String,
    pub message: String,
    pub advice: String,
    pub opened_at: DateTime<Utc>,
    /// None while open.
    pub closed_at: Option<DateTime<Utc>>,
}

impl Finding {
    /// It shows just this.
    #[must_use]
    pub fn shows(&self, seen: &Seen) -> bool {
        self.kind == seen.kind
            && self.key == seen.key
            && self.severity == seen.severity
            && self.subject == seen.subject
            && self.message == seen.message
            && self.advice == seen.advice
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detector {
    HostSilent,
    EngineUnreachable,
    InstanceDown,
    DiskFilling,
    LongQueries,
    TransactionIdAge,
    ArchiverFailing,
    SlotLag,
    ChecksumFailures,
    ConnectionsNearMax,
    Check,
    JobStuck,
    AnonymousVolume,
    Unprotected,
    NoFreshBackup,
    NoFreshDrill,
    NoFreshHostDrill,
    RpoBroken,
    ScheduleLate,
    DamagedBackup,
    PruningFailing,
}

impl Detector {
    pub const ALL: [Self; 21] = [
        Self::HostSilent,
        Self::EngineUnreachable,
        Self::InstanceDown,
        Self::DiskFilling,
        Self::LongQueries,
        Self::TransactionIdAge,
        Self::ArchiverFailing,
        Self::SlotLag,
        Self::ChecksumFailures,
        Self::ConnectionsNearMax,
        Self::Check,
        Self::JobStuck,
        Self::AnonymousVolume,
        Self::Unprotected,
        Self::NoFreshBackup,
        Self::NoFreshDrill,
        Self::NoFreshHostDrill,
        Self::RpoBroken,
        Self::ScheduleLate,
        Self::DamagedBackup,
        Self::PruningFailing,
    ];

    /// What this detector sees. `before`: the facts of its last look.
    #[must_use]
    pub fn look(self, before: &Facts, facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
        match self {
            Self::HostSilent => host_silent::look(facts, now),
            Self::EngineUnreachable => engine::look(facts),
            Self::InstanceDown => instance_down::look(facts, now),
            Self::DiskFilling => disk::look(facts),
            Self::LongQueries => long_queries::look(facts),
            Self::TransactionIdAge => transaction_ids::look(facts),
            Self::ArchiverFailing => archiver::look(facts, now),
            Self::SlotLag => slots::look(facts),
            Self::ChecksumFailures => checksums::look(before, facts),
            Self::ConnectionsNearMax => connections::look(facts),
            Self::Check => check::look(before, facts, now),
            Self::JobStuck => job_stuck::look(facts),
            Self::AnonymousVolume => anonymous_volume::look(facts),
            Self::Unprotected => unprotected::look(facts),
            Self::NoFreshBackup => no_fresh_backup::look(facts, now),
            Self::NoFreshDrill => no_fresh_drill::look(facts, now),
            Self::NoFreshHostDrill => no_fresh_host_drill::look(facts, now),
            Self::RpoBroken => rpo_broken::look(facts, now),
            Self::ScheduleLate => schedule_late::look(facts, now),
            Self::DamagedBackup => damaged_backup::look(facts, now),
            Self::PruningFailing => pruning_failing::look(facts, now),
        }
    }
}

/// What all detectors see.
#[must_use]
pub fn look(before: &Facts, facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    Detector::ALL
        .into_iter()
        .flat_map(|detector| detector.look(before, facts, now))
        .collect()
}

impl Facts {
    fn is_connected(&self, host: &HostName) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|known| known.connected && known.name == *host)
    }

    /// Instances that answer, with their host and full name.
    fn healthy(&self) -> impl Iterator<Item = (&HostFacts, String, &InstanceHealth)> {
        self.hosts.iter().flat_map(|host| {
            host.instances.iter().filter_map(move |instance| {
                let health = instance.health.as_ref().filter(|_| instance.is_up())?;
                Some((host, format!("{}/{}", host.name, instance.name), health))
            })
        })
    }
}

impl HostFacts {
    /// Of every host, as it was reported last.
    #[must_use]
    pub fn of_fleet(fleet: &Fleet) -> Vec<Self> {
        let hosts = fleet.hosts();
        hosts.iter().map(|host| Self::from(&**host)).collect()
    }
}

impl From<&HostState> for HostFacts {
    fn from(host: &HostState) -> Self {
        Self {
            name: host.name.clone(),
            connected: host.connected,
            enrolled_at: host.enrolled_at,
            last_seen_at: host.last_seen,
            engine_error: host.report.engine_error.clone(),
            containers: host.report.containers.values().cloned().collect(),
            volumes: host.report.volumes.values().cloned().collect(),
            instances: host.report.instances.values().cloned().collect(),
        }
    }
}

/// Whole percents, rounded down; none of nothing.
fn percent(part: u64, whole: u64) -> Option<u64> {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole))?;
    Some(u64::try_from(percent).unwrap_or(u64::MAX))
}

#[cfg(test)]
pub(crate) mod tests;
