//! The catalog: PostgreSQL behind sqlx, one file a table.
//!
//! Queries are checked when they run, by tests on a real server: nothing here needs a database to compile.

mod audit;
mod backup;
pub(crate) mod certificate;
mod check;
mod check_run;
mod data_store;
mod deployment;
mod drill;
mod finding;
mod guard_allowance;
mod guard_refusal;
pub(crate) mod host;
mod incident;
mod instance_registration;
mod job;
mod job_event;
mod known_database;
mod leader;
mod lock;
mod migrations;
mod policy_set;
mod pruning;
mod recovery_measurement;
mod report;
mod repository;
mod runbook;
mod schedule_run;
#[cfg(test)]
pub mod testing;
pub(crate) mod token;
mod transfer_grant;

use std::sync::Arc;

use holdfast_chassis::clock::SharedClock;
use sqlx::{
    PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub use self::{
    audit::VerifyError,
    backup::{Backup, BackupId, BackupKind, BackupState, NewBackup, Shelved, UnknownWord},
    certificate::{CertificateRow, SubjectRow},
    check_run::Counted,
    data_store::Word,
    drill::{Drill, DrillId, DrillOf, DrillsOf, Ended as DrillEnded},
    guard_allowance::Allowed,
    guard_refusal::HostRefusal,
    job::{BadState, Claim, Claimable, JOB_CHANNEL, JobRow, NewJob, Wishes},
    job_event::{Append, AppendError},
    leader::{Lead, SCHEDULING},
    migrations::{MigrateError, latest_known},
    policy_set::Applied,
    pruning::Pruning,
    repository::RepositoryRow,
    runbook::{NewStep, RunbookRun, RunbookRunId},
    schedule_run::{RunId, ScheduledRun, requested_by},
    token::TokenRow,
};
use crate::audit::HeadFile;

/// Connections one controller holds at most.
const CONNECTIONS: u32 = 16;

/// A cheap handle on the catalog's database.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub pool: PgPool,
    pub clock: SharedClock,
    audit_head: Option<Arc<HeadFile>>,
}

/// A query that failed, named for what we were doing.
#[derive(Debug, thiserror::Error)]
#[error("the catalog failed while {doing}")]
pub struct CatalogError {
    pub doing: &'static str,
    #[source]
    pub source: sqlx::Error,
}

impl Catalog {
    /// Connects; migrates nothing.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn connect(
        options: PgConnectOptions,
        clock: SharedClock,
    ) -> Result<Self, CatalogError> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(CatalogError::doing("connecting"))?;
        Ok(Self {
            pool,
            clock,
            audit_head: None,
        })
    }

    /// The hash of each audit entry is also noted in this file, outside of the database.
    #[must_use]
    pub fn with_audit_head(mut self, file: HeadFile) -> Self {
        self.audit_head = Some(Arc::new(file));
        self
    }

    /// Begins a transaction; who stops waiting for it leaves nothing behind.
    ///
    /// Never `pool.begin()`: dropped between BEGIN and its answer, sqlx 0.9 gives the connection back
    /// inside a transaction that it does not know of, and the next writes on it are lost with that.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place, where it is not dropped"
    )]
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin().await });
        begun.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// Brings the database to this binary's version.
    ///
    /// # Errors
    /// [`MigrateError`]: a newer, foreign or altered catalog is refused before anything is changed.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        migrations::run(&self.pool.connect_options()).await
    }

    /// How many transactions the oldest of its rows is old: at 2 100 million its server writes no more.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn transaction_id_age(&self) -> Result<u64, CatalogError> {
        let (age,): (i64,) = sqlx::query_as(
            "select age(datfrozenxid)::bigint from pg_database where datname = current_database()",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(CatalogError::doing("asking how old its rows are"))?;
        Ok(u64::try_from(age).unwrap_or(0))
    }
}

impl CatalogError {
    /// For `map_err`: says what the query was for.
    pub fn doing(doing: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| Self { doing, source }
    }

    /// Whether the server answered the connection, and nobody but a person can change its answer: wrong user
    /// or password (class 28), no such database (class 3D), no right to connect (42501).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let answer = self.source.as_database_error().and_then(|e| e.code());
        answer
            .is_some_and(|code| code.starts_with("28") || code.starts_with("3D") || code == "42501")
    }

    /// Whether the same may work a moment later: the connection or the server was lost, or transactions crossed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &self.source {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                // Connection exceptions, serialization and deadlock, out of resources, shutting down.
                ["08", "40", "53", "57"]
                    .iter()
                    .any(|class| code.starts_with(class))
            }),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::TestCatalog, *};

    async fn yields(number: u32) {
        for _ in 0..number {
            tokio::task::yield_now().await;
        }
    }

    /// Given up at every moment, with one connection that everybody gets.
    #[tokio::test]
    async fn a_transaction_that_nobody_waits_for_takes_no_later_write_with_it() {
        let test = TestCatalog::empty().await;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(test.options())
            .await
            .unwrap();
        let catalog = Catalog {
            pool,
            ..(*test).clone()
        };
        let run = |sql: &'static str| sqlx::query(sql).execute(&catalog.pool);
        run("create table written (n int)").await.unwrap();
        for moment in 0..300 {
            tokio::select! {
                biased;
                _ = catalog.begin() => {}
                () = yields(moment) => {}
            }
            run("insert into written values (1)").await.unwrap();
            drop(catalog.begin().await.unwrap());
            let (kept,): (i64,) = sqlx::query_as("select count(*) from written")
                .fetch_one(&catalog.pool)
                .await
                .unwrap();
            assert_eq!(
                kept,
                i64::from(moment) + 1,
                "given up after {moment} yields"
            );
        }
    }
}
