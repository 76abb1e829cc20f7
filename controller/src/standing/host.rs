//! How a host as a whole stands: when everything of it was brought back, and its repository read, for the last time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_proto::{
    drill::{DrillKind, Verdict},
    names::HostName,
};

use super::{Gathered, as_run, ended, obstacle};
use crate::{
    catalog::{Drill, ScheduledRun},
    detect::HostFacts,
    job::rebuild_host::choose::Inputs,
    policy::HostPlan,
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

impl HostStanding {
    pub(super) fn of(host: &HostName, gathered: &Gathered, now: DateTime<Utc>) -> Self {
        let set = &gathered.applied.set;
        let good = gathered.backups.iter().filter(|backup| {
            backup.database.host == *host
                && backup.kind.is_whole()
                && backup.state.is_good()
                && backup.taken_at <= now
        });
        let oldest = good.map(|backup| backup.stored_at).min();
        let inputs = Inputs {
            source: host,
            on: None,
            set,
            known: &gathered.known,
            backups: &gathered.backups,
            now,
        };
        let drills = gathered.host_drills.iter();
        let runs = gathered.runs.iter();
        Self {
            host: host.clone(),
            plan: set.hosts.of(host).clone(),
            place: inputs.place(),
            since: oldest.map(|at| gathered.applied.at.map_or(at, |applied| applied.max(at))),
            drills: drills
                .filter(|drill| drill.of.host() == host)
                .cloned()
                .collect(),
            runs: runs
                .filter(|run| run.of == Scheduled::Host(host.clone()))
                .cloned()
                .collect(),
            work: Vec::new(),
        }
    }

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
