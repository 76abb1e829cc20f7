//! Removal in two phases: what is not wanted is marked, and goes when it has been marked for long enough
//! and is still not wanted. In between an operator can pin it, and a job that had just chosen it begins to read it.

use chrono::{DateTime, TimeDelta, Utc};

/// How long a backup is marked before it goes, when the settings do not say.
pub const GRACE: TimeDelta = TimeDelta::hours(24);

/// What is to be done with one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is wanted and not marked.
    Leave,
    /// It is marked and wanted again.
    Unmark,
    /// It is not wanted: its time of grace begins now.
    Mark,
    /// Its time of grace goes on until then.
    Wait {
        until: DateTime<Utc>,
    },
    Remove,
}

/// A mark of the future (a clock went back) counts from then on: rather too late than too early.
#[must_use]
pub fn step(
    keep: bool,
    marked_at: Option<DateTime<Utc>>,
    grace: TimeDelta,
    now: DateTime<Utc>,
) -> Step {
    match (keep, marked_at) {
        (true, None) => Step::Leave,
        (true, Some(_)) => Step::Unmark,
        (false, None) => Step::Mark,
        (false, Some(since)) => {
            let until = since
                .checked_add_signed(grace)
                .unwrap_or(DateTime::<Utc>::MAX_UTC);
            if now > until {
                Step::Remove
            } else {
                Step::Wait { until }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_backup_is_marked_waits_and_goes() {
        let grace = TimeDelta::seconds(100);
        assert_eq!(step(true, None, grace, at(0)), Step::Leave);
        assert_eq!(step(false, None, grace, at(0)), Step::Mark);
        let wait = Step::Wait { until: at(100) };
        assert_eq!(step(false, Some(at(0)), grace, at(0)), wait);
        assert_eq!(step(false, Some(at(0)), grace, at(100)), wait);
        assert_eq!(step(false, Some(at(0)), grace, at(101)), Step::Remove);
        assert_eq!(step(true, Some(at(0)), grace, at(101)), Step::Unmark);
    }

    proptest! {
        /// Whatever clocks do: only what was marked, for longer than the grace, and is not wanted, goes.
        #[test]
        fn nothing_goes_that_was_not_marked_for_long_enough(
            keep: bool,
            marked in prop::option::of(-1_000_i64..1_000),
            grace in 0_i64..1_000,
            now in -1_000_i64..2_000,
        ) {
            let step = step(keep, marked.map(at), TimeDelta::seconds(grace), at(now));
            let long_enough = marked.is_some_and(|since| now - since > grace);
            prop_assert_eq!(step == Step::Remove, !keep && long_enough);
        }
    }
}
