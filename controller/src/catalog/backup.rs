//! Table `backup`: every image that a repository holds or held.
//!
//! The row is written after the snapshot, so a backup that has a row is whole; a snapshot without one is
//! the leftover of a write that was interrupted, and counts for nothing.

use std::{collections::BTreeMap, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use holdfast_proto::{fleet::Engine, names::DatabaseName};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, types::Json};

use super::{Catalog, CatalogError};
use crate::{job::JobId, retention::Deletion};

mod removal;

pub use removal::Shelved;

/// Counted from 1.
pub type BackupId = u64;

/// What is known of how good a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupState {
    /// The repository has it; nothing was read back.
    Stored,
    /// The repository's data were read and are intact.
    Checked,
    /// A drill restored it and found everything.
    Proven,
    /// A check or a drill found something broken.
    Damaged,
    /// Removed.
    Expired,
}

/// How much of the database is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupKind {
    Full,
    SchemaOnly,
    /// Some tables, chosen by name.
    Tables,
    Volume,
    /// The whole database as it was when a restore took its place. Never what `latest` means.
    BeforeReplace,
}

impl BackupKind {
    /// Everything is in it, as it stands under its name: what drills, objectives and `latest` mean.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Full | Self::Volume)
    }
}

/// A word of the catalog that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("{word:?} is no {what} of a backup")]
pub struct UnknownWord {
    what: &'static str,
    word: String,
}

/// A backup that was just written to a repository.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBackup {
    /// Of a volume: its name as that of a series ([`DatabaseName::volume`]).
    pub database: DatabaseName,
    /// None: of a volume.
    pub engine: Option<Engine>,
    pub kind: BackupKind,
    /// The moment that the image shows.
    pub taken_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
    pub logical_bytes: u64,
    /// What it added to the repository.
    pub stored_bytes: u64,
    pub snapshot_id: String,
    pub manifest: serde_json::Value,
    pub job: Option<JobId>,
}

/// A row of the table, without its manifest (see [`Catalog::backup_manifest`]): lists stay small.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    pub id: BackupId,
    pub database: DatabaseName,
    /// None: of a volume.
    pub engine: Option<Engine>,
    pub kind: BackupKind,
    pub state: BackupState,
    pub pinned: bool,
    pub taken_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
    pub proven_at: Option<DateTime<Utc>>,
    pub logical_bytes: u64,
    pub stored_bytes: u64,
    pub snapshot_id: String,
    pub job: Option<JobId>,
    /// Retention does not want it any more, since.
    pub marked_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
    /// Somebody asked for its removal.
    pub deletion: Option<Deletion>,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i64")]
    id: u64,
    #[sqlx(try_from = "String")]
    host: holdfast_proto::names::HostName,
    instance: String,
    database: String,
    #[sqlx(try_from = "Option<String>")]
    engine: OneEngine,
    #[sqlx(try_from = "String")]
    kind: BackupKind,
    #[sqlx(try_from = "String")]
    state: BackupState,
    pinned: bool,
    taken_at: DateTime<Utc>,
    stored_at: DateTime<Utc>,
    proven_at: Option<DateTime<Utc>>,
    #[sqlx(try_from = "i64")]
    logical_bytes: u64,
    #[sqlx(try_from = "i64")]
    stored_bytes: u64,
    snapshot_id: String,
    job: Option<i64>,
    marked_at: Option<DateTime<Utc>>,
    removed_at: Option<DateTime<Utc>>,
    deleted_by: Option<String>,
    delete_forced: bool,
}

/// A type of another crate, read from its word.
struct Word<T>(T);

/// None: of a volume.
struct OneEngine(Option<Engine>);

const COLUMNS: &str =
    "id, host, instance, database, engine, kind, state, pinned, taken_at, stored_at, proven_at,
    logical_bytes, stored_bytes, snapshot_id, job, marked_at, removed_at, deleted_by, delete_forced";

