//! The moments of a schedule: a word or a cron expression in a time zone, and a jitter from the database's name.

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use sha2::{Digest, Sha256};

/// So that what has one cron expression does not begin in one second.
const CRON_SPREAD: Duration = Duration::from_mins(5);
/// Jitter is longer than this for nobody.
const LONGEST_SPREAD: Duration = Duration::from_hours(24 * 14);

/// Words for what most people want: the cron expression where the time for it begins, and how long that is.
const WORDS: [(&str, &str, Duration); 6] = [
    ("hourly", "0 * * * *", Duration::from_hours(1)),
    ("daily", "0 1 * * *", Duration::from_hours(4)),
    ("weekly", "0 1 * * 0", Duration::from_hours(4)),
    ("monthly", "0 1 1 * *", Duration::from_hours(72)),
    (
        "quarterly",
        "0 1 1 1,4,7,10 *",
        Duration::from_hours(24 * 7),
    ),
    ("yearly", "0 1 1 1 *", Duration::from_hours(24 * 7)),
];

/// When something is done, by the clocks on the walls of a zone.
///
/// A time that clocks jump over is that of the jump; one that comes twice counts once, as Vixie cron has it.
#[derive(Debug, Clone)]
pub struct Timing {
    text: String,
    cron: Cron,
    zone: Tz,
    /// As it was written; none: what the schedule brings along.
    jitter: Option<Duration>,
    spread: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTiming {
    #[error("{text:?} is no schedule: {reason}")]
    NoSchedule { text: String, reason: String },
    #[error("{text:?} never comes: there is no such day")]
    Never { text: String },
    #[error("a jitter of {} is more than the 14 days that are possible", humantime::format_duration(*.0))]
    Spread(Duration),
}

impl Timing {
    /// `hourly`, `daily` (between 01:00 and 05:00), `weekly` (Sunday), `monthly`, `quarterly`, `yearly`, or five fields of cron.
    /// Without a jitter of its own a word spreads over its window and a cron expression over 5 minutes.
    ///
    /// # Errors
    /// When it is no schedule, or one that never comes.
    pub fn parse(text: &str, zone: Tz, jitter: Option<Duration>) -> Result<Self, BadTiming> {
        let text = text.trim();
        let word = WORDS.iter().find(|(word, ..)| *word == text);
        let (pattern, spread) =
            word.map_or((text, CRON_SPREAD), |(_, cron, spread)| (*cron, *spread));
        let spread = jitter.unwrap_or(spread);
        if spread > LONGEST_SPREAD {
            return Err(BadTiming::Spread(spread));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(pattern)
            .map_err(|error| BadTiming::NoSchedule {
                text: text.to_owned(),
                reason: error.to_string().trim_end_matches('.').to_owned(),
            })?;
        let timing = Self {
            text: text.to_owned(),
            cron,
            zone,
            jitter,
            spread,
        };
        match timing.next_slot(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(timing),
            None => Err(BadTiming::Never {
                text: text.to_owned(),
            }),
        }
    }

    /// The words that stand for a schedule.
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.iter().map(|(word, ..)| *word)
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// As it was written; none: what the schedule brings along.
    #[must_use]
    pub fn own_jitter(&self) -> Option<Duration> {
        self.jitter
    }

    /// The same by the clocks of another place.
    #[must_use]
    pub fn in_zone(&self, zone: Tz) -> Self {
        Self {
            zone,
            ..self.clone()
        }
    }

    /// The newest moment that is not after `now`, for the one of this name.
    #[must_use]
    pub fn latest(&self, name: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let jitter = self.jitter(name);
        let before = now.checked_sub_signed(jitter)?.with_timezone(&self.zone);
        let slot = self.cron.find_previous_occurrence(&before, true).ok()?;
        slot.to_utc().checked_add_signed(jitter)
    }

    /// The first moment after `now`, for the one of this name.
    #[must_use]
    pub fn next(&self, name: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let jitter = self.jitter(name);
        let slot = self.next_slot(now.checked_sub_signed(jitter)?)?;
        slot.checked_add_signed(jitter)
    }

    /// The same for one name on every controller and every day.
    #[must_use]
    pub fn jitter(&self, name: &str) -> TimeDelta {
        part_of(self.spread, name)
    }

    fn next_slot(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = after.with_timezone(&self.zone);
        let slot = self.cron.find_next_occurrence(&after, false).ok()?;
        Some(slot.to_utc())
    }
}

/// A time shorter than the span, in whole seconds, that depends on the name alone.
pub(super) fn part_of(span: Duration, name: &str) -> TimeDelta {
    let hash = Sha256::digest(name.as_bytes());
    let number = hash
        .iter()
        .take(8)
        .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let seconds = number.checked_rem(span.as_secs()).unwrap_or(0);
    TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0))
}

