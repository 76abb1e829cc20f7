//! Stops an engine at a chosen event, as a crash would, or until the proof has done something.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Around the `n`th event that the engine appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The work is done, nothing of it is stored.
    Before(u64),
    /// Stored, and nothing after it.
    After(u64),
}

#[derive(Debug, Default)]
pub struct Fuse {
    /// 0: never.
    before: AtomicU64,
    after: AtomicU64,
    burnt: Notify,
    resumed: Notify,
}

impl Fuse {
    pub fn arm(&self, moment: Moment) {
        match moment {
            Moment::Before(n) => self.before.store(n, Ordering::SeqCst),
            Moment::After(n) => self.after.store(n, Ordering::SeqCst),
        }
    }

    /// Returns when the moment has come; the engine stands still then.
    pub async fn burnt(&self) {
        self.burnt.notified().await;
    }

    /// Lets the engine go on.
    pub fn resume(&self) {
        self.resumed.notify_one();
    }

    pub async fn before_event(&self) {
        self.count(&self.before).await;
    }

    pub async fn after_event(&self) {
        self.count(&self.after).await;
    }

    async fn count(&self, left: &AtomicU64) {
        let one_less = |n: u64| n.checked_sub(1);
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) == Ok(1) {
            self.burnt.notify_one();
            self.resumed.notified().await;
        }
    }
}
