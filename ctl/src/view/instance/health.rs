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
    /// This and what follows up to the checksums: of PostgreSQL alone.
    pub archiver: Option<Archiver>,
    pub slots: Option<Vec<Slot>>,
    pub transaction_id_age: Option<u32>,
    pub checksums_on: Option<bool>,
    pub checksum_failures: Option<u64>,
    pub disk_total_bytes: u64,
    pub disk_free_bytes: u64,
    pub data_directory: String,
    pub databases: Vec<DatabaseFacts>,
    /// Of MariaDB and MySQL alone.
    pub mariadb: Option<MariadbFacts>,
    /// What the server refused to tell.
    pub untold: Vec<Untold>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MariadbFacts {
    pub read_only: bool,
    pub binary_log_on: bool,
    pub sources: Vec<ReplicationSource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicationSource {
    pub name: String,
    pub address: String,
    pub receiving: bool,
    pub applying: bool,
    pub lag_seconds: Option<u64>,
    pub last_error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Untold {
    pub part: String,
    pub reason: String,
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
    /// "15.20" of "15.20 (Debian 15.20-1)", "11.8.6" of "11.8.6-MariaDB-0+deb13u1".
    #[must_use]
    pub fn short_version(&self) -> &str {
        let end = if self.mariadb.is_some() {
            self.version.find(['-', ' '])
        } else {
            self.version.find(char::is_whitespace)
        };
        &self.version[..end.unwrap_or(self.version.len())]
    }

    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.mariadb
            .as_ref()
            .is_some_and(|mariadb| mariadb.read_only)
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
        let is_postgres = health.mariadb.is_none();
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
            archiver: is_postgres.then(|| Archiver::from(health.archiver)),
            slots: is_postgres.then(|| health.slots.into_iter().map(Slot::from).collect()),
            transaction_id_age: is_postgres.then_some(health.transaction_id_age),
            checksums_on: is_postgres.then_some(health.checksums_on),
            checksum_failures: is_postgres.then_some(health.checksum_failures),
            disk_total_bytes: health.disk_total_bytes,
            disk_free_bytes: health.disk_free_bytes,
            data_directory: health.data_directory,
            databases: health
                .databases
                .into_iter()
                .map(DatabaseFacts::from)
                .collect(),
            mariadb: health.mariadb.map(MariadbFacts::from),
            untold: health.untold.into_iter().map(Untold::from).collect(),
        }
    }
}

impl From<fleet::MariadbHealth> for MariadbFacts {
    fn from(health: fleet::MariadbHealth) -> Self {
        let sources = health.sources.into_iter();
        Self {
            read_only: health.read_only,
            binary_log_on: health.binary_log_on,
            sources: sources
                .map(|source| ReplicationSource {
                    name: source.name,
                    address: source.address,
                    receiving: source.receiving,
                    applying: source.applying,
                    lag_seconds: source.lag_seconds,
                    last_error: source.last_error,
                })
                .collect(),
        }
    }
}

impl From<fleet::Untold> for Untold {
    fn from(untold: fleet::Untold) -> Self {
        Self {
            part: untold.part,
            reason: untold.reason,
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
