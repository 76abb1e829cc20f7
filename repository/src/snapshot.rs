//! Snapshots: what there is, and how it is told.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use rustic_core::repofile::SnapshotFile;
use serde::{Deserialize, Serialize};

use crate::{
    blobs::{NoSuchName, ObjectId},
    error::RepositoryError,
    repository::Repository,
};

/// Names one backup in its repository, as restic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SnapshotId(ObjectId);

/// One snapshot, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub id: SnapshotId,
    /// The moment that the backup shows.
    pub time: DateTime<Utc>,
    pub host: String,
    pub label: String,
    pub tags: Vec<String>,
    /// All entries together, uncompressed.
    pub bytes: u64,
    /// What the storage grew by when it was written.
    pub added_bytes: u64,
}

impl Repository {
    /// Every snapshot, the oldest first.
    ///
    /// # Errors
    /// The storage failed, or a snapshot cannot be read.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>, RepositoryError> {
        self.work("list snapshots", |_, opened| {
            let mut found = opened
                .get_all_snapshots()?
                .iter()
                .map(Snapshot::told)
                .collect::<Result<Vec<_>, _>>()?;
            found.sort_by_key(|snapshot| (snapshot.time, snapshot.id));
            Ok(found)
        })
        .await
    }
}

impl Snapshot {
    fn told(file: &SnapshotFile) -> Result<Self, Box<rustic_core::RusticError>> {
        let summary = file.summary.as_ref();
        Ok(Self {
            id: SnapshotId(crate::bridge::object_id(&file.id)?),
            time: DateTime::from_timestamp_micros(file.time.timestamp().as_microsecond())
                .unwrap_or_default(),
            host: file.hostname.clone(),
            label: file.label.clone(),
            tags: file.tags.iter().cloned().collect(),
            bytes: summary.map_or(0, |summary| summary.total_bytes_processed),
            added_bytes: summary.map_or(0, |summary| summary.data_added_packed),
        })
    }
}

impl SnapshotId {
    pub(crate) fn object(self) -> ObjectId {
        self.0
    }

    /// The eight digits that restic shows.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl From<ObjectId> for SnapshotId {
    fn from(id: ObjectId) -> Self {
        Self(id)
    }
}

impl From<SnapshotId> for String {
    fn from(id: SnapshotId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SnapshotId {
    type Error = NoSuchName;

    fn try_from(text: String) -> Result<Self, NoSuchName> {
        text.parse()
    }
}

impl FromStr for SnapshotId {
    type Err = NoSuchName;

    fn from_str(text: &str) -> Result<Self, NoSuchName> {
        text.parse().map(Self)
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
