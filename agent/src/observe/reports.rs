//! What the observer hands to the session: the host as it is now, and the events since.
//!
//! A slow or lost link never holds the observer up: the newest snapshot replaces the one before,
//! and of events the last thousand wait.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use holdfast_proto::fleet::{EngineEvent, HostSnapshot};
use tokio::sync::watch;

/// Events that wait for a session.
const EVENTS_KEPT: usize = 1000;

/// Shared by the observer, who writes, and the session, which reads.
#[derive(Debug, Clone)]
pub struct Reports {
    /// Unset until the host has been looked at once.
    snapshot: watch::Sender<Option<Arc<HostSnapshot>>>,
    events: Arc<Mutex<VecDeque<EngineEvent>>>,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            snapshot: watch::Sender::new(None),
            events: Arc::default(),
        }
    }
}

impl Reports {
    /// Replaces the snapshot, with the events that led to it; readers wake when either is news.
    pub fn publish(&self, snapshot: HostSnapshot, events: Vec<EngineEvent>) {
        let news = !events.is_empty();
        self.keep(events);
        self.snapshot.send_if_modified(|current| {
            if current.as_deref() == Some(&snapshot) {
                return news;
            }
            *current = Some(Arc::new(snapshot));
            true
        });
    }

    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<HostSnapshot>>> {
        self.snapshot.subscribe()
    }

    /// The events that nobody has taken yet, oldest first.
    #[must_use]
    pub fn take_events(&self) -> Vec<EngineEvent> {
        self.lock().drain(..).collect()
    }

    fn keep(&self, events: Vec<EngineEvent>) {
        let mut waiting = self.lock();
        waiting.extend(events);
        let surplus = waiting.len().saturating_sub(EVENTS_KEPT);
        waiting.drain(..surplus);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<EngineEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> EngineEvent {
        EngineEvent {
            at: chrono::DateTime::UNIX_EPOCH,
            kind: "container".to_owned(),
            action: "start".to_owned(),
            subject: number.to_string(),
        }
    }

    #[test]
    fn the_same_snapshot_again_wakes_nobody_and_old_events_make_room() {
        let reports = Reports::default();
        let mut reader = reports.subscribe();
        reports.publish(HostSnapshot::default(), Vec::new());
        assert!(reader.has_changed().unwrap());
        reader.mark_unchanged();
        reports.publish(HostSnapshot::default(), Vec::new());
        assert!(!reader.has_changed().unwrap());
        reports.publish(
            HostSnapshot::default(),
            (0..EVENTS_KEPT + 5).map(event).collect(),
        );
        assert!(reader.has_changed().unwrap());
        let events = reports.take_events();
        assert_eq!(events.len(), EVENTS_KEPT);
        assert_eq!(events[0].subject, "5");
    }
}
