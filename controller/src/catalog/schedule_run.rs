//! Table `schedule_run`: what was started by schedule. A run is claimed before its job is submitted, so
//! that one moment is served once whoever looks; the job names the run, so that a crash in between is mended.

use chrono::{DateTime, Utc};
use holdfast_proto::names::{DatabaseName, HostName};
use sqlx::FromRow;

use super::{Catalog, CatalogError};
use crate::{
    job::{JobId, JobState},
    schedule::{Scheduled, Work},
};

/// Counted from 1.
pub type RunId = u64;

/// A run with what became of its job.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledRun {
    pub id: RunId,
    pub of: Scheduled,
    pub work: Work,
    pub slot: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    /// None: not submitted (yet).
    pub job: Option<(JobId, JobState)>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it could not be submitted; empty when it could.
    pub error: String,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i64")]
    id: u64,
    #[sqlx(try_from = "String")]
    host: HostName,
    instance: String,
    database: String,
    work: String,
    slot: DateTime<Utc>,
    started_at: DateTime<Utc>,
    job: Option<i64>,
    state: Option<String>,
    ended_at: Option<DateTime<Utc>>,
    error: String,
}

/// As the job names who asked for it.
#[must_use]
pub fn requested_by(run: RunId) -> String {
    format!("schedule/{run}")
}

impl Catalog {
    /// None: somebody else has this moment already.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn claim_run(
        &self,
        of: &Scheduled,
        work: Work,
        slot: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Option<RunId>, CatalogError> {
        let (host, instance, database) = match of {
            Scheduled::Database(name) => {
                (&name.host, name.instance.as_str(), name.database.as_str())
            }
            Scheduled::Host(host) => (host, "", ""),
        };
        let claimed: Option<(i64,)> = sqlx::query_as(
            "insert into schedule_run (host, instance, database, work, slot, started_at)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (host, instance, database, work, slot) do nothing returning id",
        )
        .bind(host.as_str())
        .bind(instance)
        .bind(database)
        .bind(work.as_str())
        .bind(slot)
        .bind(now)
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing("claiming a run of a schedule"))?;
        Ok(claimed.map(|(id,)| id.cast_unsigned()))
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn run_submitted(&self, run: RunId, job: JobId) -> Result<(), CatalogError> {
        sqlx::query("update schedule_run set job = $2 where id = $1 and job is null")
            .bind(run.cast_signed())
            .bind(job.cast_signed())
            .execute(&self.pool)
            .await
            .map_err(CatalogError::doing("noting the job of a scheduled run"))?;
        Ok(())
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn run_refused(&self, run: RunId, error: &str) -> Result<(), CatalogError> {
        sqlx::query("update schedule_run set error = $2 where id = $1 and job is null")
            .bind(run.cast_signed())
            .bind(error)
            .execute(&self.pool)
            .await
            .map_err(CatalogError::doing(
                "noting why a scheduled run did not begin",
            ))?;
        Ok(())
    }

    /// Gives runs their jobs whose controller died before it could note them.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn adopt_runs(&self) -> Result<u64, CatalogError> {
        let adopted = sqlx::query(
            "update schedule_run set job = job.id from job
             where schedule_run.job is null and job.requested_by = 'schedule/' || schedule_run.id",
        )
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing(
            "looking for the jobs of scheduled runs",
        ))?;
        Ok(adopted.rows_affected())
    }

    /// The last ten of each database, host and work, and all that have not ended; newest first.
    ///
    /// # Errors
    /// When the catalog fails, or holds a word that this version does not know.
    pub async fn scheduled_runs(&self) -> Result<Vec<ScheduledRun>, CatalogError> {
        let failed = CatalogError::doing("listing scheduled runs");
        let rows: Vec<Row> = sqlx::query_as(
            "select r.id, r.host, r.instance, r.database, r.work, r.slot, r.started_at, r.job,
                j.state, j.ended_at, r.error
             from (select *, row_number() over
                    (partition by host, instance, database, work order by id desc) as place
                from schedule_run) r
             left join job j on j.id = r.job
             where r.place <= 10 or j.ended_at is null and r.job is not null
             order by r.id desc",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        let run = |row: Row| run(row).map_err(|error| failed(sqlx::Error::Decode(error.into())));
        rows.into_iter().map(run).collect()
    }
}

fn run(row: Row) -> Result<ScheduledRun, String> {
    let state = row.state.map(JobState::try_from).transpose();
    let state = state.map_err(|error| error.to_string())?;
    let mut works = Work::ALL.into_iter();
    let work = works
        .find(|work| work.as_str() == row.work)
        .ok_or_else(|| format!("{:?} is no work of a schedule", row.work))?;
    Ok(ScheduledRun {
        id: row.id,
        of: if Work::OF_HOSTS.contains(&work) {
            Scheduled::Host(row.host)
        } else {
            Scheduled::Database(DatabaseName {
                host: row.host,
                instance: row.instance,
                database: row.database,
            })
        },
        work,
        slot: row.slot,
        started_at: row.started_at,
        job: row.job.map(i64::cast_unsigned).zip(state),
        ended_at: row.ended_at,
        error: row.error,
    })
}
