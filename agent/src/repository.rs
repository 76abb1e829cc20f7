//! Repositories as this host reaches them: through the controller's gateway, over the agent's own
//! certificate, or straight in the bucket where the controller hands out credentials for that. Nothing
//! keeps those, and nothing can be removed or overwritten.

mod convert;
mod direct;
mod gateway;

use std::{fmt, sync::Arc};

use holdfast_chassis::{
    retry::RetryError,
    tls::{Roots, RotatingIdentity},
};
use holdfast_proto::wire::RepositoryRef;
use holdfast_repository::{
    Blobs, BlobsError, Repository, RepositoryError, RepositoryKey, storage::StorageError,
};

use self::{
    direct::Direct,
    gateway::{CallFailed, Gateway, Line},
};
use crate::peer::Peers;

/// Opens repositories. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repositories {
    pub identity: RotatingIdentity,
    pub roots: Roots,
    /// `host:port` of the controllers, tried in turn.
    pub controllers: Arc<[String]>,
}

/// Whose repository, and for which job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    pub host: String,
    /// That lets this host read another's; 0 for its own.
    pub job: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the controller did not open the repository of {host}")]
    Gateway {
        host: String,
        #[source]
        source: RetryError<CallFailed>,
    },
    #[error("the controller gave a key of {host}'s repository that is none")]
    Key { host: String },
    #[error("the controller gave credentials that do not open the storage of {host}'s repository")]
    Direct {
        host: String,
        #[source]
        source: StorageError,
    },
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl Repositories {
    /// The same controllers that streams go through.
    #[must_use]
    pub fn beside(peers: &Peers) -> Self {
        Self {
            identity: peers.identity.clone(),
            roots: peers.roots.clone(),
            controllers: peers.controllers.clone(),
        }
    }

    /// Opens a repository; this host's own is made when there is none. A controller that is away is waited
    /// for, some minutes.
    ///
    /// # Errors
    /// The controller refuses or does not answer, or the repository cannot be opened.
    pub async fn open(&self, whose: &Whose) -> Result<Repository, OpenError> {
        let line = Line::new(self.clone());
        let host = || whose.host.clone();
        let answer = line
            .open_repository(whose)
            .await
            .map_err(|source| OpenError::Gateway {
                host: host(),
                source,
            })?;
        let key: RepositoryKey =
            serde_json::from_slice(&answer.key).map_err(|_| OpenError::Key { host: host() })?;
        let blobs: Arc<dyn Blobs> = match answer.direct {
            None => Arc::new(Gateway::new(line, whose.clone(), answer.location)),
            Some(access) => {
                let direct = Direct::open(line, whose.clone(), convert::bucket(access));
                Arc::new(direct.map_err(|source| OpenError::Direct {
                    host: host(),
                    source,
                })?)
            }
        };
        Ok(Repository::open(blobs, key).await?)
    }
}

impl OpenError {
    /// Trying again may help.
    #[must_use]
    pub fn again(&self) -> bool {
        match self {
            Self::Gateway { source, .. } => matches!(source, RetryError::GaveUp { .. }),
            Self::Key { .. } | Self::Direct { .. } => false,
            Self::Repository(error) => error.again(),
        }
    }
}

impl From<&Whose> for RepositoryRef {
    fn from(whose: &Whose) -> Self {
        let Whose { host, job } = whose.clone();
        Self { host, job }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

/// What this host can never do is no question to the controller.
fn never(what: &'static str, name: holdfast_repository::Name, location: &str) -> BlobsError {
    BlobsError::Refused {
        what,
        name,
        location: location.to_owned(),
        source: None,
    }
}
