//! Why the private server does not run.

use std::{io, path::PathBuf};

use super::{NoBinaries, OwnerError, PredecessorError, ServerError};

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(transparent)]
    Binaries(#[from] NoBinaries),
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error(transparent)]
    Predecessor(#[from] PredecessorError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("cannot {doing} {path:?}, which the private PostgreSQL needs")]
    Files {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot run {program:?} to make the data directory of the private PostgreSQL")]
    RunInitdb {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{program:?} did not make {directory:?} ({status}); its last lines:\n{output}")]
    Initdb {
        program: PathBuf,
        directory: PathBuf,
        status: std::process::ExitStatus,
        output: String,
    },
    #[error(
        "{path:?} is no whole PostgreSQL data directory: {missing} is missing. Nothing was changed. \
         Restore the directory from a backup, or move it away to start with an empty catalog"
    )]
    Damaged {
        path: PathBuf,
        missing: &'static str,
    },
    #[error(
        "the catalog's data directory {path:?} is gone, but {identity:?} says that there was one. \
         Is its file system mounted? To start with an empty catalog on purpose, move {identity:?} away"
    )]
    Gone { path: PathBuf, identity: PathBuf },
    #[error(
        "{path:?} belongs to another installation: its system identifier is {found}, but {identity:?} \
         says {expected}. Put the right directory back, or move {identity:?} away to accept this one"
    )]
    OtherCluster {
        path: PathBuf,
        identity: PathBuf,
        found: u64,
        expected: u64,
    },
    #[error(
        "{path:?} does not hold what the controller wrote there ({reason}); move it away to accept the data directory beside it"
    )]
    Identity { path: PathBuf, reason: String },
    #[error(
        "the socket directory {path:?} is not ours ({reason}); remove it, or choose a shorter state_dir"
    )]
    SocketDirectory { path: PathBuf, reason: String },
    #[error("the private PostgreSQL runs but refused the controller's first queries")]
    Query {
        #[source]
        source: sqlx::Error,
    },
}
