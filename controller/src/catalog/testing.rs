//! A catalog for each test: one private PostgreSQL a test process, one database a test.
//!
//! The server is stopped and its directory removed when the test process ends, in whatever way: a small
//! shell waits for the end of a pipe that only this process holds.

use std::{
    ops::Deref,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use holdfast_chassis::clock::{SharedClock, SystemClock};
use holdfast_proto::drill::{
    DrillReport, DrillTargets, DrillTimes, REPORT_FORMAT, RungName, Verdict,
};
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

use super::{Catalog, Drill, migrations};
use crate::embedded::{Embedded, RunningServer};

static SERVER: OnceCell<TestServer> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);
const TEMPLATE: &str = "migrated";

/// A [`Catalog`] over a database of its own.
#[derive(Debug)]
pub struct TestCatalog {
    catalog: Catalog,
}

struct TestServer {
    running: RunningServer,
    /// The cleaning shell; it waits for the end of the pipe that is held here.
    _cleaner: Child,
}

/// Of a drill that took nine seconds.
pub fn drill_report(drill: &Drill, verdict: Verdict) -> DrillReport {
    let at = drill.started_at;
    DrillReport {
        format: REPORT_FORMAT,
        kind: drill.of.kind(),
        drill: drill.id,
        job: drill.job,
        subject: drill.of.subject(),
        backup: None,
        host: drill.of.on().map(ToString::to_string),
        server: None,
        started_at: at,
        ended_at: at + chrono::TimeDelta::seconds(9),
        verdict,
        broken: (verdict != Verdict::Proven).then_some(RungName::Rows),
        reason: String::new(),
        rungs: vec![],
        parts: vec![],
        times: DrillTimes {
            took_ms: Some(9_000),
            rpo_ms: Some(60_000),
            ..DrillTimes::default()
        },
        targets: DrillTargets::default(),
        controller: String::new(),
    }
}

impl TestCatalog {
    /// Migrated, on the machine's clock.
    pub async fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock)).await
    }

    /// Migrated, on a clock of the test's own.
    pub async fn with_clock(clock: SharedClock) -> Self {
        Box::pin(Self::create(TEMPLATE, clock)).await
    }

    /// Without a table in it.
    pub async fn empty() -> Self {
        Box::pin(Self::create("template0", Arc::new(SystemClock))).await
    }

    /// How another connection reaches the same database.
    pub fn options(&self) -> PgConnectOptions {
        (*self.catalog.pool.connect_options()).clone()
    }

    async fn create(template: &str, clock: SharedClock) -> Self {
        let server = SERVER.get_or_init(TestServer::start).await;
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let options = server.running.options();
        create_database(&options, &name, template).await;
        let catalog = Catalog::connect(options.database(&name), clock)
            .await
            .unwrap();
        Self { catalog }
    }
}

impl Deref for TestCatalog {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.catalog
    }
}

impl TestServer {
    async fn start() -> Self {
        let state_dir = tempfile::Builder::new()
            .prefix("holdfast-test-")
            .tempdir()
            .unwrap()
            .keep();
        std::fs::set_permissions(&state_dir, std::fs::Permissions::from_mode(0o711)).unwrap();
        let cleaner = clean_up_when_we_end(&state_dir);
        let embedded = Embedded {
            state_dir,
            bin_dir: None,
            user: None,
        };
        let running = embedded
            .start()
            .await
            .expect("a private PostgreSQL for the tests");
        create_database(&running.options(), TEMPLATE, "template0").await;
        migrations::run(&running.options().database(TEMPLATE))
            .await
            .expect("migrations");
        Self {
            running,
            _cleaner: cleaner,
        }
    }
}

async fn create_database(options: &PgConnectOptions, name: &str, template: &str) {
    let mut connection = options.clone().connect().await.unwrap();
    let statement = format!("create database {name} template {template}");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// The shell holds the directory and looks the server up in it only when the pipe has ended.
fn clean_up_when_we_end(state_dir: &std::path::Path) -> Child {
    let script = r#"
        cat >/dev/null
        pid=$(head -n 1 "$0/postgres/data/postmaster.pid" 2>/dev/null)
        if [ -n "$pid" ]; then
            kill -INT "$pid"
            while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status"; do sleep 0.05; done
        fi
        rm -rf -- "$0"
    "#;
    Command::new("sh")
        .args(["-c", script])
        .arg(state_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_tests_share_nothing() {
        let (one, other) = (TestCatalog::new().await, TestCatalog::new().await);
        sqlx::query("create table mark ()")
            .execute(&one.pool)
            .await
            .unwrap();
        assert!(
            sqlx::query("select from mark")
                .execute(&other.pool)
                .await
                .is_err()
        );
    }
}
