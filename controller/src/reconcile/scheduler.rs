//! Starts what is due: one controller at a time looks, and each moment is claimed once in the catalog.
//!
//! Databases of hosts that are connected to another controller are that one's to start: here they only
//! look as if their host were away.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::names::{DatabaseName, HostName};
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::{Catalog, CatalogError, SCHEDULING, requested_by},
    detect::HostFacts,
    fleet::Fleet,
    job::JobId,
    policy::roll_call,
    reconcile::policy_checks,
    retention::removal::{self, Step},
    schedule::{Scheduled, Verdict, Work},
    standing::{gather, retain, stand},
};

mod jobs;
mod pruning;

/// Schedules have minutes: a start is this late at most.
const EVERY: Duration = Duration::from_secs(10);

/// Makes a job of what is due. The scheduler's own name is `requested_by`, and goes into the job as who asked
/// for it: a controller that dies before it has noted the job finds it by that.
#[async_trait]
pub trait Start: Send + Sync + std::fmt::Debug {
    /// # Errors
    /// When no job could be submitted; it is tried again after a pause.
    async fn backup(
        &self,
        database: &DatabaseName,
        requested_by: &str,
    ) -> Result<JobId, NotStarted>;

    /// Of the newest good backup.
    ///
    /// # Errors
    /// As [`Self::backup`].
    async fn drill(&self, database: &DatabaseName, requested_by: &str)
    -> Result<JobId, NotStarted>;

    /// Of everything of the host.
    ///
    /// # Errors
    /// As [`Self::backup`], but for the pauses: days.
    async fn rebuild(&self, host: &HostName, requested_by: &str) -> Result<JobId, NotStarted>;

    /// Of every byte of the host's repository.
    ///
    /// # Errors
    /// As [`Self::rebuild`].
    async fn offsite(&self, host: &HostName, requested_by: &str) -> Result<JobId, NotStarted>;

    /// Of the host's repository.
    ///
    /// # Errors
    /// As [`Self::backup`], but for the pause: a day.
    async fn prune(&self, host: &HostName, requested_by: &str) -> Result<JobId, NotStarted>;
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotStarted(pub String);

/// What one look has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub of: Scheduled,
    pub work: Work,
    pub slot: DateTime<Utc>,
    /// None: it could not be submitted.
    pub job: Option<JobId>,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scheduler {
    catalog: Catalog,
    fleet: Fleet,
    start: Arc<dyn Start>,
}

impl Scheduler {
    #[must_use]
    pub fn new(catalog: Catalog, fleet: Fleet, start: Arc<dyn Start>) -> Self {
        Self {
            catalog,
            fleet,
            start,
        }
    }

    /// Runs until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut failing = false;
        let until_next = || tokio::time::sleep(EVERY);
        while stop.run_until_cancelled(until_next()).await.is_some() {
            match self.pass().await {
                Ok(_) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "nothing is started by schedule until the catalog is back"
                    );
                }
                Err(_) => {}
            }
        }
    }

    /// One look: starts what is due (pruning too), and marks what retention does not want. Nothing while another
    /// leads.
    ///
    /// # Errors
    /// When the catalog fails; the next look makes up for it.
    pub async fn pass(&self) -> Result<Vec<Started>, CatalogError> {
        let Some(lead) = self.catalog.lead(SCHEDULING).await? else {
            return Ok(Vec::new());
        };
        let hosts = HostFacts::of_fleet(&self.fleet);
        let done = self.lead(&hosts).await;
        lead.give_back().await?;
        done
    }

    async fn lead(&self, hosts: &[HostFacts]) -> Result<Vec<Started>, CatalogError> {
        let now = self.catalog.clock.now();
        let call = roll_call(&self.catalog.known_databases().await?, hosts);
        self.catalog.note_databases(&call, now).await?;
        self.catalog.adopt_runs().await?;
        let gathered = gather(&self.catalog).await?;
        let mut going = BTreeSet::new();
        for (backup, decision, _) in retain(&gathered, now) {
            match removal::step(decision.keep, backup.marked_at, removal::GRACE, now) {
                Step::Mark => self.catalog.mark_backup(backup.id, Some(now)).await?,
                Step::Unmark => self.catalog.mark_backup(backup.id, None).await?,
                // The pruning job's to take, which looks again.
                Step::Remove => {
                    going.insert(backup.database.host);
                }
                Step::Leave | Step::Wait { .. } => {}
            }
        }
        self.prune(&going, now).await?;
        let mut started = Vec::new();
        let standing = stand(&gathered, hosts, now);
        policy_checks::settle(&self.catalog, &standing, now).await?;
        for decision in standing.into_work() {
            if let Verdict::Start { slot, .. } = decision.verdict {
                started.extend(self.begin(decision.of, decision.work, slot, now).await?);
            }
        }
        Ok(started)
    }

    /// None: this moment was served already.
    async fn begin(
        &self,
        of: Scheduled,
        work: Work,
        slot: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Option<Started>, CatalogError> {
        let Some(run) = self.catalog.claim_run(&of, work, slot, now).await? else {
            return Ok(None);
        };
        let by = requested_by(run);
        let submitted = match (&of, work) {
            (Scheduled::Database(database), Work::Backup) => self.start.backup(database, &by).await,
            (Scheduled::Database(database), Work::Drill) => self.start.drill(database, &by).await,
            (Scheduled::Host(host), Work::Rebuild) => self.start.rebuild(host, &by).await,
            (Scheduled::Host(host), Work::Offsite) => self.start.offsite(host, &by).await,
            // The table allows no such run.
            _ => Err(NotStarted(format!("{of} has no {work}"))),
        };
        let job = match submitted {
            Ok(job) => {
                self.catalog.run_submitted(run, job).await?;
                tracing::info!(%of, %work, job, %slot, "started by schedule");
                Some(job)
            }
            Err(error) => {
                tracing::warn!(%of, %work, %error, "could not be started by schedule");
                self.catalog.run_refused(run, &error.to_string()).await?;
                None
            }
        };
        Ok(Some(Started {
            of,
            work,
            slot,
            job,
        }))
    }
}

#[cfg(test)]
mod tests;
