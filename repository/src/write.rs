//! Writing a backup: named streams in, one snapshot out, or nothing.

mod account;
mod feed;
mod layout;
mod pack;
mod seal;
mod source;
mod store;
mod tree;

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rustic_core::jiff::Timestamp;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use self::{
    account::Account,
    source::{Opening, Source},
};
pub use self::{
    account::Incomplete,
    feed::{EntryWriter, Written},
    layout::{Attributes, Layout, Placed, What},
};
use crate::{error::RepositoryError, repository::Repository, snapshot::SnapshotId};

/// The name of one stream of a backup: what restic shows as a file. 1 to 255 bytes, no slash, no
/// control characters, not "." or "..".
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of an entry: 1 to 255 bytes, no slash, no control characters")]
pub struct BadEntryName(pub String);

/// How `restic snapshots` shows a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub host: String,
    /// What was backed up: `web-1/shop-db/shop`. Snapshots are listed by it.
    pub label: String,
    /// No commas.
    pub tags: Vec<String>,
    /// The moment that the backup shows.
    pub time: DateTime<Utc>,
}

/// What will be written.
#[derive(Debug, Clone)]
pub struct Plan {
    pub about: About,
    /// In the order in which they are to be made. The snapshot lists them by name.
    pub entries: Vec<EntryName>,
    /// Written by [`Writing::finish`], when all others are whole.
    pub last: EntryName,
    /// Entries that are made at the same time; the engine takes as many as there are cores at most.
    pub at_once: usize,
}

/// A backup on its way. Dropping it abandons the backup: nothing of it counts.
#[derive(Debug)]
pub struct Writing {
    account: Arc<Account>,
    opened: mpsc::UnboundedReceiver<EntryWriter>,
    last: EntryName,
    /// Entries that have not been handed out, the last one not counted.
    left: usize,
    /// The last entry, when the engine has opened it already.
    waiting: Option<EntryWriter>,
    turns: Arc<Semaphore>,
    layout: Arc<OnceLock<Layout>>,
    thread: Option<JoinHandle<Result<Stored, RepositoryError>>>,
    location: String,
}

/// A backup that is whole and compared with what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub snapshot: SnapshotId,
    /// All entries with their lengths, the last one among them.
    pub entries: BTreeMap<EntryName, u64>,
    pub bytes: u64,
    /// What the storage grew by, compressed.
    pub added_bytes: u64,
}

impl Repository {
    /// Begins a backup. Call [`Writing::next`] until it ends, and then [`Writing::finish`].
    #[must_use]
    pub fn write(&self, plan: Plan) -> Writing {
        let Plan {
            about,
            entries,
            last,
            at_once,
        } = plan;
        let left = entries.len();
        let names = entries.iter().chain([&last]).cloned();
        let account = Arc::new(Account::new(names));
        let (sender, opened) = mpsc::unbounded_channel();
        let turns = Arc::new(Semaphore::new(at_once.max(1)));
        let layout = Arc::new(OnceLock::new());
        if let Some(twice) = twice(&entries, &last) {
            account.fail(Incomplete::Failed {
                entry: twice,
                reason: "it is listed twice".to_owned(),
            });
        }
        let source = Source {
            entries,
            last: last.clone(),
            layout: layout.clone(),
            opening: Opening {
                account: account.clone(),
                opened: sender,
                turns: turns.clone(),
                runtime: Handle::current(),
            },
        };
        let (this, key) = (self.clone(), self.key.clone());
        let thread = tokio::spawn(async move {
            this.work("store a backup", move |bridge, opened| {
                store::store(bridge, opened, &key, &about, &source)
            })
            .await
        });
        Writing {
            account,
            opened,
            last,
            left,
            waiting: None,
            turns,
            layout,
            thread: Some(thread),
            location: self.location(),
        }
    }
}

