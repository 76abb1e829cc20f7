//! The health of a server, read over one connection that changes nothing and waits for nothing.
//!
//! Works on PostgreSQL 13 to 18, and without superuser as far as the server allows: what may not
//! be read keeps what was known of it last, is told in the log, and never fails the rest.

mod asking;
mod sizes;

use std::path::Path;

use chrono::{DateTime, Utc};
use holdfast_proto::fleet::{Archiver, Database, InstanceHealth, LongQuery, ReplicationSlot};
use tokio_postgres::{Client, Error, Row};

use self::{
    asking::{Asking, Refused},
    sizes::Sizes,
};

/// From here on a statement is a long one.
const LONG_QUERY_SECONDS: f64 = 300.0;

const PREPARE: &str = "SET default_transaction_read_only = on; SET statement_timeout = '5s'; \
    SET lock_timeout = '1s'; SET application_name = 'holdfast-agent'; SET jit = off";

const BASICS: &str = "\
    SELECT pg_catalog.current_setting('server_version'), \
    pg_catalog.current_setting('server_version_num')::int4, \
    pg_catalog.pg_is_in_recovery(), \
    pg_catalog.pg_postmaster_start_time(), \
    pg_catalog.current_setting('max_connections')::int4, \
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
       WHERE pid <> pg_catalog.pg_backend_pid() AND (backend_type = 'client backend' \
         OR (backend_type IS NULL AND datid IS NOT NULL))), \
    pg_catalog.current_setting('data_checksums') = 'on', \
    (SELECT coalesce(pg_catalog.sum(checksum_failures), 0)::int8 FROM pg_catalog.pg_stat_database), \
    (SELECT pg_catalog.max(pg_catalog.age(datfrozenxid)) FROM pg_catalog.pg_database), \
    (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory'), \
    pg_catalog.current_setting('archive_mode') <> 'off' \
      AND (coalesce(pg_catalog.current_setting('archive_command', true), '') <> '' \
        OR coalesce(pg_catalog.current_setting('archive_library', true), '') <> '')";

const ARCHIVER: &str = "\
    SELECT archived_count, failed_count, last_archived_time, last_failed_time, last_failed_wal \
    FROM pg_catalog.pg_stat_archiver";

const SLOTS: &str = "\
    SELECT slot_name, slot_type, active, \
    greatest(coalesce(pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() \
      THEN coalesce(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn()) \
      ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn), 0), 0)::int8 \
    FROM pg_catalog.pg_replication_slots ORDER BY slot_name";

const QUERIES: &str = "\
    SELECT pid, datname, usename, \
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - query_start)::float8, \
    pg_catalog.left(query, 200) FROM pg_catalog.pg_stat_activity \
    WHERE state = 'active' AND backend_type = 'client backend' \
    AND pid <> pg_catalog.pg_backend_pid() AND query_start IS NOT NULL \
    ORDER BY query_start LIMIT 20";

const DATABASES: &str = "\
    SELECT d.datname, pg_catalog.pg_get_userbyid(d.datdba), \
    pg_catalog.pg_encoding_to_char(d.encoding), \
    coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale', \
      d.datcollate::text), d.datallowconn, d.datistemplate \
    FROM pg_catalog.pg_database d ORDER BY d.datname";

const SYSTEM_IDENTIFIER: &str =
    "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";

/// What earlier looks at the same server leave to the next.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    sizes: Sizes,
    parts: Parts,
    refused: Refused,
}

/// What a server may refuse to tell while it tells the rest.
#[derive(Debug, Clone, Default)]
struct Parts {
    /// One row.
    system_identifier: Vec<String>,
    /// One row.
    archiver: Vec<Archiver>,
    slots: Vec<ReplicationSlot>,
    queries: Vec<LongQuery>,
}

/// Reads everything. `data` leads to the data directory when it is on this host; `instance` is
/// for the log.
///
/// # Errors
/// When the server does not even answer the basic questions, or the session is lost on the way.
pub async fn read(
    client: &Client,
    instance: &str,
    memory: &mut Memory,
    data: Option<&Path>,
) -> Result<InstanceHealth, Error> {
    client.batch_execute(PREPARE).await?;
    // One round trip each, where a prepared statement takes three: every agent does it twice a minute, on each server.
    let basics = client.query_typed_one(BASICS, &[]).await?;
    let mut health = basics_of(&basics)?;
    health.databases = client
        .query_typed(DATABASES, &[])
        .await?
        .iter()
        .map(database)
        .collect::<Result<_, _>>()?;
    let mut ask = Asking {
        client,
        instance,
        refused: &mut memory.refused,
    };
    let known = &mut memory.parts;
    memory.sizes.fill(&mut ask, &mut health.databases).await?;
    known.renew(&mut ask).await?;
    known.tell(&mut health);
    if let Some((total, free)) = data.and_then(disk) {
        health.disk_total_bytes = total;
        health.disk_free_bytes = free;
    }
    Ok(health)
}

