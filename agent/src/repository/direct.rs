//! A bucket as a place that keeps objects, with credentials that the controller handed out.
//!
//! What the bucket's policy forbids is not tried: nothing is removed, and what only the controller makes
//! is not written. Credentials that are over in the middle of a long job are asked for anew.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_chassis::telemetry::Chain;
use holdfast_repository::{
    Blobs, BlobsError, Kind, Listed, Name,
    storage::{Bucket, Place, Storage, StorageError},
};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::{Whose, convert, gateway::Line, never};

#[derive(Debug)]
pub(super) struct Direct {
    line: Line,
    whose: Whose,
    location: String,
    handed: Mutex<Handed>,
}

/// What was handed out last, and what is reached by it.
#[derive(Debug, Clone)]
struct Handed {
    bucket: Bucket,
    storage: Storage,
}

impl Direct {
    pub(super) fn open(line: Line, whose: Whose, bucket: Bucket) -> Result<Self, StorageError> {
        let handed = Handed::open(bucket)?;
        let location = handed.storage.location();
        info!(%location, "the repository is reached straight in its bucket, with credentials of the controller");
        Ok(Self {
            line,
            whose,
            location,
            handed: Mutex::new(handed),
        })
    }

    /// Does it; once more if the credentials are not accepted and the controller has others by now.
    async fn with<T, Running>(&self, op: impl Fn(Storage) -> Running) -> Result<T, BlobsError>
    where
        Running: Future<Output = Result<T, BlobsError>>,
    {
        let Handed { bucket, storage } = self.handed.lock().await.clone();
        match op(storage).await {
            Err(BlobsError::Credentials {
                doing,
                location,
                source,
            }) => match self.renewed(&bucket).await {
                Some(storage) => op(storage).await,
                None => Err(BlobsError::Credentials {
                    doing,
                    location,
                    source,
                }),
            },
            done => done,
        }
    }

    /// The storage by other credentials than those; none if the controller has no others.
    async fn renewed(&self, refused: &Bucket) -> Option<Storage> {
        // Several writes fail together: the first one asks, and the others find what came of it.
        let mut handed = self.handed.lock().await;
        if handed.bucket == *refused {
            let fresh = match self.line.open_repository(&self.whose).await {
                Ok(answer) => convert::bucket(answer.direct?),
                Err(error) => {
                    let error = Chain(&error);
                    warn!(%error, "credentials were not accepted, and the controller gave no others");
                    return None;
                }
            };
            // Another place is another repository: not in the middle of a job.
            if fresh == *refused || fresh.url != refused.url {
                return None;
            }
            *handed = Handed::open(fresh)
                .inspect_err(|error| warn!(error = %Chain(error), "new credentials cannot be used"))
                .ok()?;
            info!(location = %self.location, "credentials were not accepted; it goes on with new ones");
        }
        Some(handed.storage.clone())
    }
}

impl Handed {
    fn open(bucket: Bucket) -> Result<Self, StorageError> {
        let storage = Storage::open(&Place::Bucket(bucket.clone()))?;
        Ok(Self { bucket, storage })
    }
}

#[async_trait]
impl Blobs for Direct {
    fn location(&self) -> String {
        self.location.clone()
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Listed>, BlobsError> {
        self.with(|storage| async move { storage.list(kind).await })
            .await
    }

    async fn get(&self, name: Name) -> Result<Bytes, BlobsError> {
        self.with(|storage| async move { storage.get(name).await })
            .await
    }

    async fn get_range(&self, name: Name, range: Range<u64>) -> Result<Bytes, BlobsError> {
        self.with(|storage| {
            let range = range.clone();
            async move { storage.get_range(name, range).await }
        })
        .await
    }

    async fn put_new(&self, name: Name, content: Vec<Bytes>) -> Result<(), BlobsError> {
        let controllers = matches!(name.kind, Kind::Config | Kind::Key);
        if controllers || self.whose.job != 0 {
            return Err(never("written", name, &self.location));
        }
        self.with(|storage| {
            let content = content.clone();
            async move { storage.put_new(name, content).await }
        })
        .await
    }

    async fn remove(&self, name: Name) -> Result<(), BlobsError> {
        Err(never("removed", name, &self.location))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};
    use holdfast_chassis::{
        identity::{Authority, Credentials, Identity, NewKey, Validity},
        tls::{Roots, RotatingIdentity},
    };
    use holdfast_repository::ObjectId;

    use super::*;
    use crate::repository::Repositories;

    /// Nothing answers at its endpoint.
    fn direct(job: u64) -> Direct {
        let (authority, _) = Authority::make(Utc::now()).unwrap();
        let key = NewKey::make().unwrap();
        let issued = authority.issue(
            &key.request().unwrap(),
            &Identity::Host("web-1".to_owned()),
            Validity::starting(Utc::now(), TimeDelta::days(1)),
        );
        let credentials = Credentials::from_answer(&key, &issued.unwrap().1).unwrap();
        let line = Line::new(Repositories {
            identity: RotatingIdentity::new(credentials),
            roots: Roots::from_pem(authority.certificate_pem()).unwrap(),
            controllers: [].into(),
        });
        let options = [
            ("endpoint", "https://127.0.0.1:1"),
            ("access_key_id", "AK"),
            ("secret_access_key", "hunter2"),
        ];
        let bucket = Bucket {
            url: "s3://backups/web-1".to_owned(),
            options: options
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            authority: None,
        };
        let host = "web-1".to_owned();
        Direct::open(line, Whose { host, job }, bucket).unwrap()
    }

    #[tokio::test]
    async fn what_the_policy_forbids_is_refused_before_the_bucket_is_asked() {
        let own = direct(0);
        let shown = format!("{own:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let id = ObjectId::new([7; 32]);
        for refused in [
            own.put_new(Name::CONFIG, Vec::new()).await,
            own.put_new(Name::new(Kind::Key, id), Vec::new()).await,
            own.remove(Name::new(Kind::Snapshot, id)).await,
            own.remove(Name::new(Kind::Pack, id)).await,
            direct(7)
                .put_new(Name::new(Kind::Pack, id), Vec::new())
                .await,
        ] {
            assert!(
                matches!(refused, Err(BlobsError::Refused { .. })),
                "{refused:?}"
            );
        }
    }
}
