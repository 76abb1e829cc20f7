//! What steps need to know of repositories, without an agent.

use std::{error::Error, fmt::Debug};

use async_trait::async_trait;
use holdfast_chassis::telemetry::Chain;
use holdfast_proto::names::HostName;
use holdfast_repository::{BlobsError, Kind, Name};

use crate::repository::Repositories;

/// The repositories as jobs see them.
#[async_trait]
pub trait Shelf: Debug + Send + Sync {
    /// Whether the host's repository can be reached now, and holds the snapshot.
    ///
    /// # Errors
    /// [`OutOfReach`]: nobody knows what it holds.
    async fn holds(&self, host: &HostName, snapshot: &str) -> Result<bool, OutOfReach>;
}

/// Why a repository could not be asked, with its causes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutOfReach(pub String);

#[async_trait]
impl Shelf for Repositories {
    async fn holds(&self, host: &HostName, snapshot: &str) -> Result<bool, OutOfReach> {
        let house = self.house(host).await.map_err(|error| told(&error))?;
        let Ok(id) = snapshot.parse() else {
            return Ok(false);
        };
        match house.blobs.get(Name::new(Kind::Snapshot, id)).await {
            Ok(_) => Ok(true),
            Err(BlobsError::NotFound { .. }) => Ok(false),
            Err(error) => Err(told(&error)),
        }
    }
}

fn told(error: &(dyn Error + 'static)) -> OutOfReach {
    OutOfReach(Chain(error).to_string())
}
