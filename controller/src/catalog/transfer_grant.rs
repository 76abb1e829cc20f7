//! Table `transfer_grant`: the one-time secrets of running transfers.
//!
//! They are stored so that a controller that takes a transfer over hands the same secret to an
//! end that has not got it yet; they go when the job ends.

use rand::RngCore;
use sqlx::PgConnection;

use super::{Catalog, CatalogError};
use crate::job::JobId;

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
