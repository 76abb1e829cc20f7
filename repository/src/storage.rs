//! Objects in a directory or a bucket, through object_store.

mod place;

use std::{error::Error as StdError, fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use holdfast_chassis::telemetry::Chain;
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, path::Path,
};

pub use self::place::{Bucket, Place, StorageError};
use crate::blobs::{Blobs, BlobsError, Kind, Listed, Name};

/// How a server is quoted that knows who asks, and does not let him. The second two: Azure, of one in a batch.
const REFUSALS: [&str; 4] = [
    "401 Unauthorized",
    "403 Forbidden",
    "(code: 401)",
    "(code: 403)",
];
/// A server that answers so does not change its mind either. A list finds nothing where there is no bucket.
const MISTAKES: [&str; 2] = ["400 Bad Request", "404 Not Found"];
/// What S3 says with status 400 of a token whose time is over, or that is none.
const TOKENS: [&str; 3] = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"];
/// In the place of a credential.
const HIDDEN: &str = "***";

/// A folder in an object storage. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    /// As an operator would type it: `/var/lib/…`, `s3://bucket/folder`.
    location: String,
    /// What no message may hold, though the server says it.
    credentials: Arc<[String]>,
}

impl Storage {
    /// Connects to nothing yet: a bucket that is not there is found by the first call.
    ///
    /// # Errors
    /// The directory cannot be made, or the settings make no sense.
    pub fn open(place: &Place) -> Result<Self, StorageError> {
        place.open()
    }

    /// A folder in it, for one repository.
    #[must_use]
    pub fn folder(&self, name: &str) -> Self {
        Self {
            store: self.store.clone(),
            folder: self.folder.clone().join(name),
            location: format!("{}/{name}", self.location),
            credentials: self.credentials.clone(),
        }
    }

    fn path(&self, name: Name) -> Path {
        let inside = name.path();
        inside
            .split('/')
            .fold(self.folder.clone(), |path, part| path.join(part))
    }

    async fn list_folder(&self, kind: Kind) -> Result<Vec<Listed>, Error> {
        let folder = self.folder.clone().join(kind.folder());
        self.store
            .list(Some(&folder))
            .try_filter_map(|object| async move {
                let name = object.location.filename().unwrap_or_default();
                // Whatever else lies there is none of ours: locks of restic, say.
                Ok(name.parse().ok().map(|id| Listed {
                    id,
                    size: object.size,
                }))
            })
            .try_collect()
            .await
    }

    async fn list_config(&self) -> Result<Vec<Listed>, Error> {
        match self.store.head(&self.path(Name::CONFIG)).await {
            Ok(object) => Ok(vec![Listed {
                id: Name::CONFIG.id,
                size: object.size,
            }]),
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// For a server without conditional writes. Two writers of one name at once may both succeed;
    /// as names are hashes of the content they write the same, all but for the config.
    async fn put_looking_first(&self, path: &Path, payload: PutPayload) -> Result<(), Error> {
        match self.store.head(path).await {
            Ok(_) => Err(Error::AlreadyExists {
                path: path.to_string(),
                source: "it is listed".into(),
            }),
            Err(Error::NotFound { .. }) => self.store.put(path, payload).await.map(drop),
            Err(error) => Err(error),
        }
    }

    /// What is there already, under the same name: the same?
    async fn settle(&self, name: Name, content: &[Bytes]) -> Result<(), BlobsError> {
        let there = self.get(name).await?;
        let mut rest = there.as_ref();
        let same = content.iter().all(|piece| {
            let prefix = rest.strip_prefix(piece.as_ref());
            rest = prefix.unwrap_or_default();
            prefix.is_some()
        });
        if same && rest.is_empty() {
            return Ok(());
        }
        Err(BlobsError::Exists {
            name,
            location: self.location.clone(),
        })
    }

    fn failed(&self, doing: &'static str, name: Name, error: Error) -> BlobsError {
        let location = self.location.clone();
        match error {
            Error::NotFound { .. } => BlobsError::NotFound { name, location },
            error if is_full(&error) => BlobsError::Full {
                name,
                location,
                source: self.told(error),
            },
            error => self.failed_at(format!("{doing} {name}"), error),
        }
    }

    fn failed_at(&self, doing: String, error: Error) -> BlobsError {
        let location = self.location.clone();
        if is_refused(&error) {
            return BlobsError::Credentials {
                doing,
                location,
                source: self.told(error),
            };
        }
        BlobsError::Failed {
            doing,
            location,
            again: again(&error),
            source: self.told(error),
        }
    }

    /// The cause as it may be shown: servers quote what they did not accept.
    fn told(&self, error: Error) -> Box<dyn StdError + Send + Sync> {
        let shown = format!("{} {error:?}", Chain(&error));
        let quoted = |credential: &String| shown.contains(credential.as_str());
        if !self.credentials.iter().any(quoted) {
            return Box::new(error);
        }
        let hidden = self
            .credentials
            .iter()
            .fold(Chain(&error).to_string(), |text, credential| {
                text.replace(credential.as_str(), HIDDEN)
            });
        hidden.into()
    }
}

// object_store's own would show what it was configured with.
impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Storage").field(&self.location).finish()
    }
}

