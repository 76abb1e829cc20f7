//! The way to backups, as tasks know it.

use std::fmt::Debug;

use async_trait::async_trait;
use holdfast_proto::task::{FailureKind, RepositoryRef, TaskFailure};
use holdfast_repository::Repository;

use crate::{
    engine::postgres::{failure::failure, keep},
    repository::{OpenError, Repositories, Whose},
};

/// Opens repositories, to be read, and this host's own to be written as well.
#[async_trait]
pub trait Backups: Debug + Send + Sync {
    /// # Errors
    /// When it is not reached, is not there, or no job lets this host read it.
    async fn open(&self, repository: &RepositoryRef) -> Result<Repository, TaskFailure>;
}

#[async_trait]
impl Backups for Repositories {
    async fn open(&self, repository: &RepositoryRef) -> Result<Repository, TaskFailure> {
        let RepositoryRef { host, job } = repository.clone();
        Self::open(self, &Whose { host, job })
            .await
            .map_err(|error| failed(&error))
    }
}

fn failed(error: &OpenError) -> TaskFailure {
    let doing = "opening the repository";
    match error {
        OpenError::Repository(error) => keep::failed(doing, error),
        OpenError::Direct { .. } => {
            let message = format!("{doing}: {}", keep::with_causes(error));
            failure(FailureKind::Refused, message, keep::CREDENTIALS)
        }
        OpenError::Gateway { .. } | OpenError::Key { .. } => {
            let kind = if error.again() {
                FailureKind::Unavailable
            } else {
                FailureKind::Refused
            };
            let message = format!("{doing}: {}", keep::with_causes(error));
            let advice = "see whether the controller and the storage answer: ctl repository check";
            failure(kind, message, advice)
        }
    }
}
