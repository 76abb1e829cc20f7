//! The repositories: one a host, made at its first use, their keys sealed in the catalog.

pub mod access;
pub mod direct;
pub mod vault;

use std::{path::Path, sync::Arc};

use holdfast_proto::names::HostName;
use holdfast_repository::{
    Blobs, Repository, RepositoryError, RepositoryKey,
    storage::{Bucket, Place, Storage, StorageError},
};

use tokio::sync::Mutex;

use self::{
    direct::{Direct, DirectError},
    vault::{Vault, VaultError},
};
use crate::catalog::{Catalog, CatalogError, RepositoryRow};

/// What opens repositories. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repositories {
    catalog: Catalog,
    vault: Vault,
    storage: Storage,
    /// None: hosts reach everything through the gateway.
    direct: Option<Direct>,
    /// One at a time makes repositories here: two would add their passwords twice.
    making: Arc<Mutex<()>>,
}

/// One host's repository as far as it is needed to reach its objects.
#[derive(Debug, Clone)]
pub struct House {
    pub host: HostName,
    pub key: RepositoryKey,
    pub blobs: Arc<dyn Blobs>,
}

#[derive(Debug, thiserror::Error)]
pub enum RepositoriesError {
    #[error("{host} has no repository: nothing of it was ever backed up")]
    None { host: HostName },
    #[error(
        "the repository of {host} is in {was}, and the settings say {now}: nothing is written to another place. \
         Move it there, or correct [repository] in the controller's settings"
    )]
    Moved {
        host: HostName,
        was: String,
        now: String,
    },
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(
        "the storage of the repositories cannot be used; correct [repository] in the controller's settings"
    )]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Repositories {
    /// Opens the master key, or makes it; a bucket is not asked anything yet.
    ///
    /// # Errors
    /// The master key cannot be used, or the settings make no sense.
    pub async fn open(
        state_dir: &Path,
        place: &Place,
        catalog: Catalog,
    ) -> Result<Self, RepositoriesError> {
        let known = catalog.repositories().await?.len();
        Ok(Self {
            vault: Vault::open(state_dir, known)?,
            storage: Storage::open(place)?,
            direct: None,
            making: Arc::default(),
            catalog,
        })
    }

    /// The same, and hosts are handed out credentials for what is theirs.
    #[must_use]
    pub fn handing_out(self, direct: Option<Direct>) -> Self {
        Self { direct, ..self }
    }

    /// What the host is handed out for its own repository now; none: it goes through the gateway. Reads
    /// files: for a thread that may block.
    ///
    /// # Errors
    /// As [`Direct::bucket`].
    pub fn handed_out(&self, host: &HostName) -> Result<Option<Bucket>, DirectError> {
        self.direct
            .as_ref()
            .map_or(Ok(None), |direct| direct.bucket(host))
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn list(&self) -> Result<Vec<RepositoryRow>, RepositoriesError> {
        Ok(self.catalog.repositories().await?)
    }

    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The host's repository, when there is one.
    ///
    /// # Errors
    /// `None`, `Moved`, or what keeps it from being opened.
    pub async fn repository(&self, host: &HostName) -> Result<Repository, RepositoriesError> {
        let house = self.house(host).await?;
        Ok(Repository::open(house.blobs, house.key).await?)
    }

    /// Its objects and its key, without opening it.
    ///
    /// # Errors
    /// `None`, `Moved`, or the key does not open.
    pub async fn house(&self, host: &HostName) -> Result<House, RepositoriesError> {
        let row = self.catalog.repository(host).await?;
        match row {
            Some(row) if row.ready_at.is_some() => self.reach(&row),
            _ => Err(RepositoriesError::None { host: host.clone() }),
        }
    }

    /// The host's repository, made now when there is none. Repeated after an interruption, it goes on.
    ///
    /// # Errors
    /// As [`Repositories::house`], and what keeps it from being made.
    pub async fn ensure(&self, host: &HostName) -> Result<House, RepositoriesError> {
        let _alone = self.making.lock().await;
        if let Some(row) = self.catalog.repository(host).await?
            && row.ready_at.is_some()
        {
            return self.reach(&row);
        }
        let location = self.storage.folder(host.as_str()).location();
        // The key is stored before anything is made with it: a repository never outlives its key.
        let sealed = self.vault.seal(host, &RepositoryKey::random())?;
        let row = self
            .catalog
            .add_repository(host, &location, &sealed)
            .await?;
        let house = self.reach(&row)?;
        let repository = Repository::create(house.blobs.clone(), house.key.clone()).await?;
        // Its own password is the first.
        if repository.passwords().await? < 2 {
            repository
                .add_password(self.vault.recovery_password())
                .await?;
        }
        self.catalog.repository_ready(host).await?;
        Ok(house)
    }

    fn reach(&self, row: &RepositoryRow) -> Result<House, RepositoriesError> {
        let host = row.host.clone();
        let blobs = self.storage.folder(host.as_str());
        let now = blobs.location();
        if now != row.location {
            let was = row.location.clone();
            return Err(RepositoriesError::Moved { host, was, now });
        }
        Ok(House {
            key: self.vault.unseal(&host, &row.sealed_key)?,
            blobs: Arc::new(blobs),
            host,
        })
    }
}

#[cfg(test)]
mod tests {
    use holdfast_chassis::clock::SystemClock;

    use super::*;
    use crate::catalog::testing::TestCatalog;

    async fn open(folder: &Path, catalog: &Catalog) -> Repositories {
        let place = Place::Directory(folder.join("repositories"));
        Repositories::open(folder, &place, catalog.clone())
            .await
            .unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_repository_a_host_made_once_and_kept() {
        let catalog = TestCatalog::with_clock(Arc::new(SystemClock)).await;
        let folder = tempfile::tempdir().unwrap();
        let repositories = open(folder.path(), &catalog).await;
        let host: HostName = "web-1".parse().unwrap();
        let none = repositories.repository(&host).await;
        assert!(matches!(none, Err(RepositoriesError::None { .. })));
        let (one, two) = tokio::join!(repositories.ensure(&host), repositories.ensure(&host));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.key.password(), two.key.password());
        assert!(folder.path().join("repositories/web-1/config").exists());
        // Another controller, or the same after a restart.
        let again = open(folder.path(), &catalog).await;
        let repository = again.repository(&host).await.unwrap();
        assert_eq!(repository.passwords().await.unwrap(), 2);
        assert_eq!(again.list().await.unwrap().len(), 1);
        // The settings point elsewhere: nothing is written there.
        let place = Place::Directory(folder.path().join("elsewhere"));
        let moved = Repositories::open(folder.path(), &place, catalog.clone())
            .await
            .unwrap();
        let moved = moved.ensure(&host).await;
        assert!(matches!(moved, Err(RepositoriesError::Moved { .. })));
    }
}