#[cfg(test)]
impl Memory {
    /// Of a server that has been looked at.
    pub(crate) fn with_an_identifier() -> Self {
        let system_identifier = vec!["4711".to_owned()];
        Self {
            parts: Parts {
                system_identifier,
                ..Parts::default()
            },
            ..Self::default()
        }
    }
}

impl Parts {
    async fn renew(&mut self, ask: &mut Asking<'_>) -> Result<(), Error> {
        let identifier = |row: &Row| row.try_get(0);
        let known = &mut self.system_identifier;
        ask.renew("system identifier", SYSTEM_IDENTIFIER, identifier, known)
            .await?;
        ask.renew("archiver", ARCHIVER, archiver, &mut self.archiver)
            .await?;
        ask.renew("replication slots", SLOTS, slot, &mut self.slots)
            .await?;
        ask.renew("running statements", QUERIES, query, &mut self.queries)
            .await
    }

    fn tell(&self, health: &mut InstanceHealth) {
        if let Some(identifier) = self.system_identifier.first() {
            health.system_identifier.clone_from(identifier);
        }
        if let Some(archiver) = self.archiver.first() {
            health.archiver = Archiver {
                on: health.archiver.on,
                ..archiver.clone()
            };
        }
        health.slots.clone_from(&self.slots);
        health.longest_query_seconds = self.queries.first().map_or(0.0, |q| q.seconds);
        let long = self.queries.iter();
        health.long_queries = long
            .filter(|q| q.seconds >= LONG_QUERY_SECONDS)
            .cloned()
            .collect();
    }
}

/// Total and free bytes of the file system under a directory, as `df` counts for its per cent: what is kept for root or by
/// quota is neither.
#[must_use]
pub fn disk(directory: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(directory).ok()?;
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    Some((
        (used + found.f_bavail).saturating_mul(found.f_frsize),
        found.f_bavail.saturating_mul(found.f_frsize),
    ))
}

fn basics_of(row: &Row) -> Result<InstanceHealth, Error> {
    Ok(InstanceHealth {
        version: row.try_get(0)?,
        version_num: unsigned(row.try_get::<_, i32>(1)?),
        system_identifier: String::new(),
        in_recovery: row.try_get(2)?,
        started_at: row.try_get(3)?,
        connections_max: unsigned(row.try_get::<_, i32>(4)?),
        connections_used: u32::try_from(row.try_get::<_, i64>(5)?).unwrap_or_default(),
        long_queries: Vec::new(),
        longest_query_seconds: 0.0,
        archiver: Archiver {
            on: row.try_get(10)?,
            ..Archiver::default()
        },
        slots: Vec::new(),
        transaction_id_age: unsigned(row.try_get::<_, Option<i32>>(8)?.unwrap_or_default()),
        checksums_on: row.try_get(6)?,
        checksum_failures: count(row.try_get(7)?),
        disk_total_bytes: 0,
        disk_free_bytes: 0,
        data_directory: row.try_get::<_, Option<String>>(9)?.unwrap_or_default(),
        databases: Vec::new(),
        mariadb: None,
        untold: Vec::new(),
    })
}

fn archiver(row: &Row) -> Result<Archiver, Error> {
    Ok(Archiver {
        on: false,
        archived: count(row.try_get(0)?),
        failed: count(row.try_get(1)?),
        last_archived_at: row.try_get::<_, Option<DateTime<Utc>>>(2)?,
        last_failed_at: row.try_get(3)?,
        last_failed_wal: row.try_get::<_, Option<String>>(4)?.unwrap_or_default(),
    })
}

fn slot(row: &Row) -> Result<ReplicationSlot, Error> {
    Ok(ReplicationSlot {
        name: row.try_get(0)?,
        kind: row.try_get(1)?,
        active: row.try_get(2)?,
        lag_bytes: count(row.try_get(3)?),
    })
}

fn query(row: &Row) -> Result<LongQuery, Error> {
    Ok(LongQuery {
        pid: row.try_get(0)?,
        database: row.try_get::<_, Option<String>>(1)?.unwrap_or_default(),
        user: row.try_get::<_, Option<String>>(2)?.unwrap_or_default(),
        seconds: row.try_get(3)?,
        statement: row.try_get::<_, Option<String>>(4)?.unwrap_or_default(),
    })
}

fn database(row: &Row) -> Result<Database, Error> {
    Ok(Database {
        name: row.try_get(0)?,
        owner: row.try_get(1)?,
        size_bytes: 0,
        encoding: row.try_get(2)?,
        collation: row.try_get::<_, Option<String>>(3)?.unwrap_or_default(),
        allows_connections: row.try_get(4)?,
        is_template: row.try_get(5)?,
    })
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
