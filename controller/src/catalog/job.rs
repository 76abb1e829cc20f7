//! Table `job`: submission, claims, leases, wishes of operators.
//!
//! Leases are measured by the catalog's own clock, the one clock that all controllers share.
//! Everything else (deadlines, pauses, sweeps) goes by the controller's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, types::Json};

use super::{Catalog, CatalogError, NewStep};
use crate::job::{
    JobId, JobSpec,
    event::Event,
    locks::{Resource, ResourceWish, obstacle},
    summary::Summary,
    view::{JobState, JobSummary},
};

/// Rung at every change of a job, with its number; a hint, the rows are the truth.
pub const JOB_CHANNEL: &str = "holdfast_job";

/// A job to be made.
#[derive(Debug)]
pub struct NewJob {
    pub spec: JobSpec,
    pub requested_by: String,
    pub traceparent: String,
    pub created_at: DateTime<Utc>,
    pub deadline: Option<DateTime<Utc>>,
}

/// A row of the table.
#[derive(Debug, Clone, FromRow)]
pub struct JobRow {
    #[sqlx(try_from = "i64")]
    pub id: JobId,
    pub kind: String,
    pub spec: Json<JobSpec>,
    pub title: String,
    pub requested_by: String,
    pub traceparent: String,
    pub created_at: DateTime<Utc>,
    pub deadline: Option<DateTime<Utc>>,
    #[sqlx(try_from = "i64")]
    pub lease_epoch: u64,
    pub cancel_requested_by: Option<String>,
    pub undo_requested_by: Option<String>,
    #[sqlx(try_from = "String")]
    pub state: JobState,
    pub summary: Json<Summary>,
    pub ended_at: Option<DateTime<Utc>>,
    pub waits_for: String,
}

/// A job that is ours until the lease runs out.
#[derive(Debug, Clone)]
pub struct Claim {
    pub job: JobRow,
    pub epoch: u64,
    /// The lease of whoever worked on it before had run out.
    pub taken_over: bool,
}

/// What operators asked for since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    pub cancel_by: Option<String>,
    pub undo_by: Option<String>,
}

/// A word that names no state.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no state of a job")]
pub struct BadState(String);

impl TryFrom<String> for JobState {
    type Error = BadState;

    fn try_from(text: String) -> Result<Self, BadState> {
        serde_json::from_value(text.clone().into()).map_err(|_| BadState(text))
    }
}

impl JobRow {
    /// As operators see it.
    #[must_use]
    pub fn view(self) -> JobSummary {
        let Json(summary) = self.summary;
        // The wish is stored; whoever takes it up records it.
        let undo_begins = self.undo_requested_by.is_some() && self.state.has_ended();
        let waits = !self.waits_for.is_empty() && (undo_begins || self.state == JobState::Waiting);
        let trace_id = self.traceparent.split('-').nth(1).unwrap_or_default();
        JobSummary {
            id: self.id,
            kind: self.kind,
            state: if undo_begins {
                JobState::Undoing
            } else {
                self.state
            },
            title: self.title,
            requested_by: self.requested_by,
            created_at: self.created_at,
            started_at: summary.started_at,
            ended_at: self.ended_at.filter(|_| !undo_begins),
            step: summary.step,
            step_number: summary.step_number,
            step_count: summary.step_count,
            reason: match (waits, undo_begins) {
                (true, _) => self.waits_for,
                (false, true) => String::new(),
                (false, false) => summary.reason,
            },
            advice: summary.advice,
            trace_id: trace_id.to_owned(),
            undo_until: summary.undo_until.filter(|_| !undo_begins),
        }
    }
}

/// Which jobs somebody is ready to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimable {
    Any,
    /// Cancelled, or past its deadline, while it waited: nothing is left to do but its end.
    OverBeforeItBegan,
}

