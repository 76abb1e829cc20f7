//! Table `drill`: what restoring backups into throwaway servers has shown.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_proto::{
    drill::{DrillKind, DrillReport, Verdict},
    names::{DatabaseName, HostName},
};
use sqlx::FromRow;

use super::{BackupId, Catalog, CatalogError};
use crate::job::JobId;

/// Counted from 1.
pub type DrillId = u64;

/// A row of the table, without its report.
#[derive(Debug, Clone, PartialEq)]
pub struct Drill {
    pub id: DrillId,
    pub job: JobId,
    pub of: DrillOf,
    pub started_at: DateTime<Utc>,
    /// None while it runs.
    pub ended: Option<Ended>,
}

/// What is drilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrillOf {
    Backup {
        database: DatabaseName,
        backup: BackupId,
        taken_at: DateTime<Utc>,
        /// Where it is restored.
        on: HostName,
    },
    /// Everything of the host.
    Rebuild { host: HostName, on: HostName },
    /// The host's repository.
    Offsite { host: HostName },
}

/// Which drills are listed: all that fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrillsOf {
    /// Its own, and those of its host as a whole, which look at it too.
    pub database: Option<DatabaseName>,
    /// Of its databases, of itself and of its repository.
    pub host: Option<HostName>,
    pub kind: Option<DrillKind>,
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
    kind: String,
    #[sqlx(try_from = "String")]
    host: HostName,
    instance: Option<String>,
    database: Option<String>,
    backup: Option<i64>,
    taken_at: Option<DateTime<Utc>>,
    drilled_on: Option<String>,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    verdict: Option<String>,
    broken: String,
    reason: String,
    took_ms: Option<i64>,
    rpo_ms: Option<i64>,
}

const COLUMNS: &str =
    "id, job, kind, host, instance, database, backup, taken_at, drilled_on, started_at, ended_at,
    verdict, broken, reason, took_ms, rpo_ms";

impl Catalog {
    /// Notes that a drill begins. One that its job has begun already is given back as it is.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn begin_drill(
        &self,
        job: JobId,
        of: &DrillOf,
        at: DateTime<Utc>,
    ) -> Result<Drill, CatalogError> {
        let doing = CatalogError::doing("noting that a drill begins");
        let (database, backup) = match of {
            DrillOf::Backup {
                database,
                backup,
                taken_at,
                ..
            } => (Some(database), Some((backup, taken_at))),
            DrillOf::Rebuild { .. } | DrillOf::Offsite { .. } => (None, None),
        };
        sqlx::query(
            "insert into drill (job, kind, host, instance, database, backup, taken_at, drilled_on, started_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (job) do nothing",
        )
        .bind(job.cast_signed())
        .bind(of.kind().as_str())
        .bind(of.host().as_str())
        .bind(database.map(|name| &name.instance))
        .bind(database.map(|name| &name.database))
        .bind(backup.map(|(id, _)| id.cast_signed()))
        .bind(backup.map(|(_, taken_at)| taken_at))
        .bind(of.on().map(HostName::as_str))
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
        drill(row)
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
        .bind(report.times.rpo_ms.map(u64::cast_signed))
        .bind(text)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("storing what a drill found"))?;
        Ok(changed.rows_affected() > 0)
    }

    /// Newest first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn drills(&self, of: &DrillsOf) -> Result<Vec<Drill>, CatalogError> {
        let database = of.database.as_ref();
        let host = database.map(|name| &name.host).or(of.host.as_ref());
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from drill
             where ($1::text is null or host = $1)
                and ($2::text is null or kind <> 'backup' or (instance = $2 and database = $3))
                and ($4::text is null or kind = $4)
             order by started_at desc, id desc"
        )))
        .bind(host.map(HostName::as_str))
        .bind(database.map(|name| name.instance.as_str()))
        .bind(database.map(|name| name.database.as_str()))
        .bind(of.kind.map(DrillKind::as_str))
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing drills"))?;
        rows.into_iter().map(drill).collect()
    }

    /// Of hosts as a whole: the last five of each host, kind and verdict, and those that run; newest first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn host_drills(&self) -> Result<Vec<Drill>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from (select *, row_number() over
                (partition by host, kind, verdict order by id desc) as place
                from drill where kind <> 'backup') d
             where place <= 5 order by started_at desc, id desc"
        )))
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing the drills of hosts"))?;
        rows.into_iter().map(drill).collect()
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
        row.map(drill).transpose()
    }
}

impl DrillOf {
    #[must_use]
    pub fn kind(&self) -> DrillKind {
        match self {
            Self::Backup { .. } => DrillKind::Backup,
            Self::Rebuild { .. } => DrillKind::Rebuild,
            Self::Offsite { .. } => DrillKind::Offsite,
        }
    }

    /// Whose backups are drilled.
    #[must_use]
    pub fn host(&self) -> &HostName {
        match self {
            Self::Backup { database, .. } => &database.host,
            Self::Rebuild { host, .. } | Self::Offsite { host } => host,
        }
    }

    /// Where something is restored.
    #[must_use]
    pub fn on(&self) -> Option<&HostName> {
        match self {
            Self::Backup { on, .. } | Self::Rebuild { on, .. } => Some(on),
            Self::Offsite { .. } => None,
        }
    }

    /// The database, or the host.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Backup { database, .. } => database.to_string(),
            Self::Rebuild { host, .. } | Self::Offsite { host } => host.to_string(),
        }
    }
}

