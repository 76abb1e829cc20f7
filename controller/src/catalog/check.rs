//! Table `database_check`: the user-count checks.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    check::{CheckLimits, ScheduledCheck},
    names::{DatabaseName, HostName},
};
use sqlx::FromRow;

use super::{Catalog, CatalogError};
use crate::check::{Check, CheckState};

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i64")]
    id: u64,
    #[sqlx(try_from = "String")]
    host: HostName,
    instance: String,
    database: String,
    name: String,
    count_sql: String,
    newest_sql: String,
    min_count: Option<i64>,
    max_count: Option<i64>,
    max_drop_percent: Option<f64>,
    max_age_ms: Option<i64>,
    every_ms: i64,
    timeout_ms: i64,
}

impl Catalog {
    /// Stores the check (its id is not looked at) or replaces the one of its name, which keeps
    /// id and history. True: it replaced one.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn put_check(
        &self,
        check: &Check,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(u64, bool), CatalogError> {
        let (id, replaced): (i64, bool) = sqlx::query_as(
            "insert into database_check (host, instance, database, name, count_sql, newest_sql,
                min_count, max_count, max_drop_percent, max_age_ms, every_ms, timeout_ms, set_by, set_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             on conflict (host, instance, database, name) do update set
                count_sql = excluded.count_sql, newest_sql = excluded.newest_sql,
                min_count = excluded.min_count, max_count = excluded.max_count,
                max_drop_percent = excluded.max_drop_percent, max_age_ms = excluded.max_age_ms,
                every_ms = excluded.every_ms, timeout_ms = excluded.timeout_ms,
                set_by = excluded.set_by, set_at = excluded.set_at
             returning id, xmax <> 0",
        )
        .bind(check.database.host.as_str())
        .bind(&check.database.instance)
        .bind(&check.database.database)
        .bind(&check.name)
        .bind(&check.count_sql)
        .bind(&check.newest_sql)
        .bind(check.limits.min)
        .bind(check.limits.max)
        .bind(check.limits.max_drop_percent)
        .bind(check.limits.max_age.map(milliseconds))
        .bind(milliseconds(check.every))
        .bind(milliseconds(check.timeout))
        .bind(by)
        .bind(now)
        .fetch_one(&self.pool)
        .await
        .map_err(CatalogError::doing("storing a check"))?;
        Ok((id.cast_unsigned(), replaced))
    }

    /// With its history. False: there was none.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn remove_check(
        &self,
        database: &DatabaseName,
        name: &str,
    ) -> Result<bool, CatalogError> {
        let removed = sqlx::query(
            "delete from database_check
             where host = $1 and instance = $2 and database = $3 and name = $4",
        )
        .bind(database.host.as_str())
        .bind(&database.instance)
        .bind(&database.database)
        .bind(name)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("removing a check"))?;
        Ok(removed.rows_affected() > 0)
    }

    /// By database and name.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn checks(&self) -> Result<Vec<Check>, CatalogError> {
        let rows: Vec<Row> =
            sqlx::query_as("select * from database_check order by host, instance, database, name")
                .fetch_all(&self.pool)
                .await
                .map_err(CatalogError::doing("listing checks"))?;
        Ok(rows.into_iter().map(Check::from).collect())
    }

    /// By database and name, with who has set it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn checks_with_owner(&self) -> Result<Vec<(Check, String)>, CatalogError> {
        let owners: Vec<(i64, String)> = sqlx::query_as("select id, set_by from database_check")
            .fetch_all(&self.pool)
            .await
            .map_err(CatalogError::doing("asking who has set checks"))?;
        let mut owners: BTreeMap<u64, String> = owners
            .into_iter()
            .map(|(id, by)| (id.cast_unsigned(), by))
            .collect();
        let checks = self.checks().await?.into_iter();
        // One that came in between has no owner yet, and is there with the next look.
        Ok(checks
            .filter_map(|check| Some((check.clone(), owners.remove(&check.id)?)))
            .collect())
    }

    /// Every check with its last run.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn check_states(&self) -> Result<Vec<CheckState>, CatalogError> {
        let mut last: BTreeMap<u64, _> = self.last_check_runs().await?.into_iter().collect();
        let checks = self.checks().await?;
        Ok(checks
            .into_iter()
            .map(|check| CheckState {
                last: last.remove(&check.id),
                check,
            })
            .collect())
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn check(&self, id: u64) -> Result<Option<Check>, CatalogError> {
        let row: Option<Row> = sqlx::query_as("select * from database_check where id = $1")
            .bind(id.cast_signed())
            .fetch_optional(&self.pool)
            .await
            .map_err(CatalogError::doing("reading a check"))?;
        Ok(row.map(Check::from))
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn check_named(
        &self,
        database: &DatabaseName,
        name: &str,
    ) -> Result<Option<Check>, CatalogError> {
        let checks = self.checks_of(database).await?;
        Ok(checks.into_iter().find(|check| check.name == name))
    }

    /// Those of one database.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn checks_of(&self, database: &DatabaseName) -> Result<Vec<Check>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select * from database_check
             where host = $1 and instance = $2 and database = $3 order by name",
        )
        .bind(database.host.as_str())
        .bind(&database.instance)
        .bind(&database.database)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing the checks of a database"))?;
        Ok(rows.into_iter().map(Check::from).collect())
    }

    /// What the host's agent runs on its own.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn scheduled_checks(
        &self,
        host: &HostName,
    ) -> Result<Vec<ScheduledCheck>, CatalogError> {
        let rows: Vec<Row> =
            sqlx::query_as("select * from database_check where host = $1 order by id")
                .bind(host.as_str())
                .fetch_all(&self.pool)
                .await
                .map_err(CatalogError::doing("listing the checks of a host"))?;
        Ok(rows
            .into_iter()
            .map(Check::from)
            .map(|check| ScheduledCheck {
                id: check.id,
                run: check.task_on(&check.database.instance, &check.database.database),
                every: check.every,
            })
            .collect())
    }
}

impl From<Row> for Check {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            database: DatabaseName {
                host: row.host,
                instance: row.instance,
                database: row.database,
            },
            name: row.name,
            count_sql: row.count_sql,
            newest_sql: row.newest_sql,
            limits: CheckLimits {
                min: row.min_count,
                max: row.max_count,
                max_drop_percent: row.max_drop_percent,
                max_age: row.max_age_ms.map(duration),
            },
            every: duration(row.every_ms),
            timeout: duration(row.timeout_ms),
        }
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn duration(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}
