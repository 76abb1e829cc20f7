//! Several sessions that see one moment of a database.
//!
//! A snapshot here belongs to its session and cannot be lent. So all sessions begin theirs while commits stand still:
//! for some milliseconds, by a backup stage (MariaDB) or the global read lock (MySQL). Whoever cannot have that lock
//! within its limit reads with one session, whose snapshot needs none.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use holdfast_proto::task::TaskFailure;
use mysql_async::{Error, prelude::Queryable};
use tracing::{info, warn};

use super::{
    failure::failed,
    quote::{ident, qualified},
    session::Session,
};
use crate::engine::postgres::route::Route;

/// Seconds that the lock may be waited for, and then held.
const LOCK_WAIT_SECONDS: u32 = 10;
const LOCK_HELD_AT_MOST: Duration = Duration::from_secs(5);

/// Sessions of one snapshot. Dropping them ends it.
#[derive(Debug)]
pub struct Snapshot {
    /// For the catalog: it also keeps the tables from being altered.
    pub control: Session,
    /// For rows; at least one.
    pub readers: Vec<Session>,
    pub taken_at: DateTime<Utc>,
    /// Where the binary log stood, "binlog.000004:1234"; empty when there is none or it is not told.
    pub position: String,
}

impl Snapshot {
    /// Begins `readers` + 1 transactions on the same state.
    ///
    /// # Errors
    /// When the server is not reached, or there is no such database.
    pub async fn take(
        route: &Route,
        instance: &str,
        database: &str,
        readers: usize,
    ) -> Result<Self, TaskFailure> {
        let doing = format!("taking a snapshot of {instance}/{database}");
        let open = || async {
            let mut session = Session::open(route)
                .await
                .map_err(|error| error.into_failure(instance))?;
            let prepare = [
                format!("USE {}", ident(database)),
                "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
                "SET SESSION sql_mode = ''".to_owned(),
            ];
            for statement in prepare {
                let prepared = session.conn.query_drop(statement).await;
                prepared.map_err(|error| failed(&doing, &error))?;
            }
            Ok::<_, TaskFailure>(session)
        };
        let mut lock = open().await?;
        let mut sessions = Vec::with_capacity(readers + 1);
        for _ in 0..=readers.max(1) {
            sessions.push(open().await?);
        }
        let held = hold(&mut lock)
            .await
            .map_err(|error| failed(&doing, &error))?;
        let begun = begin(&mut lock, &mut sessions, held).await;
        // The end of this session is the end of its lock, whatever happened.
        drop(lock);
        let (taken_at, position) = begun.map_err(|error| failed(&doing, &error))?;
        if !held {
            sessions.truncate(2);
        }
        let control = sessions.remove(0);
        let mut snapshot = Self {
            control,
            readers: sessions,
            taken_at,
            position,
        };
        for reader in &mut snapshot.readers {
            // Bytes come as they are stored.
            let prepared = reader
                .conn
                .query_drop("SET SESSION character_set_results = NULL")
                .await;
            prepared.map_err(|error| failed(&doing, &error))?;
        }
        Ok(snapshot)
    }

    /// Keeps tables from being dropped or altered until the snapshot ends; readers and writers go on.
    ///
    /// # Errors
    /// When a table has been dropped or altered since the snapshot.
    pub async fn keep(&mut self, database: &str, tables: &[String]) -> Result<(), TaskFailure> {
        for table in tables {
            let sql = format!("SELECT 1 FROM {} LIMIT 0", qualified(database, table));
            let kept = self.control.conn.query_drop(sql).await;
            kept.map_err(|error| failed(format!("keeping table {table} from change"), &error))?;
        }
        Ok(())
    }
}

/// Stops commits. False when the server does not let us, or something does not let go in time.
async fn hold(lock: &mut Session) -> Result<bool, Error> {
    lock.conn
        .query_drop(format!(
            "SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}"
        ))
        .await?;
    let statements: &[&str] = if lock.is_mariadb() {
        &["BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT"]
    } else {
        &["FLUSH TABLES WITH READ LOCK"]
    };
    for statement in statements {
        match lock.conn.query_drop(*statement).await {
            Ok(()) => {}
            Err(Error::Server(answer)) => {
                info!(reason = %answer.message, "no moment without commits could be had: one session reads");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

async fn begin(
    lock: &mut Session,
    sessions: &mut [Session],
    held: bool,
) -> Result<(DateTime<Utc>, String), Error> {
    let start = async {
        for session in sessions.iter_mut() {
            session
                .conn
                .query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                .await?;
        }
        let now: Option<String> = lock
            .conn
            .query_first("SELECT CAST(UTC_TIMESTAMP(6) AS CHAR)")
            .await?;
        let at = now.and_then(|text| NaiveDateTime::parse_from_str(&text, "%F %T%.f").ok());
        Ok::<_, Error>((at.unwrap_or_default().and_utc(), position(lock).await?))
    };
    let begun = match tokio::time::timeout(LOCK_HELD_AT_MOST, start).await {
        Ok(begun) => begun?,
        Err(_) => {
            warn!(
                "the snapshots did not begin in time: commits were held up for {} s",
                LOCK_HELD_AT_MOST.as_secs()
            );
            let late = std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "the snapshots did not begin in time",
            );
            return Err(Error::from(late));
        }
    };
    if held {
        let release = if lock.is_mariadb() {
            "BACKUP STAGE END"
        } else {
            "UNLOCK TABLES"
        };
        lock.conn.query_drop(release).await?;
    }
    Ok(begun)
}

async fn position(lock: &mut Session) -> Result<String, Error> {
    let statement = if lock.is_mariadb() || lock.version_num < 80_400 {
        "SHOW MASTER STATUS"
    } else {
        "SHOW BINARY LOG STATUS"
    };
    match lock
        .conn
        .query_first::<mysql_async::Row, _>(statement)
        .await
    {
        Ok(Some(row)) => {
            let text = |at| super::inventory::text(&row, at);
            Ok(format!("{}:{}", text(0), text(1)))
        }
        Ok(None) | Err(Error::Server(_)) => Ok(String::new()),
        Err(error) => Err(error),
    }
}
