//! Table `drill`: what restoring backups into throwaway servers has shown.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_proto::{
    drill::{DrillReport, Verdict},
    names::{DatabaseName, HostName},
};
use sqlx::FromRow;

use super::{Backup, BackupId, Catalog, CatalogError};
use crate::job::JobId;

/// Counted from 1.
pub type DrillId = u64;

/// A row of the table, without its report.
#[derive(Debug, Clone, PartialEq)]
pub struct Drill {
    pub id: DrillId,
    pub job: JobId,
    pub database: DatabaseName,
    pub backup: BackupId,
    pub taken_at: DateTime<Utc>,
    pub host: HostName,
    pub started_at: DateTime<Utc>,
    /// None while it runs.
    pub ended: Option<Ended>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub at: DateTime<Utc>,
    pub verdict: Verdict,
    /// The first rung that did not pass, for people; empty when all did.
    pub broken: String,
    pub reason: String,
    /// None when it did not come to a database.
    pub took: Option<Duration>,
    pub rpo: Option<Duration>,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i64")]
    id: u64,
    #[sqlx(try_from = "i64")]
    job: u64,
    #[sqlx(try_from = "String")]
    host: HostName,
    instance: String,
    database: String,
    #[sqlx(try_from = "i64")]
    backup: u64,
    taken_at: DateTime<Utc>,
    #[sqlx(try_from = "String")]
    drilled_on: HostName,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    verdict: Option<String>,
    broken: String,
    reason: String,
    took_ms: Option<i64>,
    rpo_ms: Option<i64>,
}

const COLUMNS: &str =
    "id, job, host, instance, database, backup, taken_at, drilled_on, started_at, ended_at,
    verdict, broken, reason, took_ms, rpo_ms";

impl Catalog {
    /// Notes that a drill begins. One that its job has begun already is given back as it is.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn begin_drill(
        &self,
        job: JobId,
        backup: &Backup,
        host: &HostName,
        at: DateTime<Utc>,
    ) -> Result<Drill, CatalogError> {
        let doing = CatalogError::doing("noting that a drill begins");
        let of = &backup.database;
        sqlx::query(
            "insert into drill (job, host, instance, database, backup, taken_at, drilled_on, started_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (job) do nothing",
        )
        .bind(job.cast_signed())
        .bind(of.host.as_str())
        .bind(&of.instance)
        .bind(&of.database)
        .bind(backup.id.cast_signed())
        .bind(backup.taken_at)
        .bind(host.as_str())
        .bind(at)
        .execute(&self.pool)
        .await
        .map_err(&doing)?;
        let row: Row = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from drill where job = $1"
        )))
        .bind(job.cast_signed())
        .fetch_one(&self.pool)
        .await
        .map_err(&doing)?;
        Ok(row.into())
    }

    /// Stores what a drill found. What was stored before stays: false, nothing was changed.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn end_drill(&self, report: &DrillReport, text: &str) -> Result<bool, CatalogError> {
        let broken = report.broken.map(|rung| rung.title());
        let changed = sqlx::query(
            "update drill set ended_at = $2, verdict = $3, broken = $4, reason = $5, took_ms = $6,
                rpo_ms = $7, report = $8
             where job = $1 and ended_at is null",
        )
        .bind(report.job.cast_signed())
        .bind(report.ended_at)
        .bind(report.verdict.as_str())
        .bind(broken.unwrap_or_default())
        .bind(&report.reason)
        .bind(report.times.took_ms.map(u64::cast_signed))
        .bind(report.times.rpo_ms.cast_signed())
        .bind(text)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("storing what a drill found"))?;
        Ok(changed.rows_affected() > 0)
    }

    /// Newest first; of one database, or of all.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn drills(&self, of: Option<&DatabaseName>) -> Result<Vec<Drill>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from drill
             where $1::text is null or (host = $1 and instance = $2 and database = $3)
             order by started_at desc, id desc"
        )))
        .bind(of.map(|name| name.host.as_str()))
        .bind(of.map(|name| name.instance.as_str()))
        .bind(of.map(|name| name.database.as_str()))
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing drills"))?;
        Ok(rows.into_iter().map(Drill::from).collect())
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn drill(&self, id: DrillId) -> Result<Option<Drill>, CatalogError> {
        self.drill_where("id", id).await
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn drill_of_job(&self, job: JobId) -> Result<Option<Drill>, CatalogError> {
        self.drill_where("job", job).await
    }

    /// None while it runs.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn drill_report(&self, id: DrillId) -> Result<Option<String>, CatalogError> {
        let row: Option<(Option<String>,)> =
            sqlx::query_as("select report from drill where id = $1")
                .bind(id.cast_signed())
                .fetch_optional(&self.pool)
                .await
                .map_err(CatalogError::doing("reading the report of a drill"))?;
        Ok(row.and_then(|(report,)| report))
    }

    async fn drill_where(
        &self,
        column: &'static str,
        is: u64,
    ) -> Result<Option<Drill>, CatalogError> {
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from drill where {column} = $1"
        )))
        .bind(is.cast_signed())
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing("reading a drill"))?;
        Ok(row.map(Drill::from))
    }
}

