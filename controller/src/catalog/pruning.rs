//! Pruning in the table `repository`: when it was done last, what it left to the next, and the daily claim of
//! the schedule.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::names::HostName;
use sqlx::FromRow;

use super::{Catalog, CatalogError};

/// How the pruning of one host's repository stands.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Pruning {
    #[sqlx(try_from = "String")]
    pub host: HostName,
    /// By schedule.
    pub started_at: Option<DateTime<Utc>>,
    /// The last one that went through.
    pub pruned_at: Option<DateTime<Utc>>,
    /// Packs that it left marked.
    #[sqlx(try_from = "i64")]
    pub marked_packs: u64,
    /// Backups were removed since then: one that was withdrawn, or a prune that was interrupted.
    pub unfinished: bool,
    /// A job has the repository alone, or waits to have it.
    pub running: bool,
}

/// In two places: what is looked at, and what is claimed.
const RUNNING: &str = "exists (select from resource_lock
    where resource = 'repository:' || repository.host and exclusive)";

impl Catalog {
    /// Of every repository that is ready, by host.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn prunings(&self) -> Result<Vec<Pruning>, CatalogError> {
        let query = format!(
            "select host, prune_started_at as started_at, pruned_at, marked_packs, {RUNNING} as running,
                exists (select from backup where backup.host = repository.host
                    and removed_at > coalesce(pruned_at, '-infinity')) as unfinished
             from repository where ready_at is not null order by host"
        );
        sqlx::query_as(sqlx::AssertSqlSafe(query))
            .fetch_all(&self.pool)
            .await
            .map_err(CatalogError::doing("asking how repositories are pruned"))
    }

    /// The schedule starts one now. False: somebody did within `every` (on either side of now: a clock that went
    /// back must not stop it for long), or one runs.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn claim_prune(
        &self,
        host: &HostName,
        every: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        let query = format!(
            "update repository set prune_started_at = $2
             where host = $1 and not {RUNNING}
                and (prune_started_at is null or prune_started_at <= $3 or prune_started_at >= $4)"
        );
        let claimed = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(host.as_str())
            .bind(now)
            .bind(now - every)
            .bind(now + every)
            .execute(&self.pool)
            .await
            .map_err(CatalogError::doing("claiming the prune of a repository"))?;
        Ok(claimed.rows_affected() > 0)
    }

    /// One went through, and left so many packs marked.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn repository_pruned(
        &self,
        host: &HostName,
        marked_packs: u64,
        at: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        sqlx::query("update repository set pruned_at = $2, marked_packs = $3 where host = $1")
            .bind(host.as_str())
            .bind(at)
            .bind(i64::try_from(marked_packs).unwrap_or(i64::MAX))
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(CatalogError::doing("noting that a repository is pruned"))
    }
}
