//! What runbooks look at.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use holdfast_proto::names::DatabaseName;

use crate::{
    catalog::{Backup, BackupKind},
    data_store::{DataStore, Event, EventKind, Known, Observed, observe},
    detect::{Finding, HostFacts},
    incident::Incident,
    job::{JobId, JobState},
};

/// One incident, and everything that its runbook may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    pub incident: Incident,
    /// All of its findings, the oldest first.
    pub findings: Vec<Finding>,
    /// When the check that a finding is about was well for the last time, by the finding's key.
    pub last_ok: BTreeMap<String, DateTime<Utc>>,
    /// The service that it is about.
    pub service: Option<Known>,
    /// What it lay on, the newest line first.
    pub history: Vec<Event>,
    /// Where that is.
    pub host: Option<HostFacts>,
    /// Every name that the service has or had: "web-1/shop-db", "web-1/shop_data".
    pub names: Vec<String>,
    /// Of the databases under those names, the newest first.
    pub backups: Vec<Backup>,
    /// How many runbooks of the incident were over before this one.
    pub round: u32,
    /// By the step's name; of several attempts the last.
    pub begun: BTreeMap<String, Begun>,
    pub now: DateTime<Utc>,
}

/// A step that somebody has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub by: String,
    pub at: DateTime<Utc>,
    /// Why it was left out instead.
    pub left_out: Option<String>,
    /// None: done by hand, or at once.
    pub job: Option<JobOfStep>,
    /// How often it was begun, this one counted.
    pub attempts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOfStep {
    pub id: JobId,
    pub state: JobState,
    /// Why it failed.
    pub reason: String,
    /// It is a restore in the place of something.
    pub replaces: bool,
}

impl JobOfStep {
    /// It can be begun once more.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state.has_ended() && self.state != JobState::Succeeded
    }
}

impl Situation {
    /// The job of a step that succeeded.
    fn succeeded(&self, step: &str) -> Option<JobId> {
        let job = self.begun.get(step)?.job.as_ref()?;
        (job.state == JobState::Succeeded).then_some(job.id)
    }

    /// The backup that a step's job has made.
    #[must_use]
    pub fn made_by(&self, step: &str) -> Option<&Backup> {
        let job = self.succeeded(step)?;
        self.backups.iter().find(|backup| backup.job == Some(job))
    }

    /// The newest good one of the service's whole database that was made before then. A restore proves what it brings,
    /// so it need not be proven; the newest proven one takes its place once `step` has failed with it.
    #[must_use]
    pub fn best_before(&self, database: &str, then: DateTime<Utc>, step: &str) -> Option<&Backup> {
        let fits = |backup: &&Backup| {
            let DatabaseName {
                host,
                instance,
                database: name,
            } = &backup.database;
            name == database
                && self.names.contains(&format!("{host}/{instance}"))
                && backup.taken_at < then
                && backup.kind == BackupKind::Full
                && backup.state.is_good()
                // What only retention has marked is there for a while.
                && backup.deletion.is_none()
                && backup.removed_at.is_none()
                && self.was_own(backup.taken_at)
        };
        let mut good = self.backups.iter().filter(fits);
        let begun = self.begun.get(step);
        let has_failed = begun.is_some_and(|begun| {
            begun.attempts > 1 || begun.job.as_ref().is_some_and(JobOfStep::has_failed)
        });
        let mut proven = good.clone().filter(|backup| backup.proven_at.is_some());
        let proven = has_failed.then(|| proven.next()).flatten();
        proven.or_else(|| good.next())
    }

    /// What was read then were the service's own data: it did not lie on others, or those were accepted.
    fn was_own(&self, at: DateTime<Utc>) -> bool {
        let mut next = None;
        for event in &self.history {
            let is_swap = match event.kind {
                EventKind::Changed => continue,
                EventKind::Swapped => true,
                EventKind::FirstSeen | EventKind::Returned | EventKind::Accepted => false,
            };
            if event.at <= at {
                return !is_swap || next == Some(EventKind::Accepted);
            }
            next = Some(event.kind);
        }
        true
    }

    /// The service lies on these data now, as far as anybody can see.
    #[must_use]
    pub fn lies_on(&self, store: &DataStore) -> bool {
        self.service.as_ref().is_some_and(|service| {
            let swapped = service.swapped.as_ref();
            let now = swapped.map_or(&service.accepted, |swapped| &swapped.store);
            now.same_data(store) == Some(true)
        })
    }

    /// The service as it is seen now.
    #[must_use]
    pub fn seen(&self) -> Option<Observed> {
        let name = &self.service.as_ref()?.instance;
        let seen = observe(std::slice::from_ref(self.host.as_ref()?), &[]);
        seen.into_iter().find(|one| one.name.instance == *name)
    }

    /// Its server answers.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.seen().is_some_and(|seen| seen.contents.is_some())
    }

    /// Of the incident, and of these kinds, the first that lasts.
    #[must_use]
    pub fn open(&self, kinds: &[&str]) -> Option<&Finding> {
        let mut findings = self.findings.iter();
        findings
            .find(|finding| finding.closed_at.is_none() && kinds.contains(&finding.kind.as_str()))
    }
}
