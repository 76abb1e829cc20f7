//! The ends of a backup: pinned, marked for removal by retention or by somebody, removed.

use chrono::{DateTime, Utc};

use super::{BackupId, Catalog, CatalogError};
use crate::retention::Deletion;

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

    /// The repository does not hold it any more. False: it was known already, or the backup is pinned.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn removed_backup(
        &self,
        id: BackupId,
        at: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        let changed = sqlx::query(
            "update backup set state = 'expired', removed_at = $2
             where id = $1 and removed_at is null and not pinned",
        )
        .bind(id.cast_signed())
        .bind(at)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("noting that a backup is removed"))?;
        Ok(changed.rows_affected() > 0)
    }
}
