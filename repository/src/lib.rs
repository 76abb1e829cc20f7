//! Where backups are kept: rustic_core wrapped, in restic's format, on any object storage.
//!
//! It knows no database. A backup is a set of named streams of bytes; see [`Plan`].
//!
//! # Writing
//! ```no_run
//! # use holdfast_repository::*;
//! # use bytes::Bytes;
//! # async fn backup(repository: Repository, about: About) -> Result<(), Box<dyn std::error::Error>> {
//! let mut writing = repository.write(Plan {
//!     about,
//!     // In the order in which they shall be made; their names sort as you like.
//!     entries: vec!["schema".parse()?, "orders.0000".parse()?],
//!     last: "manifest.json".parse()?,
//!     at_once: 4,
//! });
//! let mut makers = tokio::task::JoinSet::new();
//! while let Some(mut entry) = writing.next().await {
//!     // The repository is ready for this entry now. One task each: `send` waits while the
//!     // repository is slower. Open no source before its entry is handed out.
//!     makers.spawn(async move {
//!         entry.send(Bytes::from_static(b"COPY ...")).await?;
//!         // The explicit end, with the length as the source knows it. A writer that is dropped
//!         // without it, or `entry.fail("why")`, ends the whole backup.
//!         entry.whole(8).await
//!     });
//! }
//! let written = makers.join_all().await; // Written { bytes, xxh3 } for the manifest
//! # drop(written);
//! // Also after a failure: it tells the cause. Nothing counts unless this is Ok.
//! let stored = writing.finish("{ the manifest }").await?;
//! println!("{} grew by {} bytes", stored.snapshot, stored.added_bytes);
//! # Ok(()) }
//! ```
//! As many entries are handed out at once as there are cores, and `at_once` at most. A maker must
//! not wait for an entry that has not been handed out. The snapshot is written when everything else
//! is stored and has been compared with what was sent: a backup that fails, is cut or is dropped at
//! any point leaves none. Files are entries too: [`Writing::finish_in_folders`] says where they belong. Some MiB are in flight for each entry, and three packs of 16 MiB.
//!
//! # Reading
//! ```no_run
//! # use holdfast_repository::*;
//! # async fn restore(repository: Repository, id: SnapshotId) -> Result<(), Box<dyn std::error::Error>> {
//! let reading = repository.read(id).await?;
//! let manifest = reading.whole(&"manifest.json".parse()?).await?;
//! let mut orders = reading.stream(&"orders.0000".parse()?)?;
//! while let Some(bytes) = orders.next().await? {
//!     // 1 MiB at most; the repository waits while you are slower.
//! }
//! // Only `None` is the whole entry.
//! # drop(manifest);
//! # Ok(()) }
//! ```
//!
//! # What it lies on
//! Anything that implements [`Blobs`]: a directory or a bucket by [`storage`], or the controller's
//! gateway, on agents.

pub mod storage;

mod blobs;
mod bridge;
mod check;
mod error;
mod key;
mod read;
mod remove;
mod repository;
mod settings;
mod snapshot;
mod stats;
mod whole;
mod write;

pub use blobs::{Blobs, BlobsError, Kind, Listed, Name, NoSuchName, ObjectId};
pub use check::{Depth, Soundness};
pub use error::{EngineError, RepositoryError};
pub use key::RepositoryKey;
pub use read::{EntryStream, Folder, Reading};
pub use remove::{Grace, Pruned};
pub use repository::Repository;
pub use snapshot::{Snapshot, SnapshotId};
pub use stats::{Series, Stats};
pub use whole::{Held, Pace, ReadEntry, Told, Wanted, Whole};
pub use write::{
    About, Attributes, BadEntryName, EntryName, EntryWriter, Incomplete, Layout, Placed, Plan,
    Stored, What, Writing, Written,
};
