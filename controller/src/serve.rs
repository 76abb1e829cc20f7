//! Puts the controller together and runs it: what is started first is stopped last.

mod address;
mod backing;
mod invite;
mod notify;
mod running;

use std::{io, net::SocketAddr};

use chrono::{DateTime, Utc};
use holdfast_chassis::clock::SharedClock;
use tokio_util::sync::CancellationToken;

pub use self::invite::invite_admin;
use self::{address::Reserved, backing::Backing, running::Running};
use crate::{
    audit::HeadError,
    catalog::{CatalogError, MigrateError},
    config::{Config, PlaceError},
    embedded::{EmbeddedError, ServerError},
    exit::Exit,
    identity::IdentityError,
    repository::RepositoriesError,
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
    #[error("the catalog's PostgreSQL does not let this controller in; check catalog.url")]
    Unwelcome(#[source] CatalogError),
    #[error(transparent)]
    Migrate(MigrateError),
    #[error(
        "the audit log's head cannot be read; move its file away to go on without what it shows"
    )]
    AuditHead(#[from] HeadError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    RepositoryPlace(#[from] PlaceError),
    #[error(transparent)]
    Repositories(#[from] RepositoriesError),
    #[error(
        "cannot listen on {address}; is another program there? Choose another with listen or --listen"
    )]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{what} ended without being asked to")]
    Ended {
        what: &'static str,
        #[source]
        source: Option<tonic::transport::Error>,
    },
    #[error(
        "the catalog's server of the controller that runs here does not accept connections; try again in a moment"
    )]
    NotReady,
    #[error("cannot watch for signals")]
    Signals(#[source] io::Error),
}

impl ServeError {
    /// What the process ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::StateDir(_)
            | Self::AuditHead(_)
            | Self::Repositories(RepositoriesError::Vault(_)) => Exit::StateDir,
            Self::PrivateServer(_) => Exit::PrivateServer,
            Self::Catalog(_)
            | Self::Migrate(MigrateError::Query(_))
            | Self::Repositories(RepositoriesError::Catalog(_))
            | Self::Identity(IdentityError::Catalog(_)) => Exit::Catalog,
            Self::CatalogUrl(_) | Self::Unwelcome(_) | Self::Migrate(_) => Exit::CatalogRefused,
            Self::Identity(_) => Exit::Identity,
            Self::RepositoryPlace(_) | Self::Repositories(_) => Exit::Repository,
            Self::Listen { .. } => Exit::Listen,
            Self::ServerLost(_) | Self::Ended { .. } | Self::NotReady | Self::Signals(_) => {
                Exit::Failed
            }
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
    let address = config.listen;
    let reserved =
        Reserved::take(address).map_err(|source| ServeError::Listen { address, source })?;
    let mut backing = Box::pin(Backing::start(&config, state_dir.path(), clock.clone())).await?;
    let catalog = backing.catalog.clone();
    let running = Box::pin(Running::start(
        &config,
        state_dir.path(),
        catalog,
        clock.clone(),
        reserved,
    ))
    .await;
    let mut running = match running {
        Ok(running) => running,
        Err(error) => {
            backing.stop().await;
            return Err(error);
        }
    };
    tracing::info!(
        listen = %running.listening,
        advertised = running.advertised,
        state_dir = %state_dir.path().display(),
        catalog = backing.describe(),
        seconds = (clock.now() - started).as_seconds_f64(),
        "ready"
    );
    notify::notify("READY=1");
    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        error = running.failed() => Err(error),
        error = backing.lost() => Err(ServeError::ServerLost(Box::new(error))),
    };
    notify::notify("STOPPING=1");
    running.stop().await;
    backing.stop().await;
    ended
}