#[async_trait]
impl Blobs for Storage {
    fn location(&self) -> String {
        self.location.clone()
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Listed>, BlobsError> {
        let listed = match kind {
            Kind::Config => self.list_config().await,
            Kind::Key | Kind::Snapshot | Kind::Index | Kind::Pack => self.list_folder(kind).await,
        };
        listed.map_err(|error| self.failed_at(format!("list {kind}"), error))
    }

    async fn get(&self, name: Name) -> Result<Bytes, BlobsError> {
        let found = async { self.store.get(&self.path(name)).await?.bytes().await };
        found
            .await
            .map_err(|error| self.failed("read", name, error))
    }

    async fn get_range(&self, name: Name, range: Range<u64>) -> Result<Bytes, BlobsError> {
        let length = range.end - range.start;
        let options = GetOptions {
            range: Some(range.into()),
            ..GetOptions::default()
        };
        let found = async {
            let found = self.store.get_opts(&self.path(name), options).await?;
            found.bytes().await
        };
        let bytes = found
            .await
            .map_err(|error| self.failed("read", name, error))?;
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        Err(BlobsError::Failed {
            doing: format!("read {name}"),
            location: self.location.clone(),
            again: false,
            source: format!("{} of {length} bytes are there", bytes.len()).into(),
        })
    }

    async fn put_new(&self, name: Name, content: Vec<Bytes>) -> Result<(), BlobsError> {
        let path = self.path(name);
        let payload = || content.iter().cloned().collect::<PutPayload>();
        let put = match self
            .store
            .put_opts(&path, payload(), PutMode::Create.into())
            .await
        {
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                self.put_looking_first(&path, payload()).await
            }
            put => put.map(drop),
        };
        match put {
            Ok(()) => Ok(()),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                self.settle(name, &content).await
            }
            // Not the object: what it would lie in.
            Err(error @ Error::NotFound { .. }) => Err(BlobsError::Failed {
                doing: format!("write {name}"),
                location: self.location.clone(),
                again: false,
                source: self.told(error),
            }),
            Err(error) => Err(self.failed("write", name, error)),
        }
    }

    async fn remove(&self, name: Name) -> Result<(), BlobsError> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }
}

/// A server that is away may come back; wrong settings do not mend themselves.
fn again(error: &Error) -> bool {
    match error {
        Error::Generic { source, .. } => retriable(source.as_ref()),
        Error::JoinError { .. } => true,
        _ => false,
    }
}

fn is_refused(error: &Error) -> bool {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => true,
        Error::Generic { source, .. } => {
            let told = |answers: &[&str]| tells(source.as_ref(), answers);
            io_error(source.as_ref()).is_none() && (told(&REFUSALS) || told(&TOKENS))
        }
        _ => false,
    }
}

/// Somebody has to make room: trying again for hours would only hide it.
fn is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let Error::Generic { source, .. } = error else {
        return false;
    };
    let kind = io_error(source.as_ref()).map(std::io::Error::kind);
    kind.is_some_and(|kind| matches!(kind, StorageFull | QuotaExceeded | FileTooLarge))
}

fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a std::io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

fn retriable(error: &(dyn StdError + 'static)) -> bool {
    if let Some(io) = io_error(error) {
        use std::io::ErrorKind::{
            InvalidInput, NotADirectory, PermissionDenied, ReadOnlyFilesystem,
        };
        return !matches!(
            io.kind(),
            PermissionDenied | ReadOnlyFilesystem | NotADirectory | InvalidInput
        );
    }
    !tells(error, &REFUSALS) && !tells(error, &MISTAKES)
}

/// The client's own type has no name; its words do. It has tried again what may help.
fn tells(error: &(dyn StdError + 'static), answers: &[&str]) -> bool {
    let told = error.to_string();
    answers.iter().any(|answer| told.contains(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(token: &str) -> Storage {
        let options = [("aws_session_token", token), ("region", "eu-central-1")];
        let bucket = Bucket {
            url: "s3://backups".to_owned(),
            options: options
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            authority: None,
        };
        Storage::open(&Place::Bucket(bucket)).unwrap()
    }

    fn says(body: &str) -> Error {
        Error::Generic {
            store: "S3",
            source: format!("Server returned non-2xx status code: 400 Bad Request: {body}").into(),
        }
    }

    #[test]
    fn a_token_that_is_over_is_told_as_one_and_not_quoted() {
        let storage = storage("FwoGZXIvYXdz+/=");
        let body = "<Code>ExpiredToken</Code><Token-0>FwoGZXIvYXdz+/=</Token-0><Region>eu-central-1</Region>";
        for told in [
            storage.failed("write", Name::CONFIG, says(body)),
            storage.failed_at("list index".to_owned(), says(body)),
        ] {
            let shown = format!("{told:?} {}", Chain(&told));
            assert!(!shown.contains("FwoGZ"), "{shown}");
            assert!(shown.contains("<Token-0>***</Token-0>"), "{shown}");
            assert!(shown.contains("eu-central-1"), "{shown}");
            assert!(matches!(told, BlobsError::Credentials { .. }), "{shown}");
            assert!(!told.again());
        }
    }

    #[test]
    fn other_mistakes_are_not_those_of_credentials() {
        let told = storage("FwoGZXIvYXdz+/=").failed("write", Name::CONFIG, says("EntityTooLarge"));
        assert!(
            matches!(told, BlobsError::Failed { again: false, .. }),
            "{told:?}"
        );
    }
}
