//! The server behind the catalog: the private one, or the one whose address was given.

use std::path::Path;

use holdfast_chassis::clock::SharedClock;
use sqlx::postgres::PgConnectOptions;

use super::ServeError;
use crate::{
    audit::HeadFile,
    catalog::Catalog,
    config::Config,
    embedded::{Embedded, RunningServer, ServerError},
};

/// A migrated catalog and, when it is ours, the server that it runs on.
#[derive(Debug)]
pub struct Backing {
    pub catalog: Catalog,
    private: Option<RunningServer>,
}

impl Backing {
    /// Starts the private server unless an address is given, connects and migrates.
    ///
    /// # Errors
    /// When the server does not start or answer, or the catalog is refused.
    pub async fn start(
        config: &Config,
        state_dir: &Path,
        clock: SharedClock,
    ) -> Result<Self, ServeError> {
        let (options, private) = match &config.catalog.url {
            Some(url) => (url.options().map_err(ServeError::CatalogUrl)?, None),
            None => {
                let server = embedded(config, state_dir)
                    .start()
                    .await
                    .map_err(Box::new)?;
                (server.options(), Some(server))
            }
        };
        match open(options, state_dir, clock).await {
            Ok(catalog) => Ok(Self { catalog, private }),
            Err(error) => {
                stop_server(private).await;
                Err(error)
            }
        }
    }

    /// Through a server that another controller runs.
    ///
    /// # Errors
    /// When it does not answer, or the catalog is refused.
    pub async fn attach(
        options: PgConnectOptions,
        state_dir: &Path,
        clock: SharedClock,
    ) -> Result<Self, ServeError> {
        let catalog = open(options, state_dir, clock).await?;
        Ok(Self {
            catalog,
            private: None,
        })
    }

    /// Of the private server: its process id and where its binaries are.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.private {
            Some(server) => format!(
                "private PostgreSQL {} (pid {}, {})",
                server.binaries().major,
                server.pid(),
                server.binaries().directory.display()
            ),
            None => "PostgreSQL at the given address".to_owned(),
        }
    }

    /// Resolves when the private server has ended without being asked to; never for a given one.
    pub async fn lost(&mut self) -> ServerError {
        match &mut self.private {
            Some(server) => server.exited().await,
            None => std::future::pending().await,
        }
    }

    /// Closes the connections, then stops the private server.
    pub async fn stop(self) {
        self.catalog.pool.close().await;
        stop_server(self.private).await;
    }
}

/// What the configuration says about the private server.
pub fn embedded(config: &Config, state_dir: &Path) -> Embedded {
    Embedded {
        state_dir: state_dir.to_owned(),
        bin_dir: config.embedded.bin_dir.clone(),
        user: config.embedded.user.clone(),
    }
}

async fn open(
    options: PgConnectOptions,
    state_dir: &Path,
    clock: SharedClock,
) -> Result<Catalog, ServeError> {
    let catalog = Catalog::connect(options, clock).await.map_err(|error| {
        if error.is_refusal() {
            ServeError::Unwelcome(error)
        } else {
            ServeError::Catalog(error)
        }
    })?;
    catalog.migrate().await.map_err(ServeError::Migrate)?;
    let head = HeadFile::open(&state_dir.join("audit-head.json"))?;
    let catalog = catalog.with_audit_head(head);
    catalog
        .check_audit_head()
        .await
        .map_err(ServeError::Catalog)?;
    Ok(catalog)
}

async fn stop_server(server: Option<RunningServer>) {
    let Some(server) = server else { return };
    match server.stop().await {
        Ok(()) => tracing::info!("the private PostgreSQL has stopped"),
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "the private PostgreSQL did not stop"
        ),
    }
}