impl PartialEq for Timing {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.zone, self.jitter) == (&other.text, other.zone, other.jitter)
    }
}

impl Eq for Timing {}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Tz = chrono_tz::Europe::Berlin;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn exact(text: &str) -> Timing {
        Timing::parse(text, BERLIN, Some(Duration::ZERO)).unwrap()
    }

    #[test]
    fn a_time_that_is_jumped_over_is_that_of_the_jump_and_one_that_comes_twice_counts_once() {
        let timing = exact("30 2 * * *");
        // In the night to 2026-03-29 clocks go from 02:00 to 03:00.
        assert_eq!(
            timing.next("x", at("2026-03-28T12:00:00Z")),
            Some(at("2026-03-29T01:00:00Z"))
        );
        assert_eq!(
            timing.latest("x", at("2026-03-29T12:00:00Z")),
            Some(at("2026-03-29T01:00:00Z"))
        );
        // In the night to 2026-10-25 the hour from 02:00 comes twice.
        let first = at("2026-10-25T00:30:00Z");
        assert_eq!(timing.next("x", at("2026-10-24T12:00:00Z")), Some(first));
        assert_eq!(timing.next("x", first), Some(at("2026-10-26T01:30:00Z")));
        assert_eq!(timing.latest("x", at("2026-10-25T12:00:00Z")), Some(first));
    }

    #[test]
    fn looking_back_and_looking_forward_agree_through_both_changes_of_clocks() {
        for text in [
            "30 2 * * *",
            "*/20 * * * *",
            "0 1 * * *",
            "15 3 * * 0",
            "0 2 29 3 *",
        ] {
            for (jitter, from) in [(0, "2026-03-27T00:07:00Z"), (7, "2026-10-23T00:07:00Z")] {
                let jitter = Duration::from_mins(jitter);
                let timing = Timing::parse(text, BERLIN, Some(jitter)).unwrap();
                for minutes in (0..4 * 24 * 60).step_by(13) {
                    let now = at(from) + TimeDelta::minutes(minutes);
                    let latest = timing.latest("a/b/c", now).unwrap();
                    let next = timing.next("a/b/c", now).unwrap();
                    assert!(latest <= now && now < next, "{text} at {now}");
                    assert_eq!(timing.next("a/b/c", latest), Some(next), "{text} at {now}");
                }
            }
        }
    }

    #[test]
    fn words_spread_over_their_window_and_each_database_has_its_own_moment() {
        let timing = Timing::parse("daily", BERLIN, None).unwrap();
        let midnight = at("2026-11-20T23:00:00Z");
        let moments: Vec<_> = (0..200)
            .map(|number| {
                timing
                    .next(&format!("web-1/db/{number}"), midnight)
                    .unwrap()
            })
            .collect();
        let window = at("2026-11-21T00:00:00Z")..at("2026-11-21T04:00:00Z");
        assert!(moments.iter().all(|moment| window.contains(moment)));
        let distinct: std::collections::BTreeSet<_> = moments.iter().collect();
        assert!(distinct.len() > 190, "{}", distinct.len());
        // Known for ever: another version that computed another one would run everything twice that day.
        assert_eq!(
            timing.jitter("web-1/shop-db/shop"),
            TimeDelta::seconds(3722)
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in [
            "",
            "dayly",
            "61 * * * *",
            "* * * *",
            "0 0 * * * *",
            "* * * * * * 2026",
        ] {
            let error = Timing::parse(wrong, BERLIN, None).unwrap_err();
            assert!(
                matches!(error, BadTiming::NoSchedule { .. }),
                "{wrong}: {error}"
            );
        }
        let never = Timing::parse("0 0 30 2 *", BERLIN, None).unwrap_err();
        assert_eq!(
            never.to_string(),
            "\"0 0 30 2 *\" never comes: there is no such day"
        );
        let long = Timing::parse("daily", BERLIN, Some(Duration::from_hours(800))).unwrap_err();
        assert!(matches!(long, BadTiming::Spread(_)));
    }

    #[test]
    fn every_word_is_a_schedule() {
        let now = at("2026-11-21T12:00:00Z");
        let next: Vec<_> = Timing::words()
            .map(|word| exact(word).next("x", now).unwrap().to_rfc3339())
            .collect();
        assert_eq!(
            next,
            [
                "2026-11-21T13:00:00+00:00",
                "2026-11-22T00:00:00+00:00",
                "2026-11-22T00:00:00+00:00",
                "2026-12-01T00:00:00+00:00",
                "2027-01-01T00:00:00+00:00",
                "2027-01-01T00:00:00+00:00"
            ]
        );
    }
}
