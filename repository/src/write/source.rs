//! The engine's list of entries: each is handed to its maker at the moment the engine opens it.
//!
//! The engine opens entries in order, a few at a time on its own threads. An entry that nobody has
//! opened is not waited for, so makers that work on what they are given cannot block each other.

use std::{
    ffi::OsStr,
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    vec,
};

use rustic_core::{
    ErrorKind, ReadSource, ReadSourceEntry, ReadSourceOpen, RusticError, RusticResult,
    jiff::Timestamp,
    repofile::{Metadata, Node, NodeType},
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
};

use super::{
    EntryName,
    account::Account,
    feed::{EntryWriter, Reader, feed},
    layout::Layout,
};

/// Hands out what the engine opens.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) account: Arc<Account>,
    pub(crate) opened: mpsc::UnboundedSender<EntryWriter>,
    /// How many may be open at once.
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) runtime: Handle,
}

pub(crate) struct Source {
    pub(crate) entries: Vec<EntryName>,
    pub(crate) last: EntryName,
    /// Set before the last entry is whole, if at all.
    pub(crate) layout: Arc<OnceLock<Layout>>,
    pub(crate) opening: Opening,
}

/// One entry that has not been opened yet.
pub(crate) struct Part {
    entry: EntryName,
    last: bool,
    opening: Opening,
}

pub(crate) struct Entries {
    rest: vec::IntoIter<EntryName>,
    last: Option<EntryName>,
    opening: Opening,
}

impl ReadSource for Source {
    type Open = Part;
    type Iter = Entries;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Entries {
        Entries {
            rest: self.entries.clone().into_iter(),
            last: Some(self.last.clone()),
            opening: self.opening.clone(),
        }
    }
}

impl Iterator for Entries {
    type Item = RusticResult<ReadSourceEntry<Part>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.opening.account.failed() {
            return None;
        }
        let (entry, last) = match self.rest.next() {
            Some(entry) => (entry, false),
            None => (self.last.take()?, true),
        };
        let part = Part {
            entry: entry.clone(),
            last,
            opening: self.opening.clone(),
        };
        Some(Ok(ReadSourceEntry {
            path: PathBuf::from("/").join(entry.as_str()),
            node: node(&entry),
            open: Some(part),
        }))
    }
}

impl ReadSourceOpen for Part {
    type Reader = Reader;

    fn open(self) -> RusticResult<Reader> {
        let Opening {
            account,
            opened,
            turns,
            runtime,
        } = self.opening;
        // The last one waits for all others, so it must not wait for a turn that one of them has.
        let turn = if self.last {
            None
        } else {
            Some(
                runtime
                    .block_on(turns.acquire_owned())
                    .map_err(|_| gone())?,
            )
        };
        let (writer, reader) = feed(self.entry, &account, turn);
        opened.send(writer).map_err(|_| gone())?;
        Ok(reader)
    }
}

/// The times come later, see [`super::tree`].
fn node(entry: &EntryName) -> Node {
    let time = Timestamp::UNIX_EPOCH;
    let metadata = Metadata {
        mode: Some(0o600),
        mtime: Some(time),
        atime: Some(time),
        ctime: Some(time),
        uid: Some(0),
        gid: Some(0),
        links: 1,
        ..Metadata::default()
    };
    Node::new_node(OsStr::new(entry.as_str()), NodeType::File, metadata)
}

fn gone() -> Box<RusticError> {
    RusticError::with_source(
        ErrorKind::InputOutput,
        "Nobody writes this entry.",
        io::Error::other("the backup was abandoned"),
    )
}
