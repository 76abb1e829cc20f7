//! Detectors: pure functions from what is and was to findings.
//!
//! One file a detector; [`DETECTORS`] lists them. A finding is identified by its [`Kind`] and a key that stays the
//! same for as long as the same thing is wrong.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{
    fleet::{Container, Instance, InstanceHealth, Volume},
    names::HostName,
};

use crate::{
    catalog::Pruning,
    check::CheckState,
    data_store::Known,
    fleet::{Fleet, HostState},
    job::JobSummary,
    standing::{DatabaseStanding, HostStanding},
};

pub mod anonymous_volume;
pub mod archiver;
pub mod beside_volume;
pub mod catalog_unhealthy;
pub mod check;
pub mod checksums;
pub mod clock_skew;
pub mod connections;
pub mod container_layer;
pub mod damaged_backup;
pub mod data_damaged;
pub mod database_gone;
pub mod disk;
pub mod double_mount;
pub mod engine;
mod finding;
pub mod home;
pub mod host_silent;
pub mod identity_swapped;
pub mod instance_down;
pub mod job_stuck;
pub mod long_queries;
pub mod no_fresh_backup;
pub mod no_fresh_drill;
pub mod no_fresh_host_drill;
pub mod pruning_failing;
pub mod replication;
pub mod repository_unreachable;
pub mod restart_loop;
pub mod rpo_broken;
pub mod same_identifier;
pub mod schedule_late;
pub mod slots;
pub mod transaction_ids;
pub mod unprotected;
pub mod unused_volume;
pub mod volume_gone;

pub(crate) use finding::kind;
pub use finding::{Evidence, Finding, Kind, Seen, Severity};

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
    /// What the data of each service shall lie on, and lie on.
    pub stores: Vec<Known>,
    /// What was found in the files of servers that do not answer.
    pub triages: Vec<data_damaged::Triaged>,
    pub ours: Ours,
}

/// What the controller itself stands on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ours {
    /// Under its state directory; none: nobody can tell.
    pub disk: Option<Disk>,
    /// Of the catalog's oldest.
    pub transaction_id_age: u64,
    /// That were asked for.
    pub repositories: usize,
    /// Those that could not be read, by host.
    pub unreachable: Vec<Unreachable>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    pub path: String,
    pub total_bytes: u64,
    pub free_bytes: u64,
}

/// A repository whose settings cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    pub host: HostName,
    pub location: String,
    pub since: DateTime<Utc>,
    pub error: String,
}

/// One host as it was reported last.
#[derive(Debug, Clone, PartialEq)]
pub struct HostFacts {
    pub name: HostName,
    pub connected: bool,
    pub enrolled_at: Option<DateTime<Utc>>,
    /// Last sign of life; none: it never connected.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// How far its clock is ahead of ours.
    pub clock_ahead: TimeDelta,
    /// Why the container engine could not be asked; empty when it could.
    pub engine_error: String,
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
    pub instances: Vec<Instance>,
}

/// What a detector looks at: now, and as it was at its last look.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    pub before: &'a Facts,
    pub facts: &'a Facts,
    pub now: DateTime<Utc>,
}

/// One that looks, and everything that it may see.
#[derive(Debug, Clone, Copy)]
pub struct Detector {
    pub kinds: &'static [Kind],
    pub look: fn(Moment<'_>) -> Vec<Seen>,
}

pub const DETECTORS: &[Detector] = &[
    anonymous_volume::DETECTOR,
    archiver::DETECTOR,
    beside_volume::DETECTOR,
    catalog_unhealthy::DETECTOR,
    check::DETECTOR,
    checksums::DETECTOR,
    clock_skew::DETECTOR,
    connections::DETECTOR,
    container_layer::DETECTOR,
    damaged_backup::DETECTOR,
    data_damaged::DETECTOR,
    disk::DETECTOR,
    double_mount::DETECTOR,
    engine::DETECTOR,
    host_silent::DETECTOR,
    instance_down::DETECTOR,
    job_stuck::DETECTOR,
    long_queries::DETECTOR,
    no_fresh_backup::DETECTOR,
    no_fresh_drill::DETECTOR,
    no_fresh_host_drill::DETECTOR,
    pruning_failing::DETECTOR,
    replication::DETECTOR,
    repository_unreachable::DETECTOR,
    restart_loop::DETECTOR,
    rpo_broken::DETECTOR,
    same_identifier::DETECTOR,
    schedule_late::DETECTOR,
    slots::DETECTOR,
    transaction_ids::DETECTOR,
    unprotected::DETECTOR,
    unused_volume::DETECTOR,
    database_gone::DETECTOR,
    volume_gone::DETECTOR,
    identity_swapped::DETECTOR,
];

/// What all detectors see.
#[must_use]
pub fn look(before: &Facts, facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let moment = Moment { before, facts, now };
    let detectors = DETECTORS.iter();
    detectors
        .flat_map(|detector| (detector.look)(moment))
        .collect()
}

/// Everything that may be found, by code.
#[must_use]
pub fn kinds() -> Vec<Kind> {
    let mut kinds: Vec<_> = DETECTORS
        .iter()
        .flat_map(|detector| detector.kinds)
        .copied()
        .collect();
    kinds.sort_by_key(|kind| kind.code);
    kinds
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
    /// The container that the instance runs in, or would.
    #[must_use]
    pub fn container_of(&self, instance: &Instance) -> Option<&Container> {
        let mut containers = self.containers.iter();
        containers.find(|container| container.name == instance.container)
    }

    /// Its agent is here, and could ask the container engine: what is not reported is not there.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.connected && self.engine_error.is_empty()
    }

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
            clock_ahead: host.clock_ahead,
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
