//! Sessions on the staging database, opened when needed and used again.

use std::sync::{Arc, Mutex, PoisonError};

use holdfast_proto::task::TaskFailure;
use tokio_postgres::{Client, error::SqlState};

use super::Target;
use crate::engine::postgres::{
    failure::{failed, raw},
    quote::literal,
    route::Route,
    settings,
    wire::RawSession,
};

/// Shared by loaders, builders and readers.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    route: Route,
    instance: String,
    database: String,
    application: String,
    settings: String,
    writers: Mutex<Vec<Client>>,
    loaders: Mutex<Vec<RawSession>>,
    readers: Mutex<Vec<RawSession>>,
}

impl Pool {
    pub(super) fn new(target: &Target) -> Self {
        let memory = settings::maintenance_mib(target.free_memory, target.permits as u64);
        let shared = Shared {
            route: target.located.route.clone(),
            instance: target.located.name.clone(),
            database: target.database.clone(),
            application: target.application.clone(),
            settings: settings::writer(memory),
            writers: Mutex::default(),
            loaders: Mutex::default(),
            readers: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A session that may write. Give it back with [`Pool::give_back`] when it is in no
    /// transaction; one that is dropped takes its transaction with it.
    pub(super) async fn writer(&self) -> Result<Client, TaskFailure> {
        let shared = &self.shared;
        let idle = pop(&shared.writers);
        if let Some(client) = idle.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let client = shared
            .route
            .connect(&shared.database)
            .await
            .map_err(|error| error.into_failure(&shared.instance))?;
        let settings = format!(
            "SET application_name = {};{}",
            literal(&shared.application),
            shared.settings
        );
        client
            .batch_execute(&settings)
            .await
            .map_err(|error| failed("preparing a session on the staging database", &error))?;
        Ok(client)
    }

    pub(super) fn give_back(&self, client: Client) {
        push(&self.shared.writers, client);
    }

    /// A bare session for loading rows, under the rules of [`Pool::writer`].
    pub(super) async fn loader(&self) -> Result<RawSession, TaskFailure> {
        match pop(&self.shared.loaders) {
            Some(session) => Ok(session),
            None => self.bare("to load rows", &self.shared.settings).await,
        }
    }

    pub(super) fn give_back_loader(&self, session: RawSession) {
        push(&self.shared.loaders, session);
    }

    /// A bare session for reading back.
    pub(super) async fn reader(&self) -> Result<RawSession, TaskFailure> {
        match pop(&self.shared.readers) {
            Some(session) => Ok(session),
            None => self.bare("to read back", &settings::reader()).await,
        }
    }

    pub(super) fn give_back_reader(&self, session: RawSession) {
        push(&self.shared.readers, session);
    }

    async fn bare(&self, purpose: &str, settings: &str) -> Result<RawSession, TaskFailure> {
        let shared = &self.shared;
        let (database, application) = (&shared.database, &shared.application);
        RawSession::open(&shared.route, database, application, settings)
            .await
            .map_err(|error| raw(format!("opening a session {purpose}"), &error))
    }

    /// Runs statements on a session of the pool.
    ///
    /// # Errors
    /// What the server says, named for `doing`.
    pub(super) async fn execute(&self, doing: &str, sql: &str) -> Result<(), TaskFailure> {
        let client = self.writer().await?;
        client
            .batch_execute(sql)
            .await
            .map_err(|error| failed(doing, &error))?;
        self.give_back(client);
        Ok(())
    }

    /// The same, but what refers to a table or constraint that is not there is left undone:
    /// then it gives false.
    ///
    /// # Errors
    /// As [`Pool::execute`].
    pub(super) async fn execute_unless_missing(
        &self,
        doing: &str,
        sql: &str,
    ) -> Result<bool, TaskFailure> {
        let client = self.writer().await?;
        let made = match client.batch_execute(sql).await {
            Ok(()) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(failed(doing, &error)),
        };
        self.give_back(client);
        Ok(made)
    }
}

fn is_missing(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        *code == SqlState::UNDEFINED_TABLE || *code == SqlState::UNDEFINED_OBJECT
    })
}

fn pop<T>(stack: &Mutex<Vec<T>>) -> Option<T> {
    stack.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn push<T>(stack: &Mutex<Vec<T>>, item: T) {
    stack
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(item);
}