impl Catalog {
    /// Stores the job with its first event and the locks it wants.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn submit_job(&self, new: NewJob) -> Result<JobId, CatalogError> {
        const DOING: &str = "storing a job";
        let job = self.try_submit(new, None).await;
        let job = job.map_err(CatalogError::doing(DOING))?;
        job.ok_or_else(|| CatalogError::doing(DOING)(sqlx::Error::RowNotFound))
    }

    /// The job of a step, with the step, or neither. None: somebody has begun the step already.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn submit_job_of_step(
        &self,
        new: NewJob,
        step: &NewStep,
    ) -> Result<Option<JobId>, CatalogError> {
        self.try_submit(new, Some(step))
            .await
            .map_err(CatalogError::doing("storing the job of a step"))
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn job(&self, id: JobId) -> Result<Option<JobRow>, CatalogError> {
        sqlx::query_as("select * from job where id = $1")
            .bind(id.cast_signed())
            .fetch_optional(&self.pool)
            .await
            .map_err(CatalogError::doing("reading a job"))
    }

    /// Newest first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn jobs(&self, limit: u32, active_only: bool) -> Result<Vec<JobRow>, CatalogError> {
        sqlx::query_as(
            "select * from job
             where not $2 or ended_at is null or undo_requested_by is not null
             order by id desc limit $1",
        )
        .bind(i64::from(limit))
        .bind(active_only)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing jobs"))
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn jobs_in_state(&self, state: JobState) -> Result<Vec<JobRow>, CatalogError> {
        sqlx::query_as("select * from job where state = $1 order by id")
            .bind(state.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(CatalogError::doing("listing jobs"))
    }

    /// Those that were under way at some moment of that time, oldest first; without an end, until now.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn jobs_between(
        &self,
        from: DateTime<Utc>,
        to: Option<DateTime<Utc>>,
    ) -> Result<Vec<JobRow>, CatalogError> {
        sqlx::query_as(
            "select * from job where created_at <= coalesce($2, 'infinity')
                and (ended_at is null or ended_at >= $1) order by id",
        )
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing jobs"))
    }

    /// The next job that can be worked on, with all of its locks, under a lease of ours.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn claim_job(
        &self,
        owner: &str,
        lease: Duration,
        which: Claimable,
        now: DateTime<Utc>,
    ) -> Result<Option<Claim>, CatalogError> {
        self.try_claim(owner, lease, which, now)
            .await
            .map_err(CatalogError::doing("claiming a job"))
    }

    /// Holds the lease on. None: it is not ours any more, the work must stop at once.
    ///
    /// # Errors
    /// When the catalog fails: the lease may still be ours until it runs out.
    pub async fn renew_lease(
        &self,
        job: JobId,
        epoch: u64,
        lease: Duration,
    ) -> Result<Option<Wishes>, CatalogError> {
        let row: Option<(Option<String>, Option<String>)> = sqlx::query_as(
            "update job set lease_until = clock_timestamp() + $3 * interval '1 millisecond'
             where id = $1 and lease_epoch = $2 and lease_until is not null
             returning cancel_requested_by, undo_requested_by",
        )
        .bind(job.cast_signed())
        .bind(epoch.cast_signed())
        .bind(milliseconds(lease))
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing("renewing the lease of a job"))?;
        Ok(row.map(|(cancel_by, undo_by)| Wishes { cancel_by, undo_by }))
    }

    /// Gives the job back, to be looked at again at `not_before`; at once when operators have
    /// asked for more than is `known`. Nothing when it is not ours.
    ///
    /// # Errors
    /// When the catalog fails; the lease then runs out by itself.
    pub async fn release_lease(
        &self,
        job: JobId,
        epoch: u64,
        not_before: Option<DateTime<Utc>>,
        known: &Wishes,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "update job set lease_owner = null, lease_until = null,
                not_before = case when cancel_requested_by is not distinct from $4
                    and (undo_requested_by is null or undo_requested_by = $5) then $3 end
             where id = $1 and lease_epoch = $2",
        )
        .bind(job.cast_signed())
        .bind(epoch.cast_signed())
        .bind(not_before)
        .bind(&known.cancel_by)
        .bind(&known.undo_by)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("giving a job back"))?;
        Ok(())
    }

    /// False when the job has ended meanwhile (or was never there).
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn request_cancel(&self, job: JobId, by: &str) -> Result<bool, CatalogError> {
        let changed = sqlx::query(
            "with wish as (
                update job set cancel_requested_by = coalesce(cancel_requested_by, $2), not_before = null
                where id = $1 and ended_at is null returning id)
             select pg_notify($3, id::text) from wish",
        )
        .bind(job.cast_signed())
        .bind(by)
        .bind(JOB_CHANNEL)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("asking for a job's cancellation"))?;
        Ok(changed.rows_affected() > 0)
    }

    /// Asks for the undo of a job that succeeded or is stuck; it wants its locks again. False
    /// when it is in no such state (any more), or was asked already.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn request_undo(
        &self,
        job: JobId,
        by: &str,
        locks: &[ResourceWish],
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        self.try_request_undo(job, by, locks, now)
            .await
            .map_err(CatalogError::doing("asking for a job's undo"))
    }

    async fn try_submit(
        &self,
        new: NewJob,
        step: Option<&NewStep>,
    ) -> Result<Option<JobId>, sqlx::Error> {
        let definition = new.spec.definition();
        let steps = u32::try_from(definition.steps().len()).unwrap_or(u32::MAX);
        let summary = Summary {
            step_count: steps,
            ..Summary::default()
        };
        let (title, locks) = (definition.title(), definition.locks());
        let mut tx = self.begin().await?;
        let (id,): (i64,) = sqlx::query_as(
            "insert into job (kind, spec, title, requested_by, traceparent, created_at, deadline,
                state, summary)
             values ($1, $2, $3, $4, $5, $6, $7, 'waiting', $8) returning id",
        )
        .bind(new.spec.kind().as_str())
        .bind(Json(&new.spec))
        .bind(title)
        .bind(&new.requested_by)
        .bind(&new.traceparent)
        .bind(new.created_at)
        .bind(new.deadline)
        .bind(Json(summary))
        .fetch_one(&mut *tx)
        .await?;
        let job = id.cast_unsigned();
        if let Some(step) = step
            && !super::runbook::insert_step(&mut *tx, step, Some(job), new.created_at).await?
        {
            tx.rollback().await?;
            return Ok(None);
        }
        super::job_event::insert(&mut tx, job, 1, 0, new.created_at, &Event::Created).await?;
        super::lock::want(&mut tx, job, &locks, new.created_at).await?;
        ring(&mut tx, job).await?;
        tx.commit().await?;
        Ok(Some(job))
    }

    async fn try_claim(
        &self,
        owner: &str,
        lease: Duration,
        which: Claimable,
        now: DateTime<Utc>,
    ) -> Result<Option<Claim>, sqlx::Error> {
        let mut tx = self.begin().await?;
        let candidates: Vec<JobRow> = sqlx::query_as(
            "select * from job
             where (lease_until is null or lease_until < clock_timestamp())
               and (not_before is null or not_before <= $1)
               and (ended_at is null or undo_requested_by is not null or sweep_at <= $1)
               and ($2 or state = 'waiting' and (cancel_requested_by is not null or deadline <= $1))
             order by id for update skip locked",
        )
        .bind(now)
        .bind(which == Claimable::Any)
        .fetch_all(&mut *tx)
        .await?;
        if candidates.is_empty() {
            return Ok(None);
        }
        super::lock::one_at_a_time(&mut tx).await?;
        for job in candidates {
            if may_begin(&mut tx, &job, now).await? {
                let claim = take(&mut tx, job, owner, lease).await?;
                tx.commit().await?;
                return Ok(Some(claim));
            }
        }
        // What each one waits for is worth keeping.
        tx.commit().await?;
        Ok(None)
    }

    async fn try_request_undo(
        &self,
        job: JobId,
        by: &str,
        locks: &[ResourceWish],
        now: DateTime<Utc>,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.begin().await?;
        let changed = sqlx::query(
            "update job set undo_requested_by = $2, not_before = null, waits_for = ''
             where id = $1 and undo_requested_by is null
               and (state = 'stuck' or state = 'succeeded' and (sweep_at is null or sweep_at > $3))",
        )
        .bind(job.cast_signed())
        .bind(by)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        super::lock::want(&mut tx, job, locks, now).await?;
        ring(&mut tx, job).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// Wakes engines and watchers, when the transaction commits.
pub(super) async fn ring(tx: &mut PgConnection, job: JobId) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_notify($1, $2)")
        .bind(JOB_CHANNEL)
        .bind(job.to_string())
        .execute(tx)
        .await?;
    Ok(())
}

