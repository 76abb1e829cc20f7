//! An image in a repository: how it lies there, into it, out of it, and out of it by hand.
//!
//! The streams are those of a copy, each an entry of one snapshot. Rows are whole files of `COPY` or of `LOAD DATA`, so
//! that `psql` and `mariadb` read them; `restore.sh` beside them says in which order. The manifest is the last
//! entry: a snapshot has one only when everything else of the image is in it.

mod by_hand;
mod fetch;
mod layout;
mod store;

use std::error::Error;

use holdfast_proto::{
    image::{RelationPlan, SequenceState},
    task::{FailureKind, TaskFailure},
};
use holdfast_repository::{BlobsError, RepositoryError};

use super::failure::failure;

pub use by_hand::{PsqlByHand, roles_of};
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

/// What lies beside an image for the day when nothing of Holdfast is left.
pub trait ByHand: Send + Sync {
    /// Whether the files are made from the schema as well.
    fn reads_schema(&self) -> bool;

    /// Names of the files, none of them twice.
    fn names(&self) -> &'static [&'static str];

    /// Their texts, in the order of the names. `rows` names the entry of a part of a relation.
    ///
    /// # Errors
    /// When the schema is not what this engine makes.
    fn texts(
        &self,
        schema: &[u8],
        relations: &[RelationPlan],
        sequences: &[SequenceState],
        rows: &dyn Fn(&RelationPlan, u32) -> String,
    ) -> Result<Vec<String>, String>;
}

/// One word for the shell.
#[must_use]
pub fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What to do about a bucket that does not let this host in. Only the controller's credentials lead there.
pub const CREDENTIALS: &str = "correct the credentials that repository.direct_credentials_file names in the controller's \
     settings, or what the bucket's policy allows them; without that setting backups go through the controller";

/// What a repository answered, as the end of a task.
#[must_use]
pub fn failed(doing: &str, error: &RepositoryError) -> TaskFailure {
    let message = format!("{doing}: {}", with_causes(error));
    let (kind, advice) = match error {
        RepositoryError::Storage { source, .. } if matches!(**source, BlobsError::Full { .. }) => (
            FailureKind::Exhausted,
            "make room where the repositories are; ctl repository prune frees what retention has let go",
        ),
        RepositoryError::Storage { source, .. }
            if matches!(**source, BlobsError::Credentials { .. }) =>
        {
            (FailureKind::Refused, CREDENTIALS)
        }
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
    fn a_word_of_the_shell_holds_anything() {
        assert_eq!(shell("it's $HOME"), r"'it'\''s $HOME'");
    }
}
