//! Slows down whoever guesses tokens: a few wrong ones a minute for each address.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

const WRONG_TOKENS: u32 = 10;
const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// More addresses than this at once are an attack from many; then old windows are forgotten.
const ADDRESSES: usize = 10_000;

#[derive(Debug, Default)]
pub struct Throttle {
    windows: HashMap<IpAddr, Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    ends_at: DateTime<Utc>,
    wrong: u32,
}

impl Throttle {
    /// How long this address has to wait; `None`: not at all.
    #[must_use]
    pub fn wait(&self, address: IpAddr, now: DateTime<Utc>) -> Option<Duration> {
        let window = self.windows.get(&address)?;
        if window.wrong < WRONG_TOKENS {
            return None;
        }
        let left = (window.ends_at - now).to_std().ok()?;
        // Whole seconds, upwards: "0 s" would be no answer.
        Some(Duration::from_secs(left.as_secs() + 1))
    }

    pub fn note_wrong(&mut self, address: IpAddr, now: DateTime<Utc>) {
        self.windows.retain(|_, window| window.ends_at > now);
        if self.windows.len() >= ADDRESSES {
            self.windows.clear();
        }
        let window = self.windows.entry(address).or_insert(Window {
            ends_at: now + WINDOW,
            wrong: 0,
        });
        window.wrong += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_ones_a_minute_and_no_more() {
        let mut throttle = Throttle::default();
        let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let now = Utc::now();
        for _ in 0..WRONG_TOKENS {
            assert_eq!(throttle.wait(one, now), None);
            throttle.note_wrong(one, now);
        }
        assert_eq!(throttle.wait(one, now), Some(Duration::from_secs(61)));
        assert_eq!(throttle.wait(other, now), None);
        assert_eq!(throttle.wait(one, now + TimeDelta::seconds(61)), None);
        throttle.note_wrong(one, now + TimeDelta::seconds(61));
        assert_eq!(throttle.wait(one, now + TimeDelta::seconds(61)), None);
    }
}