impl Writing {
    /// The next entry that the repository is ready to take, in the order of the plan. `None`: all have
    /// been handed out, or the backup has failed; [`Writing::finish`] tells which.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<EntryWriter> {
        loop {
            if self.account.failed() {
                // The engine may read the last entry already, and that will not come.
                self.waiting = None;
            } else if self.left == 0 && self.waiting.is_some() {
                return None;
            }
            tokio::select! {
                opened = self.opened.recv() => {
                    let writer = opened?;
                    if *writer.name() != self.last {
                        self.left = self.left.saturating_sub(1);
                        return Some(writer);
                    }
                    // Its thread may have been faster than that of an entry before it.
                    self.waiting = Some(writer);
                }
                () = self.account.changed() => {}
            }
        }
    }

    /// Like [`Writing::finish`], of files: the snapshot shows the entries at their places in folders, and the
    /// last one beside the uppermost. A layout that leaves an entry out fails the backup.
    ///
    /// # Errors
    /// Why nothing was stored.
    pub async fn finish_in_folders(
        self,
        last: impl Into<Bytes>,
        layout: Layout,
    ) -> Result<Stored, RepositoryError> {
        // Nobody else has set it: this takes the writing, as `finish` does.
        let _ = self.layout.set(layout);
        self.finish(last).await
    }

    /// Ends the backup with its last entry, waits until everything is stored, and compares what is
    /// stored with what was sent. Only then does a snapshot exist.
    ///
    /// All entries must be whole by now: writers that are still open are waited for. A caller that is
    /// dropped in the very last moment here may leave a whole snapshot behind that nobody was told of;
    /// its tags tell whose it is.
    ///
    /// # Errors
    /// Why nothing was stored.
    pub async fn finish(mut self, last: impl Into<Bytes>) -> Result<Stored, RepositoryError> {
        // Entries that nobody took are dropped here, which fails the backup.
        while self.next().await.is_some() {}
        if let Some(mut writer) = self.waiting.take()
            && self.others_are_whole().await
        {
            let last = last.into();
            let bytes = last.len() as u64;
            // What goes wrong here is told by the thread, which knows the cause.
            if writer.send(last).await.is_ok() {
                let _ = writer.whole(bytes).await;
            }
        }
        // Dropped while it waits here, it is abandoned, as long as that is possible.
        let Some(thread) = self.thread.as_mut() else {
            return Err(self.stopped());
        };
        let done = thread.await;
        self.thread = None;
        match done {
            Ok(done) => done,
            Err(_) => Err(self.stopped()),
        }
    }

    /// Ends the backup without its last entry: nothing of it counts. Gives what went wrong before, if
    /// anything did.
    pub async fn give_up(mut self) -> RepositoryError {
        self.account.fail(Incomplete::Abandoned);
        self.turns.close();
        self.waiting = None;
        let Some(thread) = self.thread.take() else {
            return self.stopped();
        };
        // The engine may wait for entries that nobody has taken.
        self.opened.close();
        while self.opened.recv().await.is_some() {}
        match thread.await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => self.stopped(),
        }
    }

    /// Every other entry gives its turn back when the engine has read it.
    async fn others_are_whole(&self) -> bool {
        loop {
            if self.account.failed() {
                return false;
            }
            if self.account.whole_but(&self.last) {
                return true;
            }
            self.account.changed().await;
        }
    }

    fn stopped(&self) -> RepositoryError {
        RepositoryError::Stopped {
            location: self.location.clone(),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.account.fail(Incomplete::Abandoned);
            self.turns.close();
        }
    }
}

impl About {
    fn moment(&self) -> Timestamp {
        // Chrono's range is the wider one by far; what is outside shows as the beginning of time.
        Timestamp::from_microsecond(self.time.timestamp_micros()).unwrap_or_default()
    }
}

impl EntryName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntryName {
    type Err = BadEntryName;

    fn from_str(text: &str) -> Result<Self, BadEntryName> {
        let good = (1..=255).contains(&text.len())
            && !text.contains('/')
            && !text.chars().any(char::is_control)
            && text != "."
            && text != "..";
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadEntryName(text.to_owned()))
        }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn twice(entries: &[EntryName], last: &EntryName) -> Option<EntryName> {
    let mut names: Vec<_> = entries.iter().chain([last]).collect();
    names.sort();
    names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0].clone())
}

#[cfg(test)]
mod tests {
    use super::{feed::feed, *};

    // Two threads of the engine open the last two entries: either may be the faster one.
    #[tokio::test]
    async fn an_entry_that_is_opened_after_the_last_one_is_handed_out_all_the_same() {
        let [first, last]: [EntryName; 2] = ["a", "z"].map(|name| name.parse().unwrap());
        let account = Arc::new(Account::new([first.clone(), last.clone()]));
        let (sender, opened) = mpsc::unbounded_channel();
        let mut writing = Writing {
            account: account.clone(),
            opened,
            last: last.clone(),
            left: 1,
            waiting: None,
            turns: Arc::new(Semaphore::new(1)),
            layout: Arc::default(),
            thread: None,
            location: String::new(),
        };
        let (writer, _last_reader) = feed(last, &account, None);
        sender.send(writer).unwrap();
        let (writer, _first_reader) = feed(first.clone(), &account, None);
        sender.send(writer).unwrap();
        let handed_out = writing.next().await.unwrap();
        assert_eq!(*handed_out.name(), first);
        assert!(writing.next().await.is_none());
        assert!(writing.waiting.is_some());

        // After a failure nobody waits for the last one.
        drop(handed_out);
        drop(sender);
        assert!(writing.next().await.is_none());
        assert!(writing.waiting.is_none());
    }
}
