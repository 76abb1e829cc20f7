//! A repository that is there: made, opened, and the thread that its engine works on.

use std::sync::Arc;

use rustic_core::{
    Credentials, KeyOptions, OpenStatus, RepositoryBackends, RepositoryOptions, RusticError,
};

use crate::{
    blobs::{Blobs, Kind},
    bridge::Bridge,
    error::{EngineError, RepositoryError},
    key::RepositoryKey,
    settings,
};

/// The engine's repository, opened.
pub(crate) type Opened = rustic_core::Repository<OpenStatus>;

/// One host's repository. Cheap to clone; holds no connection and no index: every operation reads the
/// index anew, so it never decides on a stale one.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) key: RepositoryKey,
}

/// Why work on the engine's thread ended.
#[derive(Debug)]
pub(crate) enum Failed {
    Engine(Box<RusticError>),
    Told(RepositoryError),
}

impl Repository {
    /// Makes the repository, or finishes what an earlier call began; one that is there is opened.
    ///
    /// Store the key first: a repository whose key is lost is lost. Two calls at once with the same
    /// key do no harm.
    ///
    /// # Errors
    /// The storage failed, or a repository with another key is there.
    pub async fn create(
        blobs: Arc<dyn Blobs>,
        key: RepositoryKey,
    ) -> Result<Self, RepositoryError> {
        let repository = Self { blobs, key };
        if repository.list(Kind::Config).await?.is_empty() {
            let location = repository.location();
            let key = repository.key.clone();
            let made = repository
                .blocking("create a repository", move |bridge| {
                    let options = settings::options()?;
                    let master = Credentials::Masterkey(key.master().clone());
                    engine(bridge)?.init(&master, &KeyOptions::default(), &options)?;
                    Ok(())
                })
                .await;
            match made {
                Ok(()) => tracing::info!(%location, "repository created"),
                // Somebody else was quicker; whether with our key is seen at once.
                Err(_) if !repository.list(Kind::Config).await?.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let repository = Self::open(repository.blobs, repository.key).await?;
        // The key file comes last: without it restic cannot open what Holdfast can.
        if repository.passwords().await? == 0 {
            let password = repository.key.password().to_owned();
            repository.add_password(&password).await?;
        }
        Ok(repository)
    }

    /// How many passwords open it with restic.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn passwords(&self) -> Result<usize, RepositoryError> {
        Ok(self.list(Kind::Key).await?.len())
    }

    /// Adds a password that opens it with restic, beside those that do.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn add_password(&self, password: &str) -> Result<(), RepositoryError> {
        let password = password.to_owned();
        self.work("add a password", move |_, opened| {
            let mut options = KeyOptions::default();
            options.with_created = true;
            opened.add_key(&password, &options)?;
            Ok(())
        })
        .await
    }

    /// # Errors
    /// `Absent`, `WrongKey`, or the storage failed.
    pub async fn open(blobs: Arc<dyn Blobs>, key: RepositoryKey) -> Result<Self, RepositoryError> {
        let repository = Self { blobs, key };
        repository.work("open", |_, _| Ok(())).await?;
        Ok(repository)
    }

    /// Where it is.
    #[must_use]
    pub fn location(&self) -> String {
        self.blobs.location()
    }

    pub(crate) async fn list(
        &self,
        kind: Kind,
    ) -> Result<Vec<crate::blobs::Listed>, RepositoryError> {
        self.blobs
            .list(kind)
            .await
            .map_err(|source| RepositoryError::Storage {
                doing: format!("list {kind}"),
                location: self.location(),
                source: Arc::new(source),
            })
    }

    /// Does work on the opened repository, on a thread that may block. It goes on when the caller
    /// is dropped, to its own end.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&Arc<Bridge>, Opened) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let this = self.clone();
        let found = self.list(Kind::Config).await?;
        if found.is_empty() {
            let location = self.location();
            return Err(RepositoryError::Absent { location });
        }
        self.blocking(doing, move |bridge| {
            let opened = this.opened(bridge)?;
            work(bridge, opened)
        })
        .await
    }

    fn opened(&self, bridge: &Arc<Bridge>) -> Result<Opened, Failed> {
        let master = Credentials::Masterkey(self.key.master().clone());
        engine(bridge)?.open(&master).map_err(|error| {
            if bridge.failure().is_some() {
                return Failed::Engine(error);
            }
            Failed::Told(RepositoryError::WrongKey {
                location: self.location(),
                source: EngineError(error),
            })
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&Arc<Bridge>) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let bridge = Arc::new(Bridge::new(self.blobs.clone()));
        let (doing, location) = (doing.to_owned(), self.location());
        let span = tracing::Span::current();
        let thread = tokio::task::spawn_blocking(move || {
            let _entered = span.entered();
            work(&bridge).map_err(|failed| failed.explain(&doing, &bridge))
        });
        match thread.await {
            Ok(done) => done,
            // The runtime stops, or the engine panicked, which the log has already.
            Err(_) => Err(RepositoryError::Stopped { location }),
        }
    }
}

impl Failed {
    /// What the storage said is the cause of what the engine says.
    pub(crate) fn explain(self, doing: &str, bridge: &Bridge) -> RepositoryError {
        let (doing, location) = (doing.to_owned(), bridge.location());
        match (self, bridge.failure()) {
            (Self::Told(error), _) => error,
            (Self::Engine(_), Some(source)) => RepositoryError::Storage {
                doing,
                location,
                source,
            },
            (Self::Engine(error), None) => RepositoryError::Engine {
                doing,
                location,
                source: EngineError(error),
            },
        }
    }
}

impl From<Box<RusticError>> for Failed {
    fn from(error: Box<RusticError>) -> Self {
        Self::Engine(error)
    }
}

impl From<RepositoryError> for Failed {
    fn from(error: RepositoryError) -> Self {
        Self::Told(error)
    }
}

fn engine(bridge: &Arc<Bridge>) -> Result<rustic_core::Repository<()>, Failed> {
    let mut options = RepositoryOptions::default();
    // A cache on disk would hold keys to what it names, and grow without a limit.
    options.no_cache = true;
    let backends = RepositoryBackends::new(bridge.clone(), None);
    Ok(rustic_core::Repository::new(&options, &backends)?)
}
