//! Table `transfer_grant`: the one-time secrets of running transfers.
//!
//! They are stored so that a controller that takes a transfer over hands the same secret to an
//! end that has not got it yet; they go when the job ends.

use rand::RngCore;
use sqlx::{PgConnection, types::Json};

use super::{Catalog, CatalogError};
use crate::job::{JobId, JobSpec};

const SECRET_BYTES: usize = 32;

impl Catalog {
    /// The secret of this attempt, made at the first call; those of earlier attempts are void.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn transfer_grant(&self, job: JobId, attempt: u32) -> Result<Vec<u8>, CatalogError> {
        let mut secret = vec![0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        let (secret,): (Vec<u8>,) = sqlx::query_as(
            "with void as (delete from transfer_grant where job = $1 and attempt < $2)
             insert into transfer_grant (job, attempt, secret) values ($1, $2, $3)
             on conflict (job, attempt) do update set secret = transfer_grant.secret
             returning secret",
        )
        .bind(job.cast_signed())
        .bind(i64::from(attempt))
        .bind(secret)
        .fetch_one(&self.pool)
        .await
        .map_err(CatalogError::doing("making the secret of a transfer"))?;
        Ok(secret)
    }

    /// What the job of this secret shall do; none when it is that of no transfer that runs.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn job_of_grant(&self, secret: &[u8]) -> Result<Option<JobSpec>, CatalogError> {
        let found: Option<(Json<JobSpec>,)> = sqlx::query_as(
            "select job.spec from transfer_grant as given join job on job.id = given.job
             where given.secret = $1",
        )
        .bind(secret)
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing(
            "looking for the job of a transfer's secret",
        ))?;
        Ok(found.map(|(Json(spec),)| spec))
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn forget_grants(&self, job: JobId) -> Result<(), CatalogError> {
        let failed = CatalogError::doing("voiding the secrets of a transfer");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        forget(&mut connection, job).await.map_err(&failed)
    }
}

pub(super) async fn forget(connection: &mut PgConnection, job: JobId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from transfer_grant where job = $1")
        .bind(job.cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}
