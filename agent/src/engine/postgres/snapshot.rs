//! One exported snapshot, held while an image is taken: every reader sees the same moment.

use chrono::{DateTime, Utc};
use holdfast_proto::task::TaskFailure;
use tokio_postgres::Client;

use super::{
    failure,
    route::Route,
    settings,
    wire::{RawError, RawSession},
};

/// Names of tables locked in one statement.
const LOCKS_AT_ONCE: usize = 200;

/// The transaction that keeps the snapshot alive; dropping it ends it and leaves nothing behind.
pub struct Snapshot {
    client: Client,
    route: Route,
    database: String,
    application: String,
    /// For `SET TRANSACTION SNAPSHOT` and `pg_dump --snapshot`.
    pub name: String,
    pub taken_at: DateTime<Utc>,
    pub lsn: String,
    pub system_identifier: String,
    pub server_version: String,
    pub version_num: u32,
}

impl Snapshot {
    /// Begins a read-only transaction and exports its snapshot.
    ///
    /// # Errors
    /// When the server is not reached or does not allow it.
    pub async fn take(
        route: &Route,
        instance: &str,
        database: &str,
        application: &str,
    ) -> Result<Self, TaskFailure> {
        let client = route
            .connect(database)
            .await
            .map_err(|error| error.into_failure(instance))?;
        let explain = |error| {
            failure::failed(
                &format!("taking a snapshot of {instance}/{database}"),
                &error,
            )
        };
        client
            .batch_execute(&format!(
                "SET application_name = {}; {}",
                super::quote::literal(application),
                settings::reader(),
            ))
            .await
            .map_err(explain)?;
        client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .map_err(explain)?;
        let row = client
            .query_one(
                "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.now(), \
                 (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                  ELSE pg_catalog.pg_current_wal_lsn() END)::text, \
                 (SELECT system_identifier::text FROM pg_catalog.pg_control_system()), \
                 pg_catalog.current_setting('server_version'), \
                 pg_catalog.current_setting('server_version_num')::int",
                &[],
            )
            .await
            .map_err(explain)?;
        let version: i32 = row.get(5);
        Ok(Self {
            name: row.get(0),
            taken_at: row.get(1),
            lsn: row.get::<_, Option<String>>(2).unwrap_or_default(),
            system_identifier: row.get(3),
            server_version: row.get(4),
            version_num: u32::try_from(version).unwrap_or_default(),
            client,
            route: route.clone(),
            database: database.to_owned(),
            application: application.to_owned(),
        })
    }

    /// The session that holds it, for reading the catalog.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Keeps tables from being dropped or rewritten; readers and writers go on.
    ///
    /// # Errors
    /// When a table has been dropped since the snapshot.
    pub async fn lock(&self, tables: &[String]) -> Result<(), TaskFailure> {
        for names in tables.chunks(LOCKS_AT_ONCE) {
            let sql = format!(
                "LOCK TABLE ONLY {} IN ACCESS SHARE MODE",
                names.join(", ONLY ")
            );
            self.client
                .batch_execute(&sql)
                .await
                .map_err(|error| failure::failed("locking the tables against change", &error))?;
        }
        Ok(())
    }

    /// A bare session that sees this snapshot.
    ///
    /// # Errors
    /// When it cannot connect, or the snapshot is gone.
    pub async fn reader(&self) -> Result<RawSession, RawError> {
        let mut session = RawSession::open(
            &self.route,
            &self.database,
            &self.application,
            &settings::reader(),
        )
        .await?;
        session
            .execute(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
                self.name
            ))
            .await?;
        Ok(session)
    }

    /// # Errors
    /// When the transaction that holds it is gone, and the image with it.
    pub async fn check(&self) -> Result<(), TaskFailure> {
        self.client
            .simple_query("SELECT 1")
            .await
            .map(drop)
            .map_err(|error| failure::failed("holding the snapshot of the source", &error))
    }
}
