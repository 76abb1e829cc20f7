//! Reading a backup back: its entries, and each as a stream of bytes.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
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

/// The content of one folder of a snapshot. Cheap to clone.
#[derive(Clone)]
pub struct Folder {
    inner: Arc<Inner>,
    nodes: Arc<BTreeMap<OsString, Node>>,
}

struct Inner {
    id: SnapshotId,
    nodes: BTreeMap<EntryName, Node>,
    folders: BTreeMap<EntryName, Node>,
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
            let (mut nodes, mut folders) = (BTreeMap::new(), BTreeMap::new());
            for node in opened.get_tree(&file.tree)?.nodes {
                // Whatever else restic may have put there is no stream of ours.
                let Ok(name) = node.name().to_string_lossy().parse::<EntryName>() else {
                    continue;
                };
                if node.is_file() {
                    nodes.insert(name, node);
                } else if node.is_dir() {
                    folders.insert(name, node);
                }
            }
            let inner = Inner {
                id,
                nodes,
                folders,
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

    /// What [`Self::folder`] opens.
    pub fn folders(&self) -> impl Iterator<Item = &EntryName> {
        self.inner.folders.keys()
    }

    /// One entry as a stream. Several at once are several threads; each holds a few MiB.
    ///
    /// # Errors
    /// `NoEntry`.
    pub fn stream(&self, entry: &EntryName) -> Result<EntryStream, RepositoryError> {
        let node = self.inner.nodes.get(entry).cloned();
        let node = node.ok_or_else(|| self.inner.no_entry(entry.as_str()))?;
        Ok(stream(&self.inner, node))
    }

    /// What [`crate::Writing::finish_in_folders`] has put into the uppermost folder.
    ///
    /// # Errors
    /// `NoEntry`, or reading failed.
    pub async fn folder(&self, folder: &EntryName) -> Result<Folder, RepositoryError> {
        let node = self.inner.folders.get(folder).cloned();
        let node = node.ok_or_else(|| self.inner.no_entry(folder.as_str()))?;
        Folder::open(&self.inner, node).await
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

impl Folder {
    /// Names of the files in it.
    pub fn files(&self) -> impl Iterator<Item = &OsStr> {
        self.of_kind(Node::is_file)
    }

    /// Names of the folders in it.
    pub fn folders(&self) -> impl Iterator<Item = &OsStr> {
        self.of_kind(Node::is_dir)
    }

    /// A folder in this one.
    ///
    /// # Errors
    /// `NoEntry`, or reading failed.
    pub async fn folder(&self, name: &OsStr) -> Result<Self, RepositoryError> {
        let node = self.nodes.get(name).filter(|node| node.is_dir()).cloned();
        let node = node.ok_or_else(|| self.inner.no_entry(&name.to_string_lossy()))?;
        Self::open(&self.inner, node).await
    }

    /// A file in it, as a stream.
    ///
    /// # Errors
    /// `NoEntry`.
    pub fn stream(&self, name: &OsStr) -> Result<EntryStream, RepositoryError> {
        let node = self.nodes.get(name).filter(|node| node.is_file()).cloned();
        let node = node.ok_or_else(|| self.inner.no_entry(&name.to_string_lossy()))?;
        Ok(stream(&self.inner, node))
    }

    fn of_kind(&self, is: fn(&Node) -> bool) -> impl Iterator<Item = &OsStr> {
        let nodes = self.nodes.iter().filter(move |(_, node)| is(node));
        nodes.map(|(name, _)| name.as_os_str())
    }

    async fn open(inner: &Arc<Inner>, node: Node) -> Result<Self, RepositoryError> {
        let of = inner.clone();
        let location = inner.bridge.location();
        let read = move || {
            let Some(tree) = node.subtree else {
                return Err(of.no_entry(&node.name().to_string_lossy()));
            };
            of.opened
                .get_tree(&tree)
                .map_err(|error| Failed::Engine(error).explain("read a folder", &of.bridge))
        };
        let tree = tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| RepositoryError::Stopped { location })??;
        let named = |node: Node| (node.name().into_owned(), node);
        Ok(Self {
            inner: inner.clone(),
            nodes: Arc::new(tree.nodes.into_iter().map(named).collect()),
        })
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

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder")
            .field("snapshot", &self.inner.id)
            .field("items", &self.nodes.len())
            .finish_non_exhaustive()
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
    fn no_entry(&self, entry: &str) -> RepositoryError {
        RepositoryError::NoEntry {
            snapshot: self.id.short(),
            entry: entry.to_owned(),
            location: self.bridge.location(),
        }
    }

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

fn stream(inner: &Arc<Inner>, node: Node) -> EntryStream {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let inner = inner.clone();
    tokio::task::spawn_blocking(move || inner.pour(&node, sender));
    EntryStream(receiver)
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
