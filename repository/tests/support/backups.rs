//! Small backups with known content, and what they read back as.
#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use chrono::DateTime;
use holdfast_repository::{
    About, Blobs, Plan, Repository, RepositoryError, RepositoryKey, SnapshotId, Stored,
    storage::{Place, Storage},
};
use tempfile::TempDir;

/// Entries by name, the manifest among them.
pub type Content = BTreeMap<String, Vec<u8>>;

pub const MANIFEST: &str = "zz-manifest.json";

/// A repository in a directory that goes away.
pub struct House {
    pub folder: TempDir,
    pub storage: Arc<dyn Blobs>,
    pub key: RepositoryKey,
}

impl House {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Directory(folder.path().join("repository"));
        Self {
            storage: Arc::new(Storage::open(&place).unwrap()),
            folder,
            key: RepositoryKey::random(),
        }
    }

    pub async fn repository(&self) -> Repository {
        Repository::create(self.storage.clone(), self.key.clone())
            .await
            .unwrap()
    }
}

/// Bytes that do not compress to nothing, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Parts of different lengths, among them an empty one and one that ends where a piece ends.
pub fn content(seed: u64) -> Content {
    let mut content = Content::new();
    content.insert("orders.0000".to_owned(), noise(seed, 3 << 20));
    content.insert("orders.0001".to_owned(), noise(seed + 1, (2 << 20) + 17));
    content.insert("empty".to_owned(), Vec::new());
    content.insert("schema".to_owned(), noise(seed + 2, 5000));
    content.insert(
        MANIFEST.to_owned(),
        format!("{{\"seed\":{seed}}}").into_bytes(),
    );
    content
}

pub fn about(label: &str) -> About {
    About {
        host: "web-1".to_owned(),
        label: label.to_owned(),
        tags: vec!["holdfast".to_owned(), "job-42".to_owned()],
        time: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
    }
}

pub fn plan(content: &Content) -> Plan {
    let names = content.keys().filter(|name| *name != MANIFEST);
    Plan {
        about: about("web-1/shop-db/shop"),
        // Not in the order of their names: the repository sorts them.
        entries: names.rev().map(|name| name.parse().unwrap()).collect(),
        last: MANIFEST.parse().unwrap(),
        at_once: 3,
    }
}

/// Writes all of it, one task for each entry.
pub async fn write(repository: &Repository, content: &Content) -> Result<Stored, RepositoryError> {
    let mut writing = repository.write(plan(content));
    let mut makers = tokio::task::JoinSet::new();
    while let Some(mut entry) = writing.next().await {
        let bytes = Bytes::from(content[entry.name().as_str()].clone());
        makers.spawn(async move {
            let length = bytes.len() as u64;
            entry.send(bytes).await?;
            entry.whole(length).await
        });
    }
    let made = makers.join_all().await;
    let stored = writing.finish(content[MANIFEST].clone()).await?;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    Ok(stored)
}

/// Everything in a snapshot, as it reads back.
pub async fn read(repository: &Repository, id: SnapshotId) -> Result<Content, RepositoryError> {
    let reading = repository.read(id).await?;
    let mut content = Content::new();
    for (entry, length) in reading.entries() {
        let whole = reading.whole(&entry).await?;
        assert_eq!(whole.len() as u64, length, "{entry}");
        content.insert(entry.to_string(), whole.to_vec());
    }
    Ok(content)
}
