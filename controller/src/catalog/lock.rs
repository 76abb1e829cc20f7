//! Table `resource_lock`: what jobs want and hold. A job gets all of its locks at once or none.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::{BackupId, Catalog, CatalogError};
use crate::job::{
    JobId,
    locks::{LockRow, ResourceWish},
};

/// Held while locks are given out, so that two controllers do not give out one twice.
const GIVING_OUT: i64 = 0x686f_6c64_0003;

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i64")]
    job: JobId,
    resource: String,
    exclusive: bool,
    wanted_at: DateTime<Utc>,
    granted: bool,
}

impl Catalog {
    /// Which jobs hold or want a backup (resource "backup:42"): retention keeps it for them.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn backup_readers(&self) -> Result<Vec<(BackupId, JobId)>, CatalogError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select resource, job from resource_lock where resource like 'backup:%'",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("asking which backups are read"))?;
        let reader = |(resource, job): (String, i64)| {
            let backup = resource.strip_prefix("backup:")?.parse().ok()?;
            Some((backup, job.cast_unsigned()))
        };
        Ok(rows.into_iter().filter_map(reader).collect())
    }

    /// Resources that a job has for itself now, as they are displayed.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn held_resources(&self) -> Result<BTreeSet<String>, CatalogError> {
        let held: Vec<String> = sqlx::query_scalar(
            "select resource from resource_lock where exclusive and granted_at is not null",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("asking what jobs hold"))?;
        Ok(held.into_iter().collect())
    }
}

/// Until the transaction ends.
pub(super) async fn one_at_a_time(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(GIVING_OUT)
        .execute(tx)
        .await?;
    Ok(())
}

/// The job wants these too. What it wants or holds already stays as it is.
pub(super) async fn want(
    tx: &mut PgConnection,
    job: JobId,
    wishes: &[ResourceWish],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let mut wishes: Vec<_> = wishes
        .iter()
        .map(|wish| (wish.resource.to_string(), wish.exclusive))
        .collect();
    // One resource wished for twice: the stronger wish counts.
    wishes.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    wishes.dedup_by(|later, first| later.0 == first.0);
    for (resource, exclusive) in wishes {
        sqlx::query(
            "insert into resource_lock (job, resource, exclusive, wanted_at)
             values ($1, $2, $3, $4) on conflict do nothing",
        )
        .bind(job.cast_signed())
        .bind(resource)
        .bind(exclusive)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Every row of the resources that the job wants, its own among them.
pub(super) async fn rivals(tx: &mut PgConnection, job: JobId) -> Result<Vec<LockRow>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select job, resource, exclusive, wanted_at, granted_at is not null as granted
         from resource_lock
         where resource in (select resource from resource_lock where job = $1)
         order by resource, job",
    )
    .bind(job.cast_signed())
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| LockRow {
            job: row.job,
            resource: row.resource,
            exclusive: row.exclusive,
            wanted_at: row.wanted_at,
            granted: row.granted,
        })
        .collect())
}

pub(super) async fn grant(
    tx: &mut PgConnection,
    job: JobId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("update resource_lock set granted_at = $2 where job = $1 and granted_at is null")
        .bind(job.cast_signed())
        .bind(now)
        .execute(tx)
        .await?;
    Ok(())
}

/// What the job holds; what it waits for stays.
pub(super) async fn release_granted(tx: &mut PgConnection, job: JobId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from resource_lock where job = $1 and granted_at is not null")
        .bind(job.cast_signed())
        .execute(tx)
        .await?;
    Ok(())
}

/// What the job holds and what it waits for.
pub(super) async fn release(tx: &mut PgConnection, job: JobId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from resource_lock where job = $1")
        .bind(job.cast_signed())
        .execute(tx)
        .await?;
    Ok(())
}
