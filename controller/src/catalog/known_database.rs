//! Table `known_database`: databases that hosts have reported, also while their server is down.

use chrono::{DateTime, Utc};
use holdfast_proto::names::{DatabaseName, HostName};
use sqlx::{FromRow, types::Json};

use super::{Catalog, CatalogError};
use crate::policy::{Known, RollCall, Subject};

#[derive(FromRow)]
struct Row {
    first_seen_at: DateTime<Utc>,
    subject: Json<Subject>,
}

impl Catalog {
    /// Those that are there as far as anybody knows, by name.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn known_databases(&self) -> Result<Vec<Known>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select first_seen_at, subject from known_database where gone_at is null
             order by host, instance, database",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing known databases"))?;
        let known = rows.into_iter().map(|row| Known {
            subject: row.subject.0,
            since: row.first_seen_at,
        });
        Ok(known.collect())
    }

    /// Notes what has come, changed and gone. Hosts that left the fleet meanwhile are passed over.
    ///
    /// # Errors
    /// When the catalog fails; what was noted before stays, and the rest comes with the next call.
    pub async fn note_databases(
        &self,
        call: &RollCall,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        for subject in &call.here {
            self.note_database(subject, now).await?;
        }
        for database in &call.gone {
            self.forget_database(database, now).await?;
        }
        Ok(())
    }

    /// One that comes back is a new one: nobody knows whether it is the same.
    async fn note_database(
        &self,
        subject: &Subject,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        let name: &DatabaseName = &subject.database;
        let host: &HostName = &name.host;
        sqlx::query(
            "insert into known_database (host, instance, database, first_seen_at, subject)
             select name, $2, $3, $4, $5 from host where name = $1
             on conflict (host, instance, database) do update set
                subject = excluded.subject, gone_at = null,
                first_seen_at = case when known_database.gone_at is null
                    then known_database.first_seen_at else excluded.first_seen_at end",
        )
        .bind(host.as_str())
        .bind(&name.instance)
        .bind(&name.database)
        .bind(now)
        .bind(Json(subject))
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("noting a database"))?;
        Ok(())
    }

    async fn forget_database(
        &self,
        name: &DatabaseName,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "update known_database set gone_at = $4
             where host = $1 and instance = $2 and database = $3 and gone_at is null",
        )
        .bind(name.host.as_str())
        .bind(&name.instance)
        .bind(&name.database)
        .bind(now)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("noting that a database is gone"))?;
        Ok(())
    }
}
