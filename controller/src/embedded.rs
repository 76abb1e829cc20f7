//! The private PostgreSQL of the catalog: made, started and stopped by the controller.
//!
//! It runs from the machine's own binaries under the state directory, listens on a unix socket in
//! a directory that only its user can enter, and lets in nobody but that user and the controller's.
//! The caller holds the lock of the state directory: two of these never run over one directory.

mod binaries;
mod cluster;
mod error;
mod files;
mod owner;
mod predecessor;
mod process;
mod server;
mod settings;
mod socket;

use std::{
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use sqlx::{
    ConnectOptions, Connection,
    postgres::{PgConnectOptions, PgSslMode},
};

pub use self::{
    binaries::{Binaries, NoBinaries},
    error::EmbeddedError,
    owner::{Owner, OwnerError},
    predecessor::PredecessorError,
    server::ServerError,
};
use self::{cluster::Cluster, server::Server};

/// The role that owns the catalog inside the private server.
const ROLE: &str = "holdfast";
/// The database of the catalog inside the private server.
const DATABASE: &str = "holdfast";
/// Names the socket file only: the server listens on no network.
const PORT: u16 = 5432;

/// What the operator may choose.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Absolute; exists.
    pub state_dir: PathBuf,
    /// Directory of `postgres` and `initdb`; searched for when unset.
    pub bin_dir: Option<PathBuf>,
    /// Whom the server runs as when the controller is root; `holdfast`, else `postgres`, when unset.
    pub user: Option<String>,
}

/// A private server that accepts connections.
#[derive(Debug)]
pub struct RunningServer {
    server: Server,
    options: PgConnectOptions,
    binaries: Binaries,
}

impl Embedded {
    /// Where everything of the private server is.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.state_dir.join("postgres")
    }

    /// How to connect to the private server of a controller that runs; none while it is not ready.
    #[must_use]
    pub fn running(&self) -> Option<PgConnectOptions> {
        let lock = self.directory().join("data/postmaster.pid");
        let content = std::fs::read_to_string(lock).ok()?;
        let sockets = predecessor::sockets_when_ready(&content)?;
        Some(connect_options(Path::new(sockets)).database(DATABASE))
    }

    /// Starts the private server and waits until it accepts connections; makes its data directory
    /// the first time.
    ///
    /// A server that a killed controller left behind is stopped first, and started again as our own child.
    ///
    /// # Errors
    /// When there are no fitting binaries, no user to run as, when the data directory is damaged,
    /// missing or of another installation, or when the server does not start: then with the last lines of its log.
    pub async fn start(&self) -> Result<RunningServer, EmbeddedError> {
        let owner = Owner::find(self.user.as_deref())?;
        let directory = self.directory();
        prepare_directory(&self.state_dir, &directory, &owner)?;
        let cluster = Cluster::new(&directory);
        let binaries = Binaries::find(self.bin_dir.as_deref(), cluster.major()?)?;
        predecessor::clear(cluster.data()).await?;
        cluster.ensure(&binaries, &owner).await?;
        let sockets = socket::prepare(&directory, &owner)?;
        settings::write(cluster.data(), &sockets, &owner)?;
        let options = connect_options(&sockets);
        let server = Server::start(&binaries, cluster.data(), &directory, &owner, &options).await?;
        let running = RunningServer {
            server,
            options: options.database(DATABASE),
            binaries,
        };
        match running.claim(&cluster, &owner).await {
            Ok(()) => Ok(running),
            Err(error) => {
                if let Err(also) = running.stop().await {
                    tracing::warn!(
                        error = &also as &dyn std::error::Error,
                        "the private PostgreSQL did not stop"
                    );
                }
                Err(error)
            }
        }
    }
}

impl RunningServer {
    /// How to connect to the catalog's database.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// The binaries it runs from.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Process id of the server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Resolves when the server has ended without being asked to.
    pub async fn exited(&mut self) -> ServerError {
        self.server.exited().await
    }

    /// Ends the server in order: open transactions roll back, a checkpoint is written.
    ///
    /// # Errors
    /// When it is still there after the time for an orderly stop and for an immediate one.
    pub async fn stop(self) -> Result<(), ServerError> {
        self.server.stop().await
    }

    /// Checks that the data is that of this installation, and that the catalog's database exists.
    async fn claim(&self, cluster: &Cluster, owner: &Owner) -> Result<(), EmbeddedError> {
        let query = |source| EmbeddedError::Query { source };
        let mut connection = self
            .options
            .clone()
            .database("postgres")
            .connect()
            .await
            .map_err(query)?;
        let (system_identifier,): (i64,) =
            sqlx::query_as("select system_identifier from pg_control_system()")
                .fetch_one(&mut connection)
                .await
                .map_err(query)?;
        cluster.remember(system_identifier.cast_unsigned(), owner)?;
        let (exists,): (bool,) =
            sqlx::query_as("select exists (select from pg_database where datname = $1)")
                .bind(DATABASE)
                .fetch_one(&mut connection)
                .await
                .map_err(query)?;
        if !exists {
            sqlx::query("create database holdfast")
                .execute(&mut connection)
                .await
                .map_err(query)?;
        }
        connection.close().await.map_err(query)
    }
}

/// The server's user owns the directory, and can reach it.
fn prepare_directory(
    state_dir: &Path,
    directory: &Path,
    owner: &Owner,
) -> Result<(), EmbeddedError> {
    let failed = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| EmbeddedError::Files {
            doing,
            path,
            source,
        }
    };
    if !directory.exists() {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(directory)
            .map_err(failed("make", directory))?;
    }
    if owner.is_another() {
        // To pass through is all that the server's user may do in the state directory.
        let mode = std::fs::metadata(state_dir)
            .map_err(failed("look at", state_dir))?
            .permissions()
            .mode();
        if mode & 0o011 != 0o011 {
            std::fs::set_permissions(state_dir, std::fs::Permissions::from_mode(mode | 0o011))
                .map_err(failed("let the server's user pass through", state_dir))?;
        }
        chown(directory, Some(owner.uid()), Some(owner.gid()))
            .map_err(failed("hand to the server's user", directory))?;
    }
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
        .map_err(failed("close to others", directory))?;
    owner.can_reach(directory)?;
    Ok(())
}

fn connect_options(sockets: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(sockets)
        .port(PORT)
        .username(ROLE)
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
        .application_name("holdfast-controller")
}
