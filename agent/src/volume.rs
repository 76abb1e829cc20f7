//! Volumes: read file by file into a repository, made anew from there, exchanged.
//!
//! Nothing here follows a symbolic link or leaves the volume: every name is opened in the folder that holds it. A
//! volume is read only while nobody writes to it, and what changes all the same fails the backup.

pub mod contents;
pub mod data;
pub mod fetch;
pub mod keep;
pub mod place;
pub mod swap;
pub mod tree;
pub mod users;

use std::{io, path::Path};

use holdfast_proto::task::{FailureKind, TaskFailure};

use crate::engine::postgres::failure::failure;

/// What went wrong with one file, for an operator. Trying again cannot help unless the file is another one then.
#[must_use]
pub fn failed(doing: &str, path: &Path, error: &io::Error) -> TaskFailure {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::Exhausted,
        _ => FailureKind::Refused,
    };
    let shown = contents::shown(path);
    let message = format!("{doing} {shown} in the volume: {error}");
    failure(
        kind,
        message,
        "look at the file, and at the disk of the host",
    )
}

/// The volume was written to while it was read.
#[must_use]
pub fn changed(path: &Path, what: &str) -> TaskFailure {
    let message = format!(
        "{} in the volume {what} while it was read: the backup would be of no one moment",
        contents::shown(path)
    );
    let advice = "something writes to the volume that no container shows: a process of the host, or a mount from \
                  elsewhere. Stop it, then try again";
    failure(FailureKind::Conflict, message, advice)
}

/// Somebody asked it to end.
#[must_use]
pub fn cancelled(doing: &str) -> TaskFailure {
    failure(FailureKind::Cancelled, format!("{doing} was cancelled"), "")
}

/// A thread of ours broke.
#[must_use]
pub fn broken(doing: &str, error: &tokio::task::JoinError) -> TaskFailure {
    failure(
        FailureKind::Internal,
        format!("{doing} broke off: {error}"),
        "",
    )
}
