//! Table `job_event`: append-only, and only by whoever holds the lease.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, types::Json};

use super::{Catalog, CatalogError, Wishes};
use crate::job::{
    JobId,
    event::{Event, Outcome, Recorded},
    summary::Derived,
};

/// An event to append, with what is derived from the position after it.
#[derive(Debug)]
pub struct Append<'a> {
    pub job: JobId,
    pub epoch: u64,
    pub recorded: &'a Recorded,
    pub derived: &'a Derived,
}

/// Whether the event was appended.
enum Appended {
    Yes(Wishes),
    /// Somebody has asked for the job's cancellation: it may not succeed any more.
    Cancelled(Wishes),
    Fenced,
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The work must stop at once.
    #[error("the lease of job {job} (epoch {epoch}) is not ours any more")]
    Fenced { job: JobId, epoch: u64 },
    /// The end of the work was to be recorded, and an operator was faster.
    #[error("the cancellation of job {job} has been asked for")]
    Cancelled { job: JobId, wishes: Wishes },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i64")]
    seq: u64,
    at: DateTime<Utc>,
    payload: Json<Event>,
}

impl Catalog {
    /// Appends the event if the lease is still ours, and keeps what is derived from it. Tells
    /// what operators have asked for until then.
    ///
    /// # Errors
    /// [`AppendError::Fenced`] when another controller has taken over, [`AppendError::Cancelled`]
    /// when the job was to succeed and has been cancelled; nothing is written then.
    pub async fn append_job_event(&self, append: Append<'_>) -> Result<Wishes, AppendError> {
        let Append { job, epoch, .. } = append;
        let appended = self.try_append(&append).await;
        match appended.map_err(CatalogError::doing("appending to a job's history"))? {
            Appended::Yes(wishes) => Ok(wishes),
            Appended::Cancelled(wishes) => Err(AppendError::Cancelled { job, wishes }),
            Appended::Fenced => Err(AppendError::Fenced { job, epoch }),
        }
    }

    /// Events after this sequence number, in order.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn job_events(&self, job: JobId, after: u64) -> Result<Vec<Recorded>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select seq, at, payload from job_event where job = $1 and seq > $2 order by seq",
        )
        .bind(job.cast_signed())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading a job's history"))?;
        Ok(rows
            .into_iter()
            .map(|row| Recorded {
                seq: row.seq,
                at: row.at,
                event: row.payload.0,
            })
            .collect())
    }

    async fn try_append(&self, append: &Append<'_>) -> Result<Appended, sqlx::Error> {
        let Append {
            job,
            epoch,
            recorded,
            derived,
        } = append;
        let undo_begins = matches!(recorded.event, Event::UnwindStarted { .. });
        let mut tx = self.begin().await?;
        // The row lock and the epoch are the fence: who took over has changed the epoch.
        let ours: Option<(Option<String>, Option<String>)> = sqlx::query_as(
            "update job set state = $3, summary = $4, ended_at = $5, sweep_at = $6,
                undo_requested_by = case when $7 then null else undo_requested_by end
             where id = $1 and lease_epoch = $2
             returning cancel_requested_by, undo_requested_by",
        )
        .bind(job.cast_signed())
        .bind(epoch.cast_signed())
        .bind(derived.state.as_str())
        .bind(Json(&derived.summary))
        .bind(derived.ended_at)
        .bind(derived.sweep_at)
        .bind(undo_begins)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((cancel_by, undo_by)) = ours else {
            return Ok(Appended::Fenced);
        };
        let wishes = Wishes { cancel_by, undo_by };
        let succeeds = matches!(
            recorded.event,
            Event::Ended {
                outcome: Outcome::Succeeded,
                ..
            }
        );
        if succeeds && wishes.cancel_by.is_some() {
            // Dropping the transaction takes the row's change back.
            return Ok(Appended::Cancelled(wishes));
        }
        insert(
            &mut tx,
            *job,
            recorded.seq,
            *epoch,
            recorded.at,
            &recorded.event,
        )
        .await?;
        match recorded.event {
            Event::Ended { .. } => {
                super::lock::release(&mut tx, *job).await?;
                super::transfer_grant::forget(&mut tx, *job).await?;
                super::repository::forget(&mut tx, *job).await?;
            }
            // An undo may have been asked for meanwhile: what it waits for stays.
            Event::Swept { .. } | Event::SweepFailed { .. } => {
                super::lock::release_granted(&mut tx, *job).await?;
            }
            _ => {}
        }
        super::job::ring(&mut tx, *job).await?;
        tx.commit().await?;
        Ok(Appended::Yes(wishes))
    }
}

pub(super) async fn insert(
    tx: &mut PgConnection,
    job: JobId,
    seq: u64,
    epoch: u64,
    at: DateTime<Utc>,
    event: &Event,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into job_event (job, seq, epoch, at, payload) values ($1, $2, $3, $4, $5)")
        .bind(job.cast_signed())
        .bind(seq.cast_signed())
        .bind(epoch.cast_signed())
        .bind(at)
        .bind(Json(event))
        .execute(tx)
        .await?;
    Ok(())
}