impl Catalog {
    /// Stores a backup. One that this job has stored already is given back as it is, so that the step
    /// that stores may run again.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn add_backup(&self, new: &NewBackup) -> Result<BackupId, CatalogError> {
        let doing = CatalogError::doing("storing a backup");
        let added: Option<(i64,)> = sqlx::query_as(
            "insert into backup (host, instance, database, engine, kind, state, taken_at, stored_at,
                logical_bytes, stored_bytes, snapshot_id, manifest, job)
             values ($1, $2, $3, $4, $5, 'stored', $6, $7, $8, $9, $10, $11, $12)
             on conflict (job, host, instance, database) where job is not null do nothing
             returning id",
        )
        .bind(new.database.host.as_str())
        .bind(&new.database.instance)
        .bind(&new.database.database)
        .bind(new.engine.as_ref().map(word))
        .bind(new.kind.as_str())
        .bind(new.taken_at)
        .bind(new.stored_at)
        .bind(bytes(new.logical_bytes))
        .bind(bytes(new.stored_bytes))
        .bind(&new.snapshot_id)
        .bind(&new.manifest)
        .bind(new.job.map(u64::cast_signed))
        .fetch_optional(&self.pool)
        .await
        .map_err(&doing)?;
        let (id,) = match added {
            Some(added) => added,
            None => sqlx::query_as(
                "select id from backup where job = $1 and host = $2 and instance = $3 and database = $4",
            )
            .bind(new.job.map(u64::cast_signed))
            .bind(new.database.host.as_str())
            .bind(&new.database.instance)
            .bind(&new.database.database)
            .fetch_one(&self.pool)
            .await
            .map_err(&doing)?,
        };
        Ok(id.cast_unsigned())
    }

    /// What the job stored counts no more: it was cancelled at the last moment.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn withdraw_backups(
        &self,
        job: JobId,
        at: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "update backup set state = 'expired', removed_at = $2 where job = $1 and removed_at is null",
        )
        .bind(job.cast_signed())
        .bind(at)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(CatalogError::doing("withdrawing the backups of a job"))
    }

    /// Those that the repository holds, newest first; with `removed`, those that it held as well.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn backups(&self, removed: bool) -> Result<Vec<Backup>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from backup where removed_at is null or $1 order by taken_at desc, id desc"
        )))
        .bind(removed)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing backups"))?;
        Ok(rows.into_iter().map(Backup::from).collect())
    }

    /// When the newest whole backup of each was made of which nothing was missing when it was restored; of a volume
    /// under its name as that of a series.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn newest_proven_backups(
        &self,
    ) -> Result<BTreeMap<DatabaseName, DateTime<Utc>>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from backup
             where state = 'proven' and removed_at is null and deleted_by is null order by taken_at"
        )))
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing proven backups"))?;
        let backups = rows.into_iter().map(Backup::from);
        let whole = backups.filter(|backup| backup.kind.is_whole());
        Ok(whole
            .map(|backup| (backup.database, backup.taken_at))
            .collect())
    }

    /// Those of one database that the repository holds, newest first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn backups_of(&self, database: &DatabaseName) -> Result<Vec<Backup>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from backup
             where removed_at is null and host = $1 and instance = $2 and database = $3
             order by taken_at desc, id desc"
        )))
        .bind(database.host.as_str())
        .bind(&database.instance)
        .bind(&database.database)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing the backups of a database"))?;
        Ok(rows.into_iter().map(Backup::from).collect())
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn backup(&self, id: BackupId) -> Result<Option<Backup>, CatalogError> {
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select {COLUMNS} from backup where id = $1"
        )))
        .bind(id.cast_signed())
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing("reading a backup"))?;
        Ok(row.map(Backup::from))
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn backup_manifest(
        &self,
        id: BackupId,
    ) -> Result<Option<serde_json::Value>, CatalogError> {
        let row: Option<(Json<serde_json::Value>,)> =
            sqlx::query_as("select manifest from backup where id = $1")
                .bind(id.cast_signed())
                .fetch_optional(&self.pool)
                .await
                .map_err(CatalogError::doing("reading the manifest of a backup"))?;
        Ok(row.map(|(Json(manifest),)| manifest))
    }

    /// What was found out about it. One that is proven stays so when its data are only checked again,
    /// and one that was removed stays removed. False: nothing was changed.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn judge_backup(
        &self,
        id: BackupId,
        state: BackupState,
        at: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        let changed = sqlx::query(
            "update backup set state = $2,
                proven_at = case when $2 = 'proven' then $3 else proven_at end
             where id = $1 and removed_at is null and $2 <> 'expired'
                and not (state = 'proven' and $2 in ('stored', 'checked'))",
        )
        .bind(id.cast_signed())
        .bind(state.as_str())
        .bind(at)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("storing the state of a backup"))?;
        Ok(changed.rows_affected() > 0)
    }

    /// Every byte of it was read and is what was stored: more than stored, and nothing against what is known
    /// beyond that. False: nothing was changed.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn backup_was_read(&self, id: BackupId) -> Result<bool, CatalogError> {
        let changed =
            sqlx::query("update backup set state = 'checked' where id = $1 and state = 'stored'")
                .bind(id.cast_signed())
                .execute(&self.pool)
                .await
                .map_err(CatalogError::doing("storing that a backup was read"))?;
        Ok(changed.rows_affected() > 0)
    }
}

impl BackupState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Checked => "checked",
            Self::Proven => "proven",
            Self::Damaged => "damaged",
            Self::Expired => "expired",
        }
    }

    /// It can be restored, as far as anybody knows.
    #[must_use]
    pub fn is_good(self) -> bool {
        match self {
            Self::Stored | Self::Checked | Self::Proven => true,
            Self::Damaged | Self::Expired => false,
        }
    }
}