fn drill(row: Row) -> Result<Drill, CatalogError> {
    let wrong = |what: String| {
        CatalogError::doing("reading a drill")(sqlx::Error::Decode(
            format!("drill {}: {what}", row.id).into(),
        ))
    };
    let on = row.drilled_on.clone().map(HostName::try_from).transpose();
    let on = on.map_err(|error| wrong(error.to_string()))?;
    let of = match (row.kind.as_str(), on) {
        ("offsite", None) => Some(DrillOf::Offsite {
            host: row.host.clone(),
        }),
        ("rebuild", Some(on)) => Some(DrillOf::Rebuild {
            host: row.host.clone(),
            on,
        }),
        ("backup", Some(on)) => of_backup(&row, on),
        _ => None,
    };
    // The table allows no such row; a later version may.
    let of = of.ok_or_else(|| wrong(format!("kind {:?} is not known here", row.kind)))?;
    let verdict = row.verdict.as_deref().map(|word| match word {
        "proven" => Verdict::Proven,
        "damaged" => Verdict::Damaged,
        "incomplete" => Verdict::Incomplete,
        // The table allows no other word; and what is not known is never green.
        _ => Verdict::CouldNotRun,
    });
    let duration = |ms: i64| Duration::from_millis(ms.unsigned_abs());
    Ok(Drill {
        id: row.id,
        job: row.job,
        of,
        started_at: row.started_at,
        ended: row.ended_at.zip(verdict).map(|(at, verdict)| Ended {
            at,
            verdict,
            broken: row.broken,
            reason: row.reason,
            took: row.took_ms.map(duration),
            rpo: row.rpo_ms.map(duration),
        }),
    })
}

fn of_backup(row: &Row, on: HostName) -> Option<DrillOf> {
    Some(DrillOf::Backup {
        database: DatabaseName {
            host: row.host.clone(),
            instance: row.instance.clone()?,
            database: row.database.clone()?,
        },
        backup: row.backup?.cast_unsigned(),
        taken_at: row.taken_at?,
        on,
    })
}

#[cfg(test)]
mod tests {
    use holdfast_proto::drill::RungName;

    use super::*;
    use crate::catalog::{
        BackupKind, NewBackup,
        testing::{TestCatalog, drill_report as report},
    };

    async fn a_job(catalog: &TestCatalog) -> JobId {
        let (job,): (i64,) = sqlx::query_as(
            "insert into job (kind, spec, title, requested_by, created_at, state, summary)
             values ('x', '{}', 'x', 'x', now(), 'running', '{}') returning id",
        )
        .fetch_one(&catalog.pool)
        .await
        .unwrap();
        job.cast_unsigned()
    }

    #[tokio::test]
    async fn drills_of_hosts_have_no_backup_and_are_listed_with_their_host() {
        let catalog = TestCatalog::new().await;
        let now: DateTime<Utc> = "2026-11-20T06:00:00Z".parse().unwrap();
        let host: HostName = "web-1".parse().unwrap();
        let on: HostName = "web-2".parse().unwrap();
        let mut begun = Vec::new();
        for of in [
            DrillOf::Offsite { host: host.clone() },
            DrillOf::Rebuild {
                host: host.clone(),
                on: on.clone(),
            },
        ] {
            let job = a_job(&catalog).await;
            let drill = catalog.begin_drill(job, &of, now).await.unwrap();
            assert_eq!(drill.of, of);
            begun.insert(0, drill);
        }
        let listed = |host: Option<HostName>, kind| {
            let of = DrillsOf {
                host,
                kind,
                ..DrillsOf::default()
            };
            let catalog = &catalog;
            async move { catalog.drills(&of).await.unwrap() }
        };
        assert_eq!(listed(Some(host.clone()), None).await, begun);
        assert_eq!(listed(Some(on), None).await, []);
        let of_shop = DrillsOf {
            database: Some("web-1/shop-db/shop".parse().unwrap()),
            ..DrillsOf::default()
        };
        let of_shop = catalog.drills(&of_shop).await.unwrap();
        assert_eq!(of_shop, begun, "they look at its databases too");
        let kind = Some(DrillKind::Offsite);
        assert_eq!(listed(Some(host), kind).await, begun[1..]);
        assert!(
            catalog
                .end_drill(&report(&begun[0], Verdict::Incomplete), "x")
                .await
                .unwrap()
        );
        let ended = catalog.drill(begun[0].id).await.unwrap().unwrap().ended;
        assert_eq!(ended.unwrap().verdict, Verdict::Incomplete);
    }

    #[tokio::test]
    async fn a_drill_begins_and_ends_once() {
        let catalog = TestCatalog::new().await;
        let now: DateTime<Utc> = "2026-11-20T06:00:00Z".parse().unwrap();
        let job = a_job(&catalog).await;
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
        let of = DrillOf::Backup {
            database: backup.database,
            backup: backup.id,
            taken_at: backup.taken_at,
            on: "web-2".parse().unwrap(),
        };
        let begun = catalog.begin_drill(job, &of, now).await.unwrap();
        assert_eq!((begun.ended.clone(), begun.started_at), (None, now));
        let later = now + chrono::TimeDelta::hours(1);
        let again = catalog.begin_drill(job, &of, later).await;
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
        let named = |name: &str| DrillsOf {
            database: Some(name.parse().unwrap()),
            ..DrillsOf::default()
        };
        let of_shop = catalog.drills(&named("web-1/shop-db/shop")).await.unwrap();
        assert_eq!(of_shop, std::slice::from_ref(&ended));
        let all = catalog.drills(&DrillsOf::default()).await.unwrap();
        assert_eq!(all, [ended]);
        let crm = catalog.drills(&named("web-1/shop-db/crm")).await.unwrap();
        assert_eq!(crm, []);
    }
}
