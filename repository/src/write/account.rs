//! Our own account of a backup's entries, kept beside the engine's, which leaves out what it could not read.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::EntryName;

/// Why a backup is not whole; the first thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    #[error("entry {entry} failed: {reason}")]
    Failed { entry: EntryName, reason: String },
    #[error("entry {entry} was cut after {bytes} bytes: its end was never told")]
    Cut { entry: EntryName, bytes: u64 },
    #[error("entry {entry} was said to be {said} bytes, and {found} came")]
    WrongLength {
        entry: EntryName,
        said: u64,
        found: u64,
    },
    #[error("{} entries were never written: {}", .0.len(), .0.join(", "))]
    Missing(Vec<String>),
    #[error("entry {entry} was {sent} bytes, and {stored} were stored")]
    StoredOtherwise {
        entry: EntryName,
        sent: u64,
        stored: u64,
    },
    #[error(
        "{sent} entries of {sent_bytes} bytes were sent, and {stored} of {stored_bytes} were stored"
    )]
    Totals {
        sent: u64,
        sent_bytes: u64,
        stored: u64,
        stored_bytes: u64,
    },
    #[error("the entries that were stored are others than those that were sent: {}", .0.join(", "))]
    OtherEntries(Vec<String>),
    #[error("the backup was abandoned")]
    Abandoned,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waiting,
    Whole { bytes: u64 },
}

/// Shared by the writers, the engine's readers and the thread that stores.
#[derive(Debug)]
pub(crate) struct Account {
    inner: Mutex<Inner>,
    change: Notify,
}

#[derive(Debug)]
struct Inner {
    entries: BTreeMap<EntryName, Standing>,
    failure: Option<Incomplete>,
}

impl Account {
    pub(crate) fn new(entries: impl IntoIterator<Item = EntryName>) -> Self {
        let entries = entries
            .into_iter()
            .map(|entry| (entry, Standing::Waiting))
            .collect();
        Self {
            inner: Mutex::new(Inner {
                entries,
                failure: None,
            }),
            change: Notify::new(),
        }
    }

    /// The engine has read this entry to its end.
    pub(crate) fn whole(&self, entry: &EntryName, bytes: u64) {
        self.lock()
            .entries
            .insert(entry.clone(), Standing::Whole { bytes });
        self.change.notify_one();
    }

    /// Ends the whole backup. The first one is kept.
    pub(crate) fn fail(&self, why: Incomplete) {
        self.lock().failure.get_or_insert(why);
        self.change.notify_one();
    }

    /// Every entry but this one is whole.
    pub(crate) fn whole_but(&self, last: &EntryName) -> bool {
        self.lock()
            .entries
            .iter()
            .all(|(entry, standing)| entry == last || matches!(standing, Standing::Whole { .. }))
    }

    /// Waits for an entry to be whole or to fail since the last call; for one waiter.
    pub(crate) async fn changed(&self) {
        self.change.notified().await;
    }

    pub(crate) fn failure(&self) -> Option<Incomplete> {
        self.lock().failure.clone()
    }

    pub(crate) fn failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// Bytes of every entry, when all are whole.
    pub(crate) fn settle(&self) -> Result<BTreeMap<EntryName, u64>, Incomplete> {
        let inner = self.lock();
        if let Some(failure) = &inner.failure {
            return Err(failure.clone());
        }
        let mut whole = BTreeMap::new();
        let mut missing = Vec::new();
        for (entry, standing) in &inner.entries {
            match standing {
                Standing::Whole { bytes } => {
                    whole.insert(entry.clone(), *bytes);
                }
                Standing::Waiting => missing.push(entry.to_string()),
            }
        }
        if missing.is_empty() {
            Ok(whole)
        } else {
            Err(Incomplete::Missing(missing))
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is one assignment.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EntryName {
        text.parse().unwrap()
    }

    #[test]
    fn an_account_is_settled_only_when_every_entry_is_whole() {
        let account = Account::new([name("a"), name("b")]);
        account.whole(&name("a"), 3);
        assert_eq!(
            account.settle(),
            Err(Incomplete::Missing(vec!["b".to_owned()]))
        );
        account.whole(&name("b"), 0);
        let expected = BTreeMap::from([(name("a"), 3), (name("b"), 0)]);
        assert_eq!(account.settle(), Ok(expected));
    }

    #[test]
    fn the_first_failure_is_the_one_that_is_told() {
        let account = Account::new([name("a")]);
        account.whole(&name("a"), 1);
        account.fail(Incomplete::Abandoned);
        account.fail(Incomplete::Missing(Vec::new()));
        assert_eq!(account.settle(), Err(Incomplete::Abandoned));
    }
}
