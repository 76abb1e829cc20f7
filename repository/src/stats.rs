//! How much a repository holds, and how much of it each series of backups asks for.

use std::collections::BTreeMap;

use crate::{blobs::Kind, error::RepositoryError, repository::Repository};

/// Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Everything that lies in the storage.
    pub stored_bytes: u64,
    pub objects: u64,
    /// By label, such as `web-1/shop-db/shop`.
    pub series: BTreeMap<String, Series>,
}

/// The snapshots of one label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Series {
    pub snapshots: u64,
    /// All of them as if each were stored whole and uncompressed.
    pub logical_bytes: u64,
    /// What the storage grew by for them, at their time.
    pub added_bytes: u64,
}

impl Stats {
    #[must_use]
    pub fn logical_bytes(&self) -> u64 {
        self.series
            .values()
            .map(|series| series.logical_bytes)
            .sum()
    }
}

impl Repository {
    /// # Errors
    /// The storage failed, or a snapshot cannot be read.
    pub async fn stats(&self) -> Result<Stats, RepositoryError> {
        let mut stats = Stats::default();
        for kind in Kind::ALL {
            for object in self.list(kind).await? {
                stats.stored_bytes += object.size;
                stats.objects += 1;
            }
        }
        for snapshot in self.snapshots().await? {
            let series = stats.series.entry(snapshot.label).or_default();
            series.snapshots += 1;
            series.logical_bytes += snapshot.bytes;
            series.added_bytes += snapshot.added_bytes;
        }
        Ok(stats)
    }
}
