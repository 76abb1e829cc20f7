//! One audit line for a refusal that repeats itself: an agent that was removed goes on dialling.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

/// The same refusal is written at most once in this time.
const QUIET: TimeDelta = TimeDelta::minutes(1);
const KEYS: usize = 10_000;

#[derive(Debug, Default)]
pub struct Repeats {
    seen: HashMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    written_at: DateTime<Utc>,
    unwritten: u64,
}

impl Repeats {
    /// It happened so many times: whether to write it now; then how many were left out since the last line.
    pub fn note(&mut self, key: &str, times: u64, now: DateTime<Utc>) -> Option<u64> {
        let more = times.saturating_sub(1);
        if let Some(seen) = self.seen.get_mut(key) {
            if now - seen.written_at < QUIET {
                seen.unwritten = seen.unwritten.saturating_add(times);
                return None;
            }
            seen.written_at = now;
            return Some(std::mem::take(&mut seen.unwritten).saturating_add(more));
        }
        if self.seen.len() >= KEYS {
            // Those that still go on keep their place; if nobody is gone, all are written again.
            self.seen.retain(|_, seen| now - seen.written_at < QUIET);
            if self.seen.len() >= KEYS {
                self.seen.clear();
            }
        }
        let seen = Seen {
            written_at: now,
            unwritten: 0,
        };
        self.seen.insert(key.to_owned(), seen);
        Some(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted_instead_of_written() {
        let mut repeats = Repeats::default();
        let now = Utc::now();
        assert_eq!(repeats.note("a", 1, now), Some(0));
        assert_eq!(repeats.note("a", 1, now), None);
        assert_eq!(repeats.note("b", 1, now), Some(0));
        assert_eq!(repeats.note("a", 1, now + TimeDelta::seconds(59)), None);
        assert_eq!(repeats.note("a", 1, now + TimeDelta::seconds(60)), Some(2));
        assert_eq!(repeats.note("a", 1, now + TimeDelta::seconds(61)), None);
        assert_eq!(repeats.note("c", 5, now), Some(4));
        assert_eq!(repeats.note("c", 3, now), None);
        let later = now + TimeDelta::seconds(60);
        assert_eq!(repeats.note("c", 2, later), Some(4));
    }
}
