//! Table `recovery_measurement`: what a restore, a drill or a rebuild took.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_proto::names::{DatabaseName, HostName};
use sqlx::FromRow;

use super::{BackupId, Catalog, CatalogError};
use crate::{
    job::JobId,
    objective::{Recovery, Scenario},
};

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "String")]
    host: HostName,
    instance: String,
    database: String,
    scenario: String,
    at: DateTime<Utc>,
    passed: bool,
    backup: Option<i64>,
    job: Option<i64>,
    took_ms: i64,
    fetch_ms: i64,
    restore_ms: i64,
    index_ms: i64,
    check_ms: i64,
    rpo_ms: Option<i64>,
}

impl Catalog {
    /// One that its job has stored already is left as it is.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn add_recovery(&self, recovery: &Recovery) -> Result<(), CatalogError> {
        sqlx::query(
            "insert into recovery_measurement (host, instance, database, scenario, at, passed, backup, job,
                took_ms, fetch_ms, restore_ms, index_ms, check_ms, rpo_ms)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             on conflict (job, host, instance, database, scenario) where job is not null do nothing",
        )
        .bind(recovery.database.host.as_str())
        .bind(&recovery.database.instance)
        .bind(&recovery.database.database)
        .bind(recovery.scenario.as_str())
        .bind(recovery.at)
        .bind(recovery.passed)
        .bind(recovery.backup.map(u64::cast_signed))
        .bind(recovery.job.map(u64::cast_signed))
        .bind(milliseconds(recovery.took))
        .bind(milliseconds(recovery.fetch))
        .bind(milliseconds(recovery.restore))
        .bind(milliseconds(recovery.index))
        .bind(milliseconds(recovery.check))
        .bind(recovery.rpo.map(milliseconds))
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("storing what a recovery took"))?;
        Ok(())
    }

    /// The last twenty of each database and scenario, oldest first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn recoveries(&self) -> Result<Vec<Recovery>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select host, instance, database, scenario, at, passed, backup, job,
                took_ms, fetch_ms, restore_ms, index_ms, check_ms, rpo_ms
             from (select *, row_number() over
                    (partition by host, instance, database, scenario order by at desc, id desc) as place
                from recovery_measurement) m
             where place <= 20 order by at, id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing what recoveries took"))?;
        Ok(rows.into_iter().filter_map(recovery).collect())
    }
}

/// None for a scenario that the table does not allow.
fn recovery(row: Row) -> Option<Recovery> {
    let mut scenarios = Scenario::MEASURED.into_iter();
    Some(Recovery {
        database: DatabaseName {
            host: row.host,
            instance: row.instance,
            database: row.database,
        },
        scenario: scenarios.find(|scenario| scenario.as_str() == row.scenario)?,
        at: row.at,
        passed: row.passed,
        backup: row.backup.map(i64::cast_unsigned) as Option<BackupId>,
        job: row.job.map(i64::cast_unsigned) as Option<JobId>,
        took: duration(row.took_ms),
        fetch: duration(row.fetch_ms),
        restore: duration(row.restore_ms),
        index: duration(row.index_ms),
        check: duration(row.check_ms),
        rpo: row.rpo_ms.map(duration),
    })
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn duration(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::TestCatalog;

    #[tokio::test]
    async fn what_was_measured_comes_back_oldest_first_and_twenty_of_each() {
        let catalog = TestCatalog::new().await;
        let start: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
        let measured = |hour: u32, scenario| Recovery {
            database: "web-1/shop-db/shop".parse().unwrap(),
            scenario,
            at: start + chrono::TimeDelta::hours(hour.into()),
            passed: hour != 3,
            backup: None,
            job: None,
            took: Duration::from_secs(90 + u64::from(hour)),
            fetch: Duration::from_secs(1),
            restore: Duration::from_secs(2),
            index: Duration::from_secs(3),
            check: Duration::from_secs(4),
            rpo: Some(Duration::from_hours(5)),
        };
        for hour in (0..25).rev() {
            catalog
                .add_recovery(&measured(hour, Scenario::Drill))
                .await
                .unwrap();
        }
        catalog
            .add_recovery(&measured(3, Scenario::Restore))
            .await
            .unwrap();
        let all = catalog.recoveries().await.unwrap();
        let drills: Vec<_> = all
            .iter()
            .filter(|r| r.scenario == Scenario::Drill)
            .cloned()
            .collect();
        let wanted: Vec<_> = (5..25)
            .map(|hour| measured(hour, Scenario::Drill))
            .collect();
        assert_eq!(drills, wanted);
        assert!(all.contains(&measured(3, Scenario::Restore)));
    }
}
