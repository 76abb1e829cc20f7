//! Everything that a report holds of one server, read over one session.
//!
//! A part that the server refuses is named in `untold` with its reason, and shows what was known last.

mod identity;

pub use identity::uuid_in;
mod replication;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use chrono::DateTime;
use holdfast_proto::fleet::{
    Archiver, Database, InstanceHealth, LongQuery, MariadbHealth, ReplicationSource, Untold,
};
use mysql_async::{Error, prelude::Queryable};

use super::{privileges::Privileges, session::Session};
use crate::engine::postgres::health::disk;

const LONG_QUERY_SECONDS: f64 = 300.0;
/// Sizes may take at most one part in this many of our time on a server.
const SHARE: u32 = 50;
const AT_LEAST: Duration = Duration::from_secs(25);

const BASICS: &str =
    "SELECT @@max_connections, @@read_only, @@log_bin, @@datadir, UNIX_TIMESTAMP()";
const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Uptime')";
const DATABASES: &str = "\
    SELECT schema_name, default_character_set_name, default_collation_name \
    FROM information_schema.schemata ORDER BY schema_name";
const SIZES: &str = "\
    SELECT table_schema, CAST(SUM(COALESCE(data_length, 0) + COALESCE(index_length, 0)) AS UNSIGNED) \
    FROM information_schema.tables WHERE table_type <> 'VIEW' GROUP BY table_schema";
const QUERIES: &str = "\
    SELECT id, COALESCE(db, ''), user, CAST(time AS DOUBLE), LEFT(info, 200) \
    FROM information_schema.processlist \
    WHERE info IS NOT NULL AND id <> CONNECTION_ID() \
      AND command NOT IN ('Sleep', 'Daemon', 'Binlog Dump', 'Slave_IO', 'Slave_SQL', 'Slave_worker') \
    ORDER BY time DESC LIMIT 20";
/// The server's own: none of them is anybody's data.
const OWN: [&str; 2] = ["mysql", "sys"];
const VIRTUAL: [&str; 2] = ["information_schema", "performance_schema"];

/// What earlier looks at the same server leave to the next.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    sizes: Vec<(String, u64)>,
    sizes_due: Option<Instant>,
    queries: Vec<LongQuery>,
    sources: Vec<ReplicationSource>,
}

/// Reads everything. `root` leads to the server's file system when it is on this host.
///
/// # Errors
/// When the server does not even answer the basic questions, or the session is lost on the way.
pub async fn read(
    session: &mut Session,
    memory: &mut Memory,
    root: Option<&Path>,
) -> Result<InstanceHealth, Error> {
    let mut health = basics(session).await?;
    let mut untold = Vec::new();
    let privileges = Privileges::read(&mut session.conn).await?;
    databases(session, memory, &privileges, &mut health, &mut untold).await?;
    queries(session, memory, &privileges, &mut untold).await?;
    let read = replication::sources(session).await;
    take("replication", read, &mut memory.sources, &mut untold)?;
    health.longest_query_seconds = memory.queries.first().map_or(0.0, |q| q.seconds);
    let long = memory.queries.iter();
    health.long_queries = long
        .filter(|q| q.seconds >= LONG_QUERY_SECONDS)
        .cloned()
        .collect();
    if let Some(mariadb) = &mut health.mariadb {
        mariadb.sources.clone_from(&memory.sources);
    }
    health.in_recovery = memory.sources.iter().any(|s| s.receiving || s.applying);
    health.system_identifier = identity::read(session, root, &health.data_directory).await?;
    if let Some(root) = root {
        let data = root.join(health.data_directory.trim_start_matches('/'));
        if let Some((total, free)) = disk(&data) {
            health.disk_total_bytes = total;
            health.disk_free_bytes = free;
        }
    }
    health.untold = untold;
    Ok(health)
}

/// What identifies the server's data directory; empty when that cannot be read.
///
/// # Errors
/// When the session is lost.
pub async fn identifier(
    session: &mut Session,
    root: Option<&Path>,
    data_directory: &str,
) -> Result<String, Error> {
    identity::read(session, root, data_directory).await
}

/// Whether the server replicates from another.
///
/// # Errors
/// What the server says, also when our account may not ask.
pub async fn replicates(session: &mut Session) -> Result<bool, Error> {
    let sources = replication::sources(session).await?;
    Ok(sources.iter().any(|s| s.receiving || s.applying))
}