/// Gives the job all of the locks that it wants, or notes what it waits for.
async fn may_begin(
    tx: &mut PgConnection,
    job: &JobRow,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    if job.ended_at.is_some() && job.undo_requested_by.is_none() {
        let leftovers = job.summary.leftovers.iter().cloned();
        let wishes: Vec<_> = leftovers
            .map(|database| ResourceWish::exclusive(Resource::Database(database)))
            .collect();
        super::lock::want(tx, job.id, &wishes, now).await?;
    }
    // A job that never began has nothing to undo: it ends without its locks.
    let over = job.cancel_requested_by.is_some() || job.deadline.is_some_and(|at| at <= now);
    if job.state == JobState::Waiting && over {
        return Ok(true);
    }
    let rows = super::lock::rivals(tx, job.id).await?;
    let obstacle = obstacle(job.id, &rows);
    if obstacle.is_none() {
        super::lock::grant(tx, job.id, now).await?;
        return Ok(true);
    }
    let waits_for = obstacle.unwrap_or_default();
    if waits_for != job.waits_for {
        sqlx::query("update job set waits_for = $2 where id = $1")
            .bind(job.id.cast_signed())
            .bind(waits_for)
            .execute(&mut *tx)
            .await?;
        ring(tx, job.id).await?;
    }
    Ok(false)
}

async fn take(
    tx: &mut PgConnection,
    job: JobRow,
    owner: &str,
    lease: Duration,
) -> Result<Claim, sqlx::Error> {
    let (epoch, taken_over): (i64, bool) = sqlx::query_as(
        "with before as (select id, lease_until is not null as held from job where id = $1)
         update job set lease_owner = $2, lease_epoch = lease_epoch + 1, not_before = null,
            waits_for = '', lease_until = clock_timestamp() + $3 * interval '1 millisecond'
         from before where job.id = before.id
         returning job.lease_epoch, before.held",
    )
    .bind(job.id.cast_signed())
    .bind(owner)
    .bind(milliseconds(lease))
    .fetch_one(tx)
    .await?;
    Ok(Claim {
        job,
        epoch: epoch.cast_unsigned(),
        taken_over,
    })
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
