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
    /// Whether to write it now; then how many were left out since the last line.
    pub fn note(&mut self, key: &str, now: DateTime<Utc>) -> Option<u64> {
        if let Some(seen) = self.seen.get_mut(key) {
            if now - seen.written_at < QUIET {
                seen.unwritten += 1;
                return None;
            }
            seen.written_at = now;
            return Some(std::mem::take(&mut seen.unwritten));
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
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted_instead_of_written() {
        let mut repeats = Repeats::default();
        let now = Utc::now();
        assert_eq!(repeats.note("a", now), Some(0));
        assert_eq!(repeats.note("a", now), None);
        assert_eq!(repeats.note("b", now), Some(0));
        assert_eq!(repeats.note("a", now + TimeDelta::seconds(59)), None);
        assert_eq!(repeats.note("a", now + TimeDelta::seconds(60)), Some(2));
        assert_eq!(repeats.note("a", now + TimeDelta::seconds(61)), None);
    }
}
