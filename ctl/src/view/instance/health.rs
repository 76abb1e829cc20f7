//! What an instance that answered said of itself.

use holdfast_proto::fleet;
use serde::Serialize;

use crate::view::{Time, database::DatabaseFacts};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    pub version: String,
    pub version_num: u32,
    pub system_identifier: String,
    pub in_recovery: bool,
    pub started_at: Option<Time>,
    pub connections_used: u32,
    pub connections_max: u32,
    pub long_queries: Vec<LongQuery>,
    pub longest_query_seconds: f64,
    pub archiver: Archiver,
    pub slots: Vec<Slot>,
    pub transaction_id_age: u32,
    pub checksums_on: bool,
    pub checksum_failures: u64,
    pub disk_total_bytes: u64,
    pub disk_free_bytes: u64,
    pub data_directory: String,
    pub databases: Vec<DatabaseFacts>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LongQuery {
    pub pid: i32,
    pub database: String,
    pub user: String,
    pub seconds: f64,
    pub statement: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archiver {
    pub on: bool,
    pub archived: u64,
    pub failed: u64,
    pub last_archived_at: Option<Time>,
    pub last_failed_at: Option<Time>,
    pub last_failed_wal: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    pub name: String,
    pub kind: String,
    pub active: bool,
    pub lag_bytes: u64,
}

impl Health {
    /// "15.20" of "15.20 (Debian 15.20-1)".
    #[must_use]
    pub fn short_version(&self) -> &str {
        self.version.split_whitespace().next().unwrap_or_default()
    }

    /// Without templates.
    pub fn own_databases(&self) -> impl Iterator<Item = &DatabaseFacts> {
        self.databases
            .iter()
            .filter(|database| !database.is_template)
    }

    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.databases
            .iter()
            .map(|database| database.size_bytes)
            .sum()
    }

    /// `None` when the file system is not readable.
    #[must_use]
    pub fn disk_used_percent(&self) -> Option<u64> {
        let used = self.disk_total_bytes.checked_sub(self.disk_free_bytes)?;
        let percent = u128::from(used) * 100 / u128::from(self.disk_total_bytes).max(1);
        (self.disk_total_bytes > 0).then(|| u64::try_from(percent).unwrap_or(100))
    }
}

impl From<fleet::InstanceHealth> for Health {
    fn from(health: fleet::InstanceHealth) -> Self {
        Self {
            version: health.version,
            version_num: health.version_num,
            system_identifier: health.system_identifier,
            in_recovery: health.in_recovery,
            started_at: health.started_at,
            connections_used: health.connections_used,
            connections_max: health.connections_max,
            long_queries: health
                .long_queries
                .into_iter()
                .map(LongQuery::from)
                .collect(),
            longest_query_seconds: health.longest_query_seconds,
            archiver: Archiver::from(health.archiver),
            slots: health.slots.into_iter().map(Slot::from).collect(),
            transaction_id_age: health.transaction_id_age,
            checksums_on: health.checksums_on,
            checksum_failures: health.checksum_failures,
            disk_total_bytes: health.disk_total_bytes,
            disk_free_bytes: health.disk_free_bytes,
            data_directory: health.data_directory,
            databases: health
                .databases
                .into_iter()
                .map(DatabaseFacts::from)
                .collect(),
        }
    }
}

impl From<fleet::LongQuery> for LongQuery {
    fn from(query: fleet::LongQuery) -> Self {
        Self {
            pid: query.pid,
            database: query.database,
            user: query.user,
            seconds: query.seconds,
            statement: query.statement,
        }
    }
}

impl From<fleet::Archiver> for Archiver {
    fn from(archiver: fleet::Archiver) -> Self {
        Self {
            on: archiver.on,
            archived: archiver.archived,
            failed: archiver.failed,
            last_archived_at: archiver.last_archived_at,
            last_failed_at: archiver.last_failed_at,
            last_failed_wal: archiver.last_failed_wal,
        }
    }
}

impl From<fleet::ReplicationSlot> for Slot {
    fn from(slot: fleet::ReplicationSlot) -> Self {
        Self {
            name: slot.name,
            kind: slot.kind,
            active: slot.active,
            lag_bytes: slot.lag_bytes,
        }
    }
}