impl From<Row> for Drill {
    fn from(row: Row) -> Self {
        let verdict = row.verdict.as_deref().map(|word| match word {
            "proven" => Verdict::Proven,
            "damaged" => Verdict::Damaged,
            // The table allows no other word; and what is not known is never green.
            _ => Verdict::CouldNotRun,
        });
        let duration = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        Self {
            id: row.id,
            job: row.job,
            database: DatabaseName {
                host: row.host,
                instance: row.instance,
                database: row.database,
            },
            backup: row.backup,
            taken_at: row.taken_at,
            host: row.drilled_on,
            started_at: row.started_at,
            ended: row.ended_at.zip(verdict).map(|(at, verdict)| Ended {
                at,
                verdict,
                broken: row.broken,
                reason: row.reason,
                took: row.took_ms.map(duration),
                rpo: row.rpo_ms.map(duration),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::drill::{
        DrillTargets, DrillTimes, DrillVersions, DrilledBackup, REPORT_FORMAT, RungName,
    };

    use super::*;
    use crate::catalog::{BackupKind, NewBackup, testing::TestCatalog};

    fn report(drill: &Drill, verdict: Verdict) -> DrillReport {
        let at = drill.started_at;
        DrillReport {
            format: REPORT_FORMAT,
            drill: drill.id,
            job: drill.job,
            database: drill.database.to_string(),
            backup: DrilledBackup {
                id: drill.backup,
                kind: "full".to_owned(),
                taken_at: at,
                stored_at: at,
                snapshot: "a".to_owned(),
                lsn: String::new(),
                tables: 0,
                rows: 0,
                bytes: 0,
                schema_hash: String::new(),
                files: 0,
                fingerprint: String::new(),
            },
            host: drill.host.to_string(),
            image: String::new(),
            image_id: String::new(),
            limits: holdfast_proto::task::SandboxLimits::default(),
            started_at: at,
            ended_at: at + chrono::TimeDelta::seconds(9),
            verdict,
            broken: (verdict != Verdict::Proven).then_some(RungName::Rows),
            reason: String::new(),
            rungs: vec![],
            times: DrillTimes {
                took_ms: Some(9_000),
                rpo_ms: 60_000,
                ..DrillTimes::default()
            },
            targets: DrillTargets::default(),
            versions: DrillVersions::default(),
        }
    }

    #[tokio::test]
    async fn a_drill_begins_and_ends_once() {
        let catalog = TestCatalog::new().await;
        let now: DateTime<Utc> = "2026-11-20T06:00:00Z".parse().unwrap();
        let (job,): (i64,) = sqlx::query_as(
            "insert into job (kind, spec, title, requested_by, created_at, state, summary)
             values ('x', '{}', 'x', 'x', now(), 'running', '{}') returning id",
        )
        .fetch_one(&catalog.pool)
        .await
        .unwrap();
        let job = job.cast_unsigned();
        let new = NewBackup {
            database: "web-1/shop-db/shop".parse().unwrap(),
            engine: Some(holdfast_proto::fleet::Engine::Postgres),
            kind: BackupKind::Full,
            taken_at: now,
            stored_at: now,
            logical_bytes: 1,
            stored_bytes: 1,
            snapshot_id: "a".to_owned(),
            manifest: serde_json::json!({}),
            job: None,
        };
        let backup = catalog.add_backup(&new).await.unwrap();
        let backup = catalog.backup(backup).await.unwrap().unwrap();
        let host: HostName = "web-2".parse().unwrap();
        let begun = catalog.begin_drill(job, &backup, &host, now).await.unwrap();
        assert_eq!((begun.ended.clone(), begun.started_at), (None, now));
        let later = now + chrono::TimeDelta::hours(1);
        let again = catalog.begin_drill(job, &backup, &host, later).await;
        assert_eq!(again.unwrap(), begun, "a step that runs again finds it");
        assert_eq!(catalog.drill_report(begun.id).await.unwrap(), None);

        let damaged = report(&begun, Verdict::Damaged);
        assert!(catalog.end_drill(&damaged, "first").await.unwrap());
        let other = report(&begun, Verdict::Proven);
        assert!(!catalog.end_drill(&other, "second").await.unwrap());
        let ended = catalog.drill(begun.id).await.unwrap().unwrap();
        let end = ended.ended.clone().unwrap();
        assert_eq!(
            (end.verdict, end.broken.as_str()),
            (Verdict::Damaged, RungName::Rows.title())
        );
        assert_eq!(end.took, Some(Duration::from_secs(9)));
        assert_eq!(
            catalog.drill_report(begun.id).await.unwrap().as_deref(),
            Some("first")
        );
        assert_eq!(
            catalog.drill_of_job(job).await.unwrap(),
            Some(ended.clone())
        );
        let shop = "web-1/shop-db/shop".parse().unwrap();
        let of_shop = catalog.drills(Some(&shop)).await.unwrap();
        assert_eq!(of_shop, std::slice::from_ref(&ended));
        assert_eq!(catalog.drills(None).await.unwrap(), [ended]);
        let crm = "web-1/shop-db/crm".parse().unwrap();
        assert_eq!(catalog.drills(Some(&crm)).await.unwrap(), []);
    }
}
