//! What a host's container engine told of late. In memory only: after a restart of the controller
//! there is none, and nothing but people's eyes depends on it.

use std::collections::VecDeque;

use holdfast_proto::fleet::EngineEvent;

/// Of one host; a container that is restarted again and again must not cost the controller its memory.
const KEPT: usize = 200;

/// The oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent(VecDeque<EngineEvent>);

impl Recent {
    /// Takes in what came, in its order; the oldest make room.
    pub fn take(&mut self, events: Vec<EngineEvent>) {
        self.0.extend(events);
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }

    /// The newest first.
    pub fn newest(&self) -> impl Iterator<Item = &EngineEvent> {
        self.0.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn event(number: usize) -> EngineEvent {
        EngineEvent {
            at: DateTime::UNIX_EPOCH + TimeDelta::seconds(number.try_into().unwrap()),
            kind: "container".to_owned(),
            action: "start".to_owned(),
            subject: format!("c{number}"),
        }
    }

    #[test]
    fn the_last_ones_are_kept_and_told_newest_first() {
        let mut recent = Recent::default();
        recent.take(vec![event(1), event(2)]);
        recent.take(vec![event(3)]);
        let subjects: Vec<_> = recent.newest().map(|event| &event.subject).collect();
        assert_eq!(subjects, ["c3", "c2", "c1"]);

        recent.take((4..=KEPT + 5).map(event).collect());
        assert_eq!(recent.newest().count(), KEPT);
        assert_eq!(recent.newest().next(), Some(&event(KEPT + 5)));
        assert_eq!(recent.newest().last(), Some(&event(6)));
    }
}
