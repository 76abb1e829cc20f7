//! What steps do with repositories themselves, without an agent.

use std::{collections::BTreeSet, error::Error, fmt::Debug};

use async_trait::async_trait;
use holdfast_chassis::telemetry::Chain;
use holdfast_proto::{
    names::HostName,
    task::{FailureKind, TaskFailure},
};
use holdfast_repository::{
    Blobs, BlobsError, Grace, Kind, Name, Repository, RepositoryError, SnapshotId, Told,
};

use tokio_util::sync::CancellationToken;

use super::prune_repository::prune::Freed;
use crate::{
    repository::{Repositories, RepositoriesError},
    retention::removal::GRACE,
};

pub mod through;
pub mod whole;

pub use through::ReadThrough;
pub use whole::ReadWhole;

/// The repositories as jobs see them.
#[async_trait]
pub trait Shelf: Debug + Send + Sync {
    /// Whether the host's repository can be reached now, and holds the snapshot.
    ///
    /// # Errors
    /// [`OutOfReach`]: nobody knows what it holds.
    async fn holds(&self, host: &HostName, snapshot: &str) -> Result<bool, OutOfReach>;

    /// Names of all snapshots that the host's repository holds.
    ///
    /// # Errors
    /// [`OutOfReach`]: nobody knows what it holds.
    async fn snapshots(&self, host: &HostName) -> Result<BTreeSet<String>, OutOfReach>;

    /// Takes snapshots out of the list; those that are gone already are a success. Their data stay until a prune.
    /// Whoever calls it has the repository alone.
    ///
    /// # Errors
    /// [`OutOfReach`]: some may be gone, and it is to be done again.
    async fn forget(&self, host: &HostName, snapshots: &BTreeSet<String>)
    -> Result<(), OutOfReach>;

    /// Marks what no snapshot needs, and removes what was marked a day ago. Whoever calls it has the repository
    /// alone.
    ///
    /// # Errors
    /// [`OutOfReach`]: half of it may be done, and the next one goes on with it.
    async fn prune(&self, host: &HostName) -> Result<Freed, OutOfReach>;

    /// Reads every entry of the snapshot to its end; the repository authenticates each piece.
    ///
    /// # Errors
    /// [`OutOfReach`]: the storage did not answer, so that nobody knows.
    async fn read_through(
        &self,
        host: &HostName,
        snapshot: &str,
    ) -> Result<ReadThrough, OutOfReach>;

    /// Reads every object of the host's repository, and says of each snapshot what is wrong with it. Whoever calls it
    /// keeps pruning away.
    ///
    /// # Errors
    /// [`OutOfReach`]: the storage did not answer, or `stop` was cancelled.
    async fn read_whole(
        &self,
        host: &HostName,
        told: &Told,
        stop: &CancellationToken,
    ) -> Result<ReadWhole, OutOfReach>;
}

/// Why a repository could not be worked with, with its causes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct OutOfReach {
    pub why: String,
    /// Trying again may help.
    pub again: bool,
}

#[async_trait]
impl Shelf for Repositories {
    async fn holds(&self, host: &HostName, snapshot: &str) -> Result<bool, OutOfReach> {
        let house = self.house(host).await?;
        let Ok(id) = snapshot.parse() else {
            return Ok(false);
        };
        match house.blobs.get(Name::new(Kind::Snapshot, id)).await {
            Ok(_) => Ok(true),
            Err(BlobsError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn snapshots(&self, host: &HostName) -> Result<BTreeSet<String>, OutOfReach> {
        // Opened first: a directory that is not mounted would look like a repository without snapshots.
        self.repository(host).await?;
        snapshots(&*self.house(host).await?.blobs).await
    }

    async fn forget(
        &self,
        host: &HostName,
        snapshots: &BTreeSet<String>,
    ) -> Result<(), OutOfReach> {
        forget(&self.repository(host).await?, snapshots).await
    }

    async fn prune(&self, host: &HostName) -> Result<Freed, OutOfReach> {
        let grace = Grace::at_least(GRACE.to_std().unwrap_or(Grace::DAY));
        prune(&self.repository(host).await?, grace).await
    }

    async fn read_through(
        &self,
        host: &HostName,
        snapshot: &str,
    ) -> Result<ReadThrough, OutOfReach> {
        let repository = match self.repository(host).await {
            Ok(repository) => Ok(repository),
            Err(RepositoriesError::Repository(error)) => Err(error),
            Err(error) => return Err(error.into()),
        };
        through::read(repository, snapshot).await
    }

    async fn read_whole(
        &self,
        host: &HostName,
        told: &Told,
        stop: &CancellationToken,
    ) -> Result<ReadWhole, OutOfReach> {
        let house = self.house(host).await?;
        let repository = match self.repository(host).await {
            Ok(repository) => Ok(repository),
            Err(RepositoriesError::Repository(error)) => Err(error),
            Err(error) => return Err(error.into()),
        };
        whole::read(repository, house.blobs, told, stop).await
    }
}

/// From the list alone: a snapshot that cannot be read is one all the same.
pub(super) async fn snapshots(blobs: &dyn Blobs) -> Result<BTreeSet<String>, OutOfReach> {
    let listed = blobs.list(Kind::Snapshot).await?;
    Ok(listed.iter().map(|object| object.id.to_string()).collect())
}

pub(super) async fn forget(
    repository: &Repository,
    snapshots: &BTreeSet<String>,
) -> Result<(), OutOfReach> {
    let ids: Result<Vec<SnapshotId>, _> = snapshots.iter().map(|name| name.parse()).collect();
    let ids = ids.map_err(|error| OutOfReach {
        why: Chain(&error).to_string(),
        again: false,
    })?;
    Ok(repository.forget(&ids).await?)
}

pub(super) async fn prune(repository: &Repository, grace: Grace) -> Result<Freed, OutOfReach> {
    // Nobody is to be waited for: who writes holds the lock that this job has alone.
    let pruned = repository.prune(&[], grace).await?;
    Ok(Freed {
        marked_packs: pruned.marked_packs,
        waiting_packs: pruned.waiting_packs,
        removed_packs: pruned.removed_packs,
        recovered_packs: pruned.recovered_packs,
        bytes_before: pruned.stored_bytes_before,
        bytes_after: pruned.stored_bytes_after,
    })
}

impl OutOfReach {
    fn told(error: &(dyn Error + 'static), again: bool) -> Self {
        Self {
            why: Chain(error).to_string(),
            again,
        }
    }

    /// For a step that cannot go on without the repository.
    #[must_use]
    pub fn failure(self, host: &HostName) -> TaskFailure {
        TaskFailure {
            kind: FailureKind::Unavailable,
            message: format!("the repository of {host} cannot be worked on: {}", self.why),
            advice: format!(
                "see whether its storage is up and has room, and whether it is sound: ctl repository check {host}"
            ),
            retryable: self.again,
        }
    }
}

impl From<RepositoriesError> for OutOfReach {
    fn from(error: RepositoriesError) -> Self {
        let again = match &error {
            RepositoriesError::Repository(error) => error.again(),
            RepositoriesError::Catalog(_) => true,
            RepositoriesError::None { .. }
            | RepositoriesError::Moved { .. }
            | RepositoriesError::Vault(_)
            | RepositoriesError::Storage(_) => false,
        };
        Self::told(&error, again)
    }
}

impl From<RepositoryError> for OutOfReach {
    fn from(error: RepositoryError) -> Self {
        Self::told(&error, error.again())
    }
}

impl From<BlobsError> for OutOfReach {
    fn from(error: BlobsError) -> Self {
        Self::told(&error, error.again())
    }
}
