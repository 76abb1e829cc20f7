//! Table `check_run`: the history of user-count checks.

use chrono::{DateTime, Utc};
use holdfast_proto::check::{CheckOutcome, CheckVerdict};
use sqlx::FromRow;

use super::{Catalog, CatalogError};
use crate::check::CheckRun;

#[derive(FromRow)]
struct Row {
    at: DateTime<Utc>,
    count: Option<i64>,
    newest: Option<DateTime<Utc>>,
    error: String,
    verdict: String,
    reasons: Vec<String>,
}

/// The last run of a check, with the check's id.
#[derive(FromRow)]
struct LastRow {
    #[sqlx(try_from = "i64")]
    check_id: u64,
    #[sqlx(flatten)]
    run: Row,
}

/// What a check counted around an incident; none: nothing.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Counted {
    /// "web-1/shop-db/shop".
    pub database: String,
    /// Of the check.
    pub name: String,
    pub before: Option<i64>,
    pub lowest: Option<i64>,
    pub last: Option<i64>,
}

impl Catalog {
    /// # Errors
    /// When the catalog fails, or the check is gone.
    pub async fn add_check_run(&self, check: u64, run: &CheckRun) -> Result<(), CatalogError> {
        sqlx::query(
            "insert into check_run (check_id, at, count, newest, error, verdict, reasons)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(check.cast_signed())
        .bind(run.outcome.at)
        .bind(run.outcome.count)
        .bind(run.outcome.newest)
        .bind(&run.outcome.error)
        .bind(word(run.verdict))
        .bind(&run.reasons)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("storing the run of a check"))?;
        Ok(())
    }

    /// Newest first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn check_runs(&self, check: u64, limit: u32) -> Result<Vec<CheckRun>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select at, count, newest, error, verdict, reasons from check_run
             where check_id = $1 order by id desc limit $2",
        )
        .bind(check.cast_signed())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading the history of a check"))?;
        Ok(rows.into_iter().map(CheckRun::from).collect())
    }

    /// The last run of each check, by the check's id.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn last_check_runs(&self) -> Result<Vec<(u64, CheckRun)>, CatalogError> {
        let rows: Vec<LastRow> = sqlx::query_as(
            "select c.id as check_id, r.* from database_check c cross join lateral (
                select at, count, newest, error, verdict, reasons from check_run
                where check_id = c.id order by id desc limit 1) r",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading the last runs of checks"))?;
        Ok(rows
            .into_iter()
            .map(|row| (row.check_id, CheckRun::from(row.run)))
            .collect())
    }

    /// What each check counted around an incident: when it was well for the last time before `from`, at least from then
    /// until `to` (what opened the incident ran before it), and last until then.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn counted_around(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Counted>, CatalogError> {
        sqlx::query_as(
            "select c.host || '/' || c.instance || '/' || c.database as database, c.name,
                well.count as before,
                (select min(count) from check_run r
                    where r.check_id = c.id and r.at > coalesce(well.at, '-infinity') and r.at <= $2) as lowest,
                (select count from check_run r where r.check_id = c.id and r.at <= $2
                    order by r.id desc limit 1) as last
             from database_check c
                left join lateral (
                    select count, at from check_run r
                    where r.check_id = c.id and r.verdict = 'ok' and r.at < $1 order by r.id desc limit 1
                ) well on true
             order by 1, 2",
        )
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading what checks counted"))
    }

    /// What a fall is measured from.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn last_ok_outcome(&self, check: u64) -> Result<Option<CheckOutcome>, CatalogError> {
        let row: Option<Row> = sqlx::query_as(
            "select at, count, newest, error, verdict, reasons from check_run
             where check_id = $1 and verdict = 'ok' order by id desc limit 1",
        )
        .bind(check.cast_signed())
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing("reading the last good run of a check"))?;
        Ok(row.map(|row| CheckRun::from(row).outcome))
    }

    /// Drops runs older than this, but never a check's last good one: falls are measured from it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn trim_check_runs(&self, before: DateTime<Utc>) -> Result<u64, CatalogError> {
        let trimmed = sqlx::query(
            "delete from check_run old where old.at < $1 and exists (
                select from check_run newer where newer.check_id = old.check_id
                    and newer.id > old.id and (newer.verdict = 'ok' or old.verdict <> 'ok'))",
        )
        .bind(before)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("trimming the history of checks"))?;
        Ok(trimmed.rows_affected())
    }
}

impl From<Row> for CheckRun {
    fn from(row: Row) -> Self {
        Self {
            outcome: CheckOutcome {
                at: row.at,
                count: row.count,
                newest: row.newest,
                error: row.error,
            },
            verdict: match row.verdict.as_str() {
                "ok" => CheckVerdict::Ok,
                "suspicious" => CheckVerdict::Suspicious,
                // The table allows no other word.
                _ => CheckVerdict::CouldNotRun,
            },
            reasons: row.reasons,
        }
    }
}

fn word(verdict: CheckVerdict) -> &'static str {
    match verdict {
        CheckVerdict::Ok => "ok",
        CheckVerdict::Suspicious => "suspicious",
        CheckVerdict::CouldNotRun => "could-not-run",
    }
}
