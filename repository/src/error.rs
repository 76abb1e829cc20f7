//! What went wrong in a repository, for whoever asked for it.

use std::{fmt, sync::Arc};

use rustic_core::RusticError;

use crate::{blobs::BlobsError, write::Incomplete};

/// Why a repository could not do it. Nothing that was good before has been harmed by it.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    #[error("could not {doing}: repository {location}")]
    Storage {
        doing: String,
        location: String,
        #[source]
        source: Arc<BlobsError>,
    },
    #[error("could not {doing}: repository {location}")]
    Engine {
        doing: String,
        location: String,
        #[source]
        source: EngineError,
    },
    #[error("there is no repository at {location}")]
    Absent { location: String },
    #[error(
        "the key does not fit the repository at {location}: it belongs to another one, or the repository is damaged"
    )]
    WrongKey {
        location: String,
        #[source]
        source: EngineError,
    },
    #[error("nothing was stored in {location}: the backup is not whole")]
    Incomplete {
        location: String,
        #[source]
        source: Incomplete,
    },
    #[error("snapshot {id} is not in {location}")]
    NoSnapshot { id: String, location: String },
    #[error("snapshot {snapshot} in {location} has no entry {entry:?}")]
    NoEntry {
        snapshot: String,
        entry: String,
        location: String,
    },
    #[error(
        "entry {entry:?} of snapshot {snapshot} in {location} is {found} bytes, and {expected} were stored: \
         the repository is damaged. Run: ctl repository check --read-data 100%"
    )]
    Short {
        snapshot: String,
        entry: String,
        expected: u64,
        found: u64,
        location: String,
    },
    #[error("{location} is not pruned while backups are written to it: {}", running.join(", "))]
    BackupRunning {
        running: Vec<String>,
        location: String,
    },
    #[error("stopped: repository {location}")]
    Stopped { location: String },
}

/// What the engine below said. Its words are its own.
#[derive(Debug)]
pub struct EngineError(pub(crate) Box<RusticError>);

impl RepositoryError {
    /// Trying again may help: the storage did not answer, or the backup was cut.
    #[must_use]
    pub fn again(&self) -> bool {
        match self {
            Self::Storage { source, .. } => source.again(),
            Self::Incomplete { .. } | Self::BackupRunning { .. } => true,
            Self::Engine { .. }
            | Self::Absent { .. }
            | Self::WrongKey { .. }
            | Self::NoSnapshot { .. }
            | Self::NoEntry { .. }
            | Self::Short { .. }
            | Self::Stopped { .. } => false,
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.display_log().trim_start_matches("Error: "))
    }
}

impl std::error::Error for EngineError {}