impl BackupKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SchemaOnly => "schema-only",
            Self::Tables => "tables",
            Self::Volume => "volume",
            Self::BeforeReplace => "before-replace",
        }
    }
}

impl fmt::Display for BackupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BackupState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        parse("state", text)
    }
}

impl TryFrom<String> for BackupState {
    type Error = UnknownWord;

    fn try_from(text: String) -> Result<Self, UnknownWord> {
        parse("state", &text)
    }
}

impl TryFrom<String> for BackupKind {
    type Error = UnknownWord;

    fn try_from(text: String) -> Result<Self, UnknownWord> {
        parse("kind", &text)
    }
}

impl TryFrom<String> for Word<Engine> {
    type Error = UnknownWord;

    fn try_from(text: String) -> Result<Self, UnknownWord> {
        parse("engine", &text).map(Self)
    }
}

impl TryFrom<Option<String>> for OneEngine {
    type Error = UnknownWord;

    fn try_from(text: Option<String>) -> Result<Self, UnknownWord> {
        let engine = text.map(Word::<Engine>::try_from).transpose()?;
        Ok(Self(engine.map(|word| word.0)))
    }
}

impl From<Row> for Backup {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            database: DatabaseName {
                host: row.host,
                instance: row.instance,
                database: row.database,
            },
            engine: row.engine.0,
            kind: row.kind,
            state: row.state,
            pinned: row.pinned,
            taken_at: row.taken_at,
            stored_at: row.stored_at,
            proven_at: row.proven_at,
            logical_bytes: row.logical_bytes,
            stored_bytes: row.stored_bytes,
            snapshot_id: row.snapshot_id,
            job: row.job.map(i64::cast_unsigned),
            marked_at: row.marked_at,
            removed_at: row.removed_at,
            deletion: row.deleted_by.map(|by| Deletion {
                by,
                forced: row.delete_forced,
            }),
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, UnknownWord> {
    serde_json::from_value(text.into()).map_err(|_| UnknownWord {
        what,
        word: text.to_owned(),
    })
}

/// As serde writes it; an enum without fields is always a word.
fn word(value: &impl Serialize) -> String {
    let written = serde_json::to_value(value).ok();
    let word = written.as_ref().and_then(serde_json::Value::as_str);
    word.unwrap_or_default().to_owned()
}

fn bytes(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::catalog::testing::TestCatalog;

    pub(super) fn new(snapshot: &str, taken_at: DateTime<Utc>) -> NewBackup {
        NewBackup {
            database: "web-1/shop-db/shop".parse().unwrap(),
            engine: Some(Engine::Postgres),
            kind: BackupKind::Full,
            taken_at,
            stored_at: taken_at + TimeDelta::minutes(3),
            logical_bytes: 1_000,
            stored_bytes: 10,
            snapshot_id: snapshot.to_owned(),
            manifest: serde_json::json!({ "relations": [] }),
            job: None,
        }
    }

    /// Whole microseconds: what PostgreSQL keeps.
    pub(super) fn moment() -> DateTime<Utc> {
        "2026-11-20T06:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn what_is_stored_comes_back_newest_first_and_goes_when_removed() {
        let catalog = TestCatalog::new().await;
        let old = catalog.add_backup(&new("a", moment())).await.unwrap();
        let later = new("b", moment() + TimeDelta::days(1));
        let newest = catalog.add_backup(&later).await.unwrap();
        let listed = catalog.backups(false).await.unwrap();
        let ids: Vec<_> = listed.iter().map(|backup| backup.id).collect();
        assert_eq!(ids, [newest, old]);
        let shop = "web-1/shop-db/shop".parse().unwrap();
        assert_eq!(catalog.backups_of(&shop).await.unwrap(), listed);
        let other = "web-1/shop-db/crm".parse().unwrap();
        assert_eq!(catalog.backups_of(&other).await.unwrap(), []);
        assert_eq!(listed[0].taken_at, later.taken_at);
        assert_eq!(
            (listed[0].logical_bytes, listed[0].stored_bytes),
            (1_000, 10)
        );
        let manifest = catalog.backup_manifest(old).await.unwrap();
        assert_eq!(manifest, Some(serde_json::json!({ "relations": [] })));

        let remove = || catalog.remove_backup(old, moment() + TimeDelta::seconds(1), (7, moment()));
        assert!(!remove().await.unwrap(), "nobody has marked it");
        catalog.mark_backup(old, Some(moment())).await.unwrap();
        assert!(remove().await.unwrap());
        assert!(!remove().await.unwrap());
        assert_eq!(catalog.backups(false).await.unwrap().len(), 1);
        assert_eq!(catalog.backups(true).await.unwrap().len(), 2);
        let gone = catalog.backup(old).await.unwrap().unwrap();
        assert_eq!(gone.state, BackupState::Expired);
    }

    pub(super) async fn a_job(catalog: &Catalog) -> i64 {
        let (job,): (i64,) = sqlx::query_as(
            "insert into job (kind, spec, title, requested_by, created_at, state, summary)
             values ('x', '{}', 'x', 'x', now(), 'running', '{}') returning id",
        )
        .fetch_one(&catalog.pool)
        .await
        .unwrap();
        job
    }

    #[tokio::test]
    async fn a_job_that_stores_twice_has_stored_once() {
        let catalog = TestCatalog::new().await;
        let job = a_job(&catalog).await;
        let mut backup = new("a", moment());
        backup.job = Some(job.cast_unsigned());
        let first = catalog.add_backup(&backup).await.unwrap();
        backup.snapshot_id = "b".to_owned();
        assert_eq!(catalog.add_backup(&backup).await.unwrap(), first);
        let kept = catalog.backup(first).await.unwrap().unwrap();
        assert_eq!((kept.snapshot_id.as_str(), kept.job), ("a", backup.job));
    }

    #[tokio::test]
    async fn a_proven_backup_stays_proven_and_can_only_get_worse() {
        let catalog = TestCatalog::new().await;
        let id = catalog.add_backup(&new("a", moment())).await.unwrap();
        let judge = |state| catalog.judge_backup(id, state, moment());
        assert!(judge(BackupState::Proven).await.unwrap());
        assert!(!judge(BackupState::Checked).await.unwrap());
        assert_eq!(catalog.newest_proven_backups().await.unwrap().len(), 1);
        let proven = catalog.backup(id).await.unwrap().unwrap();
        assert_eq!(proven.state, BackupState::Proven);
        assert_eq!(proven.proven_at, Some(moment()));
        assert!(judge(BackupState::Damaged).await.unwrap());
        assert!(!judge(BackupState::Expired).await.unwrap());
        assert_eq!(catalog.newest_proven_backups().await.unwrap().len(), 0);
        let damaged = catalog.backup(id).await.unwrap().unwrap();
        assert_eq!(damaged.state, BackupState::Damaged);
        assert_eq!(damaged.proven_at, Some(moment()));
    }

    #[tokio::test]
    async fn a_mark_keeps_its_time_and_a_pin_takes_it_away_and_forbids_the_removal() {
        let catalog = TestCatalog::new().await;
        let id = catalog.add_backup(&new("a", moment())).await.unwrap();
        let later = moment() + TimeDelta::hours(5);
        catalog.mark_backup(id, Some(moment())).await.unwrap();
        catalog.mark_backup(id, Some(later)).await.unwrap();
        let marked = catalog.backup(id).await.unwrap().unwrap();
        assert_eq!(marked.marked_at, Some(moment()));
        assert!(catalog.pin_backup(id, true).await.unwrap());
        let pinned = catalog.backup(id).await.unwrap().unwrap();
        assert_eq!((pinned.pinned, pinned.marked_at), (true, None));
        assert!(!catalog.remove_backup(id, later, (7, later)).await.unwrap());
        catalog.mark_backup(id, Some(later)).await.unwrap();
        assert_eq!(catalog.backup(id).await.unwrap().unwrap(), pinned);
        assert!(catalog.pin_backup(id, false).await.unwrap());
        catalog.mark_backup(id, Some(later)).await.unwrap();
        catalog.mark_backup(id, None).await.unwrap();
        let wanted = catalog.backup(id).await.unwrap().unwrap();
        assert_eq!(wanted.marked_at, None);
        assert!(!catalog.pin_backup(id + 1, true).await.unwrap());
    }

    #[test]
    fn words_are_those_of_the_table() {
        let migration = include_str!("../../migrations/0005_backups.sql");
        for word in ["stored", "checked", "proven", "damaged", "expired"] {
            let state: BackupState = word.parse().unwrap();
            assert_eq!(state.as_str(), word);
            assert!(migration.contains(&format!("'{word}'")));
        }
        for kind in ["full", "schema-only", "tables", "volume"] {
            let parsed = BackupKind::try_from(kind.to_owned()).unwrap();
            assert_eq!(parsed.as_str(), kind);
        }
        for engine in [Engine::Postgres, Engine::Mariadb, Engine::Mysql] {
            let again = Word::<Engine>::try_from(word(&engine)).unwrap();
            assert_eq!(again.0, engine);
        }
        let error = "lost".parse::<BackupState>().unwrap_err();
        assert_eq!(error.to_string(), "\"lost\" is no state of a backup");
    }
}
