//! From the task that makes an entry to the engine's thread that reads it: a bounded channel with an explicit end.
//!
//! The engine takes the end of a reader for the end of the entry. So a reader that was not told
//! "whole" never ends: it fails, and the backup with it.

use std::{
    fmt,
    io::{self, Read},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use xxhash_rust::xxh3::Xxh3;

use super::{
    EntryName,
    account::{Account, Incomplete},
};

/// Pieces on their way to the engine, of [`PIECE`] bytes at most.
const IN_FLIGHT: usize = 2;
/// Larger ones are split, so that memory is bounded whatever a caller sends.
const PIECE: usize = 1 << 20;

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    /// The entry ends here; the answer says that the engine has read it to this end.
    Whole(oneshot::Sender<()>),
}

/// Takes one entry's bytes. Dropping it without [`EntryWriter::whole`] fails the backup.
#[must_use = "an entry that is dropped fails the backup"]
pub struct EntryWriter {
    entry: EntryName,
    pieces: mpsc::Sender<Piece>,
    account: Arc<Account>,
    bytes: u64,
    hash: Box<Xxh3>,
    ended: bool,
}

/// What was written of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub bytes: u64,
    /// XXH3-128 of all of them, seed 0.
    pub xxh3: u128,
}

/// The engine's end.
pub(crate) struct Reader {
    entry: EntryName,
    pieces: mpsc::Receiver<Piece>,
    account: Arc<Account>,
    current: Bytes,
    bytes: u64,
    ended: bool,
    /// One of those that may be open at once.
    _turn: Option<OwnedSemaphorePermit>,
}

/// Both ends of a new entry.
pub(crate) fn feed(
    entry: EntryName,
    account: &Arc<Account>,
    turn: Option<OwnedSemaphorePermit>,
) -> (EntryWriter, Reader) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let writer = EntryWriter {
        entry: entry.clone(),
        pieces: sender,
        account: account.clone(),
        bytes: 0,
        hash: Box::new(Xxh3::new()),
        ended: false,
    };
    let reader = Reader {
        entry,
        pieces: receiver,
        account: account.clone(),
        current: Bytes::new(),
        bytes: 0,
        ended: false,
        _turn: turn,
    };
    (writer, reader)
}

impl EntryWriter {
    #[must_use]
    pub fn name(&self) -> &EntryName {
        &self.entry
    }

    /// Bytes sent so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands bytes on; waits while the repository is slower than the source.
    ///
    /// # Errors
    /// The backup has ended for another reason, which [`super::Writing::finish`] tells.
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<(), Incomplete> {
        while bytes.has_remaining() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.hash.update(&piece);
            self.bytes += piece.len() as u64;
            self.hand_on(Piece::Data(piece)).await?;
        }
        Ok(())
    }

    /// The entry ends here. `said` is its length as its maker knows it, for comparison.
    ///
    /// # Errors
    /// Another length came, or the backup has ended for another reason.
    pub async fn whole(mut self, said: u64) -> Result<Written, Incomplete> {
        if said != self.bytes {
            let why = Incomplete::WrongLength {
                entry: self.entry.clone(),
                said,
                found: self.bytes,
            };
            self.account.fail(why.clone());
            return Err(why);
        }
        let (read, answer) = oneshot::channel();
        self.hand_on(Piece::Whole(read)).await?;
        answer.await.map_err(|_| self.ended_elsewhere())?;
        self.ended = true;
        Ok(Written {
            bytes: self.bytes,
            xxh3: self.hash.digest128(),
        })
    }

    /// The entry cannot be made: ends the whole backup. Nothing of it will count.
    pub fn fail(self, reason: impl Into<String>) {
        self.account.fail(Incomplete::Failed {
            entry: self.entry.clone(),
            reason: reason.into(),
        });
    }

    async fn hand_on(&self, piece: Piece) -> Result<(), Incomplete> {
        if let Some(failure) = self.account.failure() {
            return Err(failure);
        }
        self.pieces
            .send(piece)
            .await
            .map_err(|_| self.ended_elsewhere())
    }

    fn ended_elsewhere(&self) -> Incomplete {
        self.account.failure().unwrap_or(Incomplete::Abandoned)
    }
}

impl fmt::Debug for EntryWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryWriter")
            .field("entry", &self.entry)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Drop for EntryWriter {
    fn drop(&mut self) {
        if !self.ended {
            self.account.fail(Incomplete::Cut {
                entry: self.entry.clone(),
                bytes: self.bytes,
            });
        }
    }
}

impl Reader {
    fn next(&mut self) -> io::Result<()> {
        if self.account.failed() {
            return Err(io::Error::other("the backup has failed"));
        }
        match self.pieces.blocking_recv() {
            Some(Piece::Data(bytes)) => {
                self.bytes += bytes.len() as u64;
                self.current = bytes;
                Ok(())
            }
            Some(Piece::Whole(read)) => {
                self.account.whole(&self.entry, self.bytes);
                self.ended = true;
                // The writer may be gone: it is whole all the same.
                let _ = read.send(());
                Ok(())
            }
            None => Err(io::Error::other(format!("entry {} was cut", self.entry))),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.ended {
            self.account.fail(Incomplete::Failed {
                entry: self.entry.clone(),
                reason: "the repository stopped taking it".to_owned(),
            });
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.current.has_remaining() {
            if self.ended {
                return Ok(0);
            }
            self.next()?;
        }
        let taken = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..taken]);
        Ok(taken)
    }
}