async fn basics(session: &mut Session) -> Result<InstanceHealth, Error> {
    let row: Option<(u32, i64, i64, String, i64)> = session.conn.query_first(BASICS).await?;
    let (connections_max, read_only, log_bin, datadir, now) = row.unwrap_or_default();
    let status: Vec<(String, u64)> = session.conn.query(STATUS).await?;
    let status = |name: &str| {
        let found = status
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    };
    let uptime = status("Uptime").and_then(|seconds| i64::try_from(seconds).ok());
    // By the server's own clock.
    let started = uptime.and_then(|seconds| DateTime::from_timestamp(now - seconds, 0));
    Ok(InstanceHealth {
        version: session.version.clone(),
        version_num: session.version_num,
        system_identifier: String::new(),
        in_recovery: false,
        started_at: started,
        connections_used: u32::try_from(status("Threads_connected").unwrap_or_default())
            .unwrap_or(u32::MAX),
        connections_max,
        long_queries: Vec::new(),
        longest_query_seconds: 0.0,
        archiver: Archiver::default(),
        slots: Vec::new(),
        transaction_id_age: 0,
        checksums_on: false,
        checksum_failures: 0,
        disk_total_bytes: 0,
        disk_free_bytes: 0,
        data_directory: trimmed(&datadir),
        databases: Vec::new(),
        mariadb: Some(MariadbHealth {
            read_only: read_only != 0,
            binary_log_on: log_bin != 0,
            sources: Vec::new(),
        }),
        untold: Vec::new(),
    })
}

async fn databases(
    session: &mut Session,
    memory: &mut Memory,
    privileges: &Privileges,
    health: &mut InstanceHealth,
    untold: &mut Vec<Untold>,
) -> Result<(), Error> {
    let rows: Vec<(String, String, String)> = session.conn.query(DATABASES).await?;
    health.databases = rows
        .into_iter()
        .filter(|(name, ..)| !VIRTUAL.contains(&name.as_str()))
        .map(|(name, encoding, collation)| Database {
            is_template: OWN.contains(&name.as_str()),
            name,
            owner: String::new(),
            size_bytes: 0,
            encoding,
            collation,
            allows_connections: true,
        })
        .collect();
    if !privileges.any(&["SELECT"]) {
        let reason = "the agent's account has no SELECT on *.*: databases and tables without a right for it are not shown";
        untold.push(part("databases", reason));
    }
    let news = health
        .databases
        .iter()
        .any(|d| memory.size(&d.name).is_none());
    let begun = Instant::now();
    if news || memory.sizes_due.is_none_or(|due| begun >= due) {
        let read = session.conn.query(SIZES).await;
        take("sizes of the databases", read, &mut memory.sizes, untold)?;
        // An empty database has no row.
        for database in &health.databases {
            if memory.size(&database.name).is_none() {
                memory.sizes.push((database.name.clone(), 0));
            }
        }
        memory.sizes_due = Some(Instant::now() + AT_LEAST.max(begun.elapsed() * SHARE));
    }
    for database in &mut health.databases {
        database.size_bytes = memory.size(&database.name).unwrap_or_default();
    }
    Ok(())
}

/// Number, database, account, seconds, and the statement's bytes.
type Running = (i64, String, String, f64, Option<Vec<u8>>);

async fn queries(
    session: &mut Session,
    memory: &mut Memory,
    privileges: &Privileges,
    untold: &mut Vec<Untold>,
) -> Result<(), Error> {
    let read = session.conn.query::<Running, _>(QUERIES).await;
    let read = read.map(|rows| {
        rows.into_iter()
            .map(|(id, database, user, seconds, statement)| LongQuery {
                pid: i32::try_from(id).unwrap_or(i32::MAX),
                database,
                user,
                seconds,
                statement: String::from_utf8_lossy(&statement.unwrap_or_default()).into_owned(),
            })
            .collect()
    });
    take("running statements", read, &mut memory.queries, untold)?;
    if !privileges.any(&["PROCESS"]) {
        let reason = "the agent's account has no PROCESS: what others run is not shown";
        untold.push(part("running statements", reason));
    }
    Ok(())
}

/// Replaces what is known by what the server says; a refusal leaves it as it is and is told.
fn take<T>(
    what: &str,
    read: Result<Vec<T>, Error>,
    known: &mut Vec<T>,
    untold: &mut Vec<Untold>,
) -> Result<(), Error> {
    match read {
        Ok(fresh) => *known = fresh,
        Err(Error::Server(answer)) => untold.push(part(what, &answer.message)),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn part(part: &str, reason: &str) -> Untold {
    Untold {
        part: part.to_owned(),
        reason: reason.to_owned(),
    }
}

/// A directory without the slash at its end that these servers write.
fn trimmed(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { path } else { trimmed }.to_owned()
}

impl Memory {
    fn size(&self, name: &str) -> Option<u64> {
        let found = self.sizes.iter().find(|(known, _)| known == name);
        found.map(|(_, size)| *size)
    }
}
