//! Puts the controller together and runs it: what is started first is stopped last.

mod backing;
mod notify;

use std::io;

use chrono::{DateTime, Utc};
use holdfast_chassis::clock::SharedClock;
use tokio_util::sync::CancellationToken;

use self::backing::Backing;
use crate::{
    catalog::{CatalogError, MigrateError},
    config::Config,
    embedded::{EmbeddedError, ServerError},
    exit::Exit,
    state_dir::{StateDir, StateDirError},
};

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error(transparent)]
    PrivateServer(#[from] Box<EmbeddedError>),
    #[error("the private PostgreSQL, and with it the catalog, is lost")]
    ServerLost(#[source] Box<ServerError>),
    #[error("catalog.url is not usable")]
    CatalogUrl(#[source] sqlx::Error),
    #[error("the catalog cannot be reached; check catalog.url and that its PostgreSQL runs")]
    Catalog(#[source] CatalogError),
    #[error(transparent)]
    Migrate(MigrateError),
    #[error("cannot watch for signals")]
    Signals(#[source] io::Error),
}

impl ServeError {
    /// What the process ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::StateDir(_) => Exit::StateDir,
            Self::PrivateServer(_) => Exit::PrivateServer,
            Self::CatalogUrl(_) | Self::Catalog(_) | Self::Migrate(_) => Exit::Catalog,
            Self::ServerLost(_) | Self::Signals(_) => Exit::Failed,
        }
    }
}

/// Runs until `shutdown`, or until something is lost that it cannot run without.
///
/// # Errors
/// What could not be started, or was lost. Everything that was started has been stopped then.
pub async fn serve(
    config: Config,
    clock: SharedClock,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let started: DateTime<Utc> = clock.now();
    let state_dir = StateDir::open(&config.state_dir)?;
    let mut backing = Box::pin(Backing::start(&config, state_dir.path(), clock.clone())).await?;
    tracing::info!(
        state_dir = %state_dir.path().display(),
        catalog = backing.describe(),
        seconds = (clock.now() - started).as_seconds_f64(),
        "ready"
    );
    notify::notify("READY=1");
    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        error = backing.lost() => Err(ServeError::ServerLost(Box::new(error))),
    };
    notify::notify("STOPPING=1");
    backing.stop().await;
    ended
}
