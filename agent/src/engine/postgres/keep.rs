//! An image in a repository: how it lies there, into it, out of it, and out of it by hand.
//!
//! The streams are those of a copy, each an entry of one snapshot. Rows are whole files of `COPY`, so that
//! `psql` reads them; `restore.sh` beside them says in which order. The manifest is the last entry: a
//! snapshot has one only when everything else of the image is in it.

mod by_hand;
mod fetch;
mod layout;
mod store;

use std::error::Error;

use holdfast_proto::{
    fleet::Engine,
    task::{FailureKind, TaskFailure},
};
use holdfast_repository::RepositoryError;

use super::failure::failure;

pub use by_hand::roles_of;
pub use fetch::Fetch;
pub use store::Store;

/// An error and what lies below it, in one line.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        message.push_str(&format!(": {below}"));
        cause = below.source();
    }
    message
}

/// Images in repositories are PostgreSQL's: nothing of it is tried on another server.
///
/// # Errors
/// When the server is MariaDB or MySQL.
pub fn supports(engine: Engine, instance: &str) -> Result<(), TaskFailure> {
    match engine {
        Engine::Postgres => Ok(()),
        Engine::Mariadb | Engine::Mysql => Err(failure(
            FailureKind::Invalid,
            format!(
                "{instance} is a {} server: its databases cannot be backed up or restored yet",
                engine.label()
            ),
            "make a dump by other means until they can",
        )),
    }
}

/// What a repository answered, as the end of a task.
#[must_use]
pub fn failed(doing: &str, error: &RepositoryError) -> TaskFailure {
    let message = format!("{doing}: {}", with_causes(error));
    let (kind, advice) = match error {
        RepositoryError::Storage { .. } | RepositoryError::BackupRunning { .. } => (
            FailureKind::Unavailable,
            "see whether the storage is up: ctl repository check",
        ),
        RepositoryError::Incomplete { .. } => (FailureKind::Unavailable, ""),
        RepositoryError::Stopped { .. } => (FailureKind::Cancelled, ""),
        RepositoryError::Engine { .. }
        | RepositoryError::WrongKey { .. }
        | RepositoryError::NoEntry { .. }
        | RepositoryError::Short { .. } => (
            FailureKind::DataMismatch,
            "look at the repository: ctl repository check --read-data 100%",
        ),
        RepositoryError::Absent { .. } | RepositoryError::NoSnapshot { .. } => (
            FailureKind::Invalid,
            "see what the repository holds: ctl backup list",
        ),
    };
    TaskFailure {
        retryable: error.again(),
        ..failure(kind, message, advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgres_is_tried() {
        assert!(supports(Engine::Postgres, "shop-db").is_ok());
        for engine in [Engine::Mariadb, Engine::Mysql] {
            let failure = supports(engine, "shop-db").unwrap_err();
            assert!(
                failure
                    .message
                    .starts_with(&format!("shop-db is a {} server", engine.label()))
            );
            assert!(!failure.retryable);
        }
    }
}
