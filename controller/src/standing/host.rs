//! How a host as a whole stands: when everything of it was brought back, and its repository read, for the last time.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    drill::{DrillKind, Verdict},
    names::HostName,
};

use super::{DatabaseStanding, Gathered, as_run, ended, obstacle};
use crate::{
    catalog::{Drill, ScheduledRun},
    detect::HostFacts,
    job::rebuild_host::choose::place,
    policy::{HostPlan, Plan},
    schedule::{Decision, Item, Run, Scheduled, Work},
};

#[derive(Debug, Clone, PartialEq)]
pub struct HostStanding {
    pub host: HostName,
    pub plan: HostPlan,
    /// Where it is rebuilt.
    pub place: HostName,
    /// There is something to drill since then: a good backup, under the policies of now. None: there is none.
    pub since: Option<DateTime<Utc>>,
    /// Of it as a whole, newest first.
    pub drills: Vec<Drill>,
    /// Newest first.
    pub runs: Vec<ScheduledRun>,
    /// What its plan wants done, and how that stands.
    pub work: Vec<Decision>,
}

/// Every host of the fleet. `databases`: all that are known, by name.
pub(super) fn all(
    hosts: &[HostFacts],
    gathered: &Gathered,
    databases: &[DatabaseStanding],
    now: DateTime<Utc>,
) -> Vec<HostStanding> {
    let applied = &gathered.applied;
    let mut oldest: BTreeMap<&HostName, DateTime<Utc>> = BTreeMap::new();
    for backup in &gathered.backups {
        if backup.kind.is_whole() && backup.state.is_good() && backup.taken_at <= now {
            let at = oldest.entry(&backup.database.host);
            let at = at.or_insert(backup.stored_at);
            *at = backup.stored_at.min(*at);
        }
    }
    let mut plans: BTreeMap<&HostName, Vec<&Plan>> = BTreeMap::new();
    for database in databases.iter().filter(|one| !one.subject.is_volume()) {
        let of = plans.entry(&database.subject.database.host).or_default();
        of.extend(database.plan());
    }
    let mut drills: BTreeMap<&HostName, Vec<Drill>> = BTreeMap::new();
    for drill in &gathered.host_drills {
        let of = drills.entry(drill.of.host()).or_default();
        of.push(drill.clone());
    }
    let mut runs: BTreeMap<&HostName, Vec<ScheduledRun>> = BTreeMap::new();
    for run in &gathered.runs {
        if let Scheduled::Host(host) = &run.of {
            runs.entry(host).or_default().push(run.clone());
        }
    }
    let standing = |facts: &HostFacts| {
        let host = &facts.name;
        let oldest = oldest.get(host).copied();
        HostStanding {
            host: host.clone(),
            plan: applied.set.hosts.of(host).clone(),
            place: place(&applied.set, host, plans.remove(host).unwrap_or_default()),
            since: oldest.map(|at| applied.at.map_or(at, |applied| applied.max(at))),
            drills: drills.remove(host).unwrap_or_default(),
            runs: runs.remove(host).unwrap_or_default(),
            work: Vec::new(),
        }
    };
    hosts.iter().map(standing).collect()
}

impl HostStanding {
    /// What has never been done begins within this time.
    #[must_use]
    pub fn first_within(work: Work) -> Duration {
        match work {
            Work::Offsite => Duration::from_hours(28 * 24),
            Work::Backup | Work::Drill | Work::Rebuild => Duration::from_hours(7 * 24),
        }
    }

    /// Its drills of this kind, newest first.
    pub fn drills_of(&self, work: Work) -> impl Iterator<Item = &Drill> {
        let drills = self.drills.iter();
        drills.filter(move |drill| of_kind(drill.of.kind()) == Some(work))
    }

    /// None: its plan does not want it, or there is nothing to drill.
    pub(super) fn item(&self, work: Work, hosts: &[HostFacts], now: DateTime<Utc>) -> Option<Item> {
        let timing = self.plan.timing(work)?.clone();
        let has_drill = |run: &&ScheduledRun| {
            let job = run.job.map(|(job, _)| job);
            self.drills.iter().any(|drill| Some(drill.job) == job)
        };
        let scheduled = self.runs.iter().filter(|run| run.work == work);
        let without = scheduled.filter(|run| !has_drill(run));
        let mut runs: Vec<Run> = without.map(|run| as_run(run, now)).collect();
        // By hand too. What came to a verdict was done, whatever it was: findings tell of it.
        runs.extend(self.drills_of(work).map(|drill| match &drill.ended {
            None => Run {
                started_at: drill.started_at,
                end: None,
            },
            Some(end) => {
                let well = end.verdict != Verdict::CouldNotRun;
                ended(drill.started_at, end.at, well)
            }
        }));
        Some(Item {
            of: Scheduled::Host(self.host.clone()),
            work,
            place: self.place.clone(),
            timing,
            since: self.since?,
            first_within: Self::first_within(work),
            runs,
            // Of its repository nothing is asked of the host.
            obstacle: match work {
                Work::Offsite => None,
                Work::Backup | Work::Drill | Work::Rebuild => obstacle::away(&self.place, hosts),
            },
        })
    }
}

/// None: it is not of a host as a whole.
fn of_kind(kind: DrillKind) -> Option<Work> {
    match kind {
        DrillKind::Rebuild => Some(Work::Rebuild),
        DrillKind::Offsite => Some(Work::Offsite),
        DrillKind::Backup => None,
    }
}

#[cfg(test)]
mod tests;
