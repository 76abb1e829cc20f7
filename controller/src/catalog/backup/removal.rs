//! The ends of a backup: pinned, marked for removal by retention or by somebody, removed.

use chrono::{DateTime, Utc};
use holdfast_proto::names::{DatabaseName, HostName};

use sqlx::FromRow;

use super::{BackupId, Catalog, CatalogError};
use crate::{job::JobId, retention::Deletion};

/// A backup as its repository knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    pub backup: BackupId,
    pub database: DatabaseName,
    pub snapshot: String,
    /// None: it counts, and its snapshot must stay.
    pub removed_at: Option<DateTime<Utc>>,
    /// None: it counts, or its own job withdrew it.
    pub removed_by: Option<JobId>,
}

#[derive(FromRow)]
struct Row {
    id: i64,
    instance: String,
    database: String,
    snapshot_id: String,
    removed_at: Option<DateTime<Utc>>,
    removed_by: Option<i64>,
}

impl Catalog {
    /// Somebody wants it gone: it is marked from `at` on, and retention keeps it no longer. False: it is pinned,
    /// or there is none.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn delete_backup(
        &self,
        id: BackupId,
        deletion: &Deletion,
        at: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        let changed = sqlx::query(
            "update backup set deleted_by = $2, delete_forced = $3, marked_at = coalesce(marked_at, $4)
             where id = $1 and removed_at is null and not pinned",
        )
        .bind(id.cast_signed())
        .bind(&deletion.by)
        .bind(deletion.forced)
        .bind(at)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("marking a backup that somebody deleted"))?;
        Ok(changed.rows_affected() > 0)
    }

    /// A pinned one is never removed: a pin takes back what retention or somebody wanted. False: there is no
    /// such backup.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn pin_backup(&self, id: BackupId, pinned: bool) -> Result<bool, CatalogError> {
        let changed = sqlx::query(
            "update backup set pinned = $2, marked_at = case when $2 then null else marked_at end,
                deleted_by = case when $2 then null else deleted_by end,
                delete_forced = delete_forced and not $2
             where id = $1 and removed_at is null",
        )
        .bind(id.cast_signed())
        .bind(pinned)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("pinning a backup"))?;
        Ok(changed.rows_affected() > 0)
    }

    /// Retention does not want it any more since `at`, or (none) wants it again. What is marked already
    /// keeps its time, and what is pinned is not marked.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn mark_backup(
        &self,
        id: BackupId,
        at: Option<DateTime<Utc>>,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "update backup set marked_at = case when $2::timestamptz is null then null else coalesce(marked_at, $2) end
             where id = $1 and removed_at is null and (not pinned or $2 is null)",
        )
        .bind(id.cast_signed())
        .bind(at)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("marking a backup for removal"))?;
        Ok(())
    }

    /// The job takes it: it counts no more, and its snapshot goes. False: it was removed already, is pinned, was not marked before
    /// `marked_before`, or a job that has not ended has chosen it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn remove_backup(
        &self,
        id: BackupId,
        marked_before: DateTime<Utc>,
        (job, at): (JobId, DateTime<Utc>),
    ) -> Result<bool, CatalogError> {
        let changed = sqlx::query(
            "update backup set state = 'expired', removed_at = $3, removed_by = $4
             where id = $1 and removed_at is null and not pinned and marked_at < $2
                and not exists (select from resource_lock where resource = 'backup:' || backup.id)",
        )
        .bind(id.cast_signed())
        .bind(marked_before)
        .bind(at)
        .bind(job.cast_signed())
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("removing a backup"))?;
        Ok(changed.rows_affected() > 0)
    }

    /// Every backup that the host ever had, the oldest row first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn shelved(&self, host: &HostName) -> Result<Vec<Shelved>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select id, instance, database, snapshot_id, removed_at, removed_by from backup
             where host = $1 order by id",
        )
        .bind(host.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing the snapshots of a host"))?;
        let shelved = |row: Row| Shelved {
            backup: row.id.cast_unsigned(),
            database: DatabaseName {
                host: host.clone(),
                instance: row.instance,
                database: row.database,
            },
            snapshot: row.snapshot_id,
            removed_at: row.removed_at,
            removed_by: row.removed_by.map(i64::cast_unsigned),
        };
        Ok(rows.into_iter().map(shelved).collect())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::tests::{a_job, moment, new};
    use crate::catalog::testing::TestCatalog;

    /// Marked before the moment that was given, and chosen by nobody who may still come to read it.
    #[tokio::test]
    async fn a_backup_goes_when_it_was_marked_long_enough_and_no_job_has_chosen_it() {
        let catalog = TestCatalog::new().await;
        let id = catalog.add_backup(&new("a", moment())).await.unwrap();
        let remove = async |marked_before| {
            let at = moment() + TimeDelta::days(2);
            let removed = catalog.remove_backup(id, marked_before, (7, at));
            removed.await.unwrap()
        };
        catalog.mark_backup(id, Some(moment())).await.unwrap();
        assert!(!remove(moment()).await, "not for long enough");
        let reader = a_job(&catalog).await;
        sqlx::query(
            "insert into resource_lock (job, resource, exclusive, wanted_at)
             values ($1, 'backup:' || $2, false, now())",
        )
        .bind(reader)
        .bind(id.cast_signed())
        .execute(&catalog.pool)
        .await
        .unwrap();
        let long_after = moment() + TimeDelta::days(1);
        assert!(!remove(long_after).await, "a job waits to read it");
        sqlx::query("delete from resource_lock")
            .execute(&catalog.pool)
            .await
            .unwrap();
        let web_1 = "web-1".parse().unwrap();
        let [shelved] = &catalog.shelved(&web_1).await.unwrap()[..] else {
            panic!("one");
        };
        assert_eq!((shelved.backup, shelved.removed_at), (id, None));
        assert!(remove(long_after).await);
        let [shelved] = &catalog.shelved(&web_1).await.unwrap()[..] else {
            panic!("one");
        };
        assert_eq!(shelved.removed_at, Some(moment() + TimeDelta::days(2)));
        assert_eq!(shelved.removed_by, Some(7));
        assert_eq!(shelved.snapshot, "a");
        assert_eq!(
            catalog.shelved(&"web-2".parse().unwrap()).await.unwrap(),
            []
        );
    }
}
