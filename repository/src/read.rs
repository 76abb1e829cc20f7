//! Reading a backup back: its entries, and each as a stream of bytes.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::Stream;
use rustic_core::{
    IndexedFullStatus,
    repofile::{Node, SnapshotFile},
};
use tokio::sync::mpsc;

use crate::{
    bridge::{Bridge, engine_id},
    error::RepositoryError,
    repository::{Failed, Repository},
    snapshot::SnapshotId,
    write::EntryName,
};

/// Pieces of 1 MiB at most that wait for the reader of a stream.
const IN_FLIGHT: usize = 2;

/// One snapshot, opened. Cheap to clone; holds the index of its repository in memory.
#[derive(Debug, Clone)]
pub struct Reading {
    inner: Arc<Inner>,
}

struct Inner {
    id: SnapshotId,
    nodes: BTreeMap<EntryName, Node>,
    opened: rustic_core::Repository<IndexedFullStatus>,
    bridge: Arc<Bridge>,
}

/// The bytes of one entry, in order. An error ends it; without one, the entry came whole, with as many
/// bytes as were stored. What was stored is authenticated piece by piece.
#[derive(Debug)]
pub struct EntryStream(mpsc::Receiver<Result<Bytes, RepositoryError>>);

/// The engine writes, the stream is read.
struct Outlet {
    pieces: mpsc::Sender<Result<Bytes, RepositoryError>>,
    bytes: u64,
}

impl Repository {
    /// Opens a snapshot for reading.
    ///
    /// # Errors
    /// `NoSnapshot`, or the storage failed, or the repository is damaged.
    pub async fn read(&self, id: SnapshotId) -> Result<Reading, RepositoryError> {
        let location = self.location();
        let known = self.list(crate::blobs::Kind::Snapshot).await?;
        if !known.iter().any(|listed| listed.id == id.object()) {
            let id = id.to_string();
            return Err(RepositoryError::NoSnapshot { id, location });
        }
        self.work("read a snapshot", move |bridge, opened| {
            let opened = opened.to_indexed()?;
            let file: SnapshotFile = opened.get_file(&engine_id(id.object())?.into())?;
            let mut nodes = BTreeMap::new();
            for node in opened.get_tree(&file.tree)?.nodes {
                // Whatever else restic may have put there is no stream of ours.
                if let Ok(name) = node.name().to_string_lossy().parse::<EntryName>()
                    && node.is_file()
                {
                    nodes.insert(name, node);
                }
            }
            let inner = Inner {
                id,
                nodes,
                opened,
                bridge: bridge.clone(),
            };
            Ok(Reading {
                inner: Arc::new(inner),
            })
        })
        .await
    }
}

impl Reading {
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        self.inner.id
    }

    /// Entries with their lengths in bytes.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<EntryName, u64> {
        let size = |(name, node): (&EntryName, &Node)| (name.clone(), node.meta.size);
        self.inner.nodes.iter().map(size).collect()
    }

    /// One entry as a stream. Several at once are several threads; each holds a few MiB.
    ///
    /// # Errors
    /// `NoEntry`.
    pub fn stream(&self, entry: &EntryName) -> Result<EntryStream, RepositoryError> {
        let inner = self.inner.clone();
        let Some(node) = inner.nodes.get(entry).cloned() else {
            return Err(RepositoryError::NoEntry {
                snapshot: inner.id.short(),
                entry: entry.to_string(),
                location: inner.bridge.location(),
            });
        };
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        tokio::task::spawn_blocking(move || inner.pour(&node, sender));
        Ok(EntryStream(receiver))
    }

    /// A small entry whole, such as a manifest.
    ///
    /// # Errors
    /// `NoEntry`, or reading failed.
    pub async fn whole(&self, entry: &EntryName) -> Result<Bytes, RepositoryError> {
        let mut stream = self.stream(entry)?;
        let mut whole = Vec::new();
        while let Some(piece) = stream.0.recv().await {
            whole.extend_from_slice(&piece?);
        }
        Ok(whole.into())
    }
}

impl EntryStream {
    /// The next bytes; `None` after the last ones.
    ///
    /// # Errors
    /// Reading failed, or the entry is shorter than it was.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RepositoryError> {
        self.0.recv().await.transpose()
    }
}

impl Stream for EntryStream {
    type Item = Result<Bytes, RepositoryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

// The engine's own Debug would show the key.
impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("id", &self.id)
            .field("entries", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn pour(&self, node: &Node, pieces: mpsc::Sender<Result<Bytes, RepositoryError>>) {
        let mut outlet = Outlet { pieces, bytes: 0 };
        let poured = self.opened.dump(node, &mut outlet);
        let Outlet { pieces, bytes } = outlet;
        let failure = match poured {
            Ok(()) if bytes == node.meta.size => return,
            Ok(()) => RepositoryError::Short {
                snapshot: self.id.short(),
                entry: node.name().to_string_lossy().into_owned(),
                expected: node.meta.size,
                found: bytes,
                location: self.bridge.location(),
            },
            Err(error) => Failed::Engine(error).explain("read an entry", &self.bridge),
        };
        // Nobody listens any more when the stream was dropped: then that is the reason.
        let _ = pieces.blocking_send(Err(failure));
    }
}

impl Write for Outlet {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.pieces
            .blocking_send(Ok(Bytes::copy_from_slice(piece)))
            .map_err(|_| io::Error::other("the stream was dropped"))?;
        self.bytes += piece.len() as u64;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
