//! Table `host`: the machines that belong to the fleet.

use chrono::{DateTime, Utc};
use holdfast_proto::names::HostName;

use sqlx::PgConnection;

use super::{Catalog, CatalogError};

impl Catalog {
    /// The host belongs to the fleet from now on; one that did already keeps its day.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn add_host(
        &self,
        host: &HostName,
        enrolled_at: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        let mut connection = self
            .pool
            .acquire()
            .await
            .map_err(CatalogError::doing("adding a host"))?;
        insert_host(&mut connection, host.as_str(), enrolled_at).await
    }

    /// With everything that was known of it. Says whether it was there.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn remove_host(&self, host: &HostName) -> Result<bool, CatalogError> {
        sqlx::query("delete from host where name = $1")
            .bind(host.as_str())
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected() > 0)
            .map_err(CatalogError::doing("removing a host"))
    }
}

/// In the transaction that also records the host's certificate.
pub(crate) async fn insert_host(
    connection: &mut PgConnection,
    host: &str,
    enrolled_at: DateTime<Utc>,
) -> Result<(), CatalogError> {
    sqlx::query("insert into host (name, enrolled_at) values ($1, $2) on conflict do nothing")
        .bind(host)
        .bind(enrolled_at)
        .execute(connection)
        .await
        .map(drop)
        .map_err(CatalogError::doing("adding a host"))
}
