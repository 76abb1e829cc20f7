//! The verdict on an outcome: pure. Ok, suspicious with reasons, or could not run.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::check::{CheckLimits, CheckOutcome, CheckVerdict};

#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    pub verdict: CheckVerdict,
    /// None when ok.
    pub reasons: Vec<Reason>,
}

/// What is wrong with an outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    CouldNotRun(String),
    /// The statement gave no number: nothing can be said.
    NoCount,
    BelowMin {
        count: i64,
        min: i64,
    },
    AboveMax {
        count: i64,
        max: i64,
    },
    Dropped {
        from: i64,
        to: i64,
        percent: f64,
        limit: f64,
    },
    TooOld {
        newest: DateTime<Utc>,
        age: TimeDelta,
        limit: TimeDelta,
    },
    /// Newer than now: it would pass for fresh for ever.
    InFuture {
        newest: DateTime<Utc>,
    },
    /// An age is limited, and no row has one.
    NoNewest,
}

/// Clocks differ.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

impl Reason {
    /// The same limit is broken, by whatever numbers.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CouldNotRun(error) => write!(f, "could not run: {error}"),
            Self::NoCount => f.write_str("the count statement gave no number"),
            Self::BelowMin { count, min } => write!(f, "{count} is below the minimum of {min}"),
            Self::AboveMax { count, max } => write!(f, "{count} is above the maximum of {max}"),
            Self::Dropped {
                from,
                to,
                percent,
                limit,
            } => write!(
                f,
                "dropped by {percent:.1} % from {from} to {to}, at most {limit} % is allowed"
            ),
            Self::TooOld { newest, age, limit } => write!(
                f,
                "the newest row is {} old ({} UTC), at most {} is allowed",
                days(*age),
                newest.format("%F %H:%M"),
                days(*limit)
            ),
            Self::InFuture { newest } => write!(
                f,
                "the newest row is of the future ({} UTC): whether rows still come is not known",
                newest.format("%F %H:%M")
            ),
            Self::NoNewest => f.write_str("there is no newest row"),
        }
    }
}

/// What the outcome means under the limits. `last_ok` is the last run that was ok: a fall is
/// measured from there, so that it stays suspicious for as long as it has not been made good.
#[must_use]
pub fn judge(
    limits: &CheckLimits,
    asks_newest: bool,
    last_ok: Option<&CheckOutcome>,
    outcome: &CheckOutcome,
    now: DateTime<Utc>,
) -> Judgement {
    if !outcome.error.is_empty() {
        return could_not_run(Reason::CouldNotRun(outcome.error.clone()));
    }
    let Some(count) = outcome.count else {
        return could_not_run(Reason::NoCount);
    };
    let below = limits.min.filter(|min| count < *min);
    let above = limits.max.filter(|max| count > *max);
    let reasons: Vec<_> = [
        below.map(|min| Reason::BelowMin { count, min }),
        above.map(|max| Reason::AboveMax { count, max }),
        drop(limits, last_ok, count),
        age(limits, asks_newest, outcome, now),
    ]
    .into_iter()
    .flatten()
    .collect();
    Judgement {
        verdict: if reasons.is_empty() {
            CheckVerdict::Ok
        } else {
            CheckVerdict::Suspicious
        },
        reasons,
    }
}

fn could_not_run(reason: Reason) -> Judgement {
    Judgement {
        verdict: CheckVerdict::CouldNotRun,
        reasons: vec![reason],
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a percentage of counts far below 2^52"
)]
fn drop(limits: &CheckLimits, last_ok: Option<&CheckOutcome>, count: i64) -> Option<Reason> {
    let limit = limits.max_drop_percent?;
    let from = last_ok?.count?;
    if from <= 0 || count >= from {
        return None;
    }
    let percent = (from as f64 - count as f64) / from as f64 * 100.0;
    (percent > limit).then_some(Reason::Dropped {
        from,
        to: count,
        percent,
        limit,
    })
}

fn age(
    limits: &CheckLimits,
    asks_newest: bool,
    outcome: &CheckOutcome,
    now: DateTime<Utc>,
) -> Option<Reason> {
    let limit = TimeDelta::from_std(limits.max_age?).ok()?;
    if !asks_newest {
        return None;
    }
    let Some(newest) = outcome.newest else {
        return Some(Reason::NoNewest);
    };
    let age = now - newest;
    if age < -AHEAD {
        return Some(Reason::InFuture { newest });
    }
    (age > limit).then_some(Reason::TooOld { newest, age, limit })
}

fn days(time: TimeDelta) -> String {
    match (time.num_days(), time.num_hours(), time.num_minutes()) {
        (0, 0, 0) => format!("{} s", time.num_seconds()),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, _) => format!("{hours} h"),
        (1, _, _) => "1 day".to_owned(),
        (days, _, _) => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    fn counted(count: i64) -> CheckOutcome {
        CheckOutcome {
            at: now(),
            count: Some(count),
            newest: None,
            error: String::new(),
        }
    }

    fn limits() -> CheckLimits {
        CheckLimits {
            min: Some(10),
            max: Some(1000),
            max_drop_percent: Some(10.0),
            max_age: None,
        }
    }

    fn reasons(limits: &CheckLimits, last_ok: Option<i64>, outcome: &CheckOutcome) -> Vec<String> {
        let last_ok = last_ok.map(counted);
        judge(limits, true, last_ok.as_ref(), outcome, now())
            .reasons
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn incident_4_fourteen_users_become_one() {
        assert_eq!(
            reasons(&limits(), Some(14), &counted(1)),
            [
                "1 is below the minimum of 10",
                "dropped by 92.9 % from 14 to 1, at most 10 % is allowed"
            ]
        );
    }

    #[test]
    fn limits_are_inclusive() {
        for fine in [10, 1000] {
            assert!(reasons(&limits(), None, &counted(fine)).is_empty());
        }
        assert_eq!(reasons(&limits(), None, &counted(9)).len(), 1);
        assert_eq!(reasons(&limits(), None, &counted(1001)).len(), 1);
        assert!(reasons(&limits(), Some(100), &counted(90)).is_empty());
        assert_eq!(reasons(&limits(), Some(100), &counted(89)).len(), 1);
    }

    #[test]
    fn the_newest_row_must_be_young_and_there() {
        let limits = CheckLimits {
            max_age: Some(Duration::from_hours(7 * 24)),
            ..CheckLimits::default()
        };
        let aged = |days| CheckOutcome {
            newest: Some(now() - TimeDelta::days(days)),
            ..counted(5)
        };
        assert!(reasons(&limits, None, &aged(7)).is_empty());
        assert_eq!(
            reasons(&limits, None, &aged(8)),
            ["the newest row is 8 days old (2024-09-26 00:00 UTC), at most 7 days is allowed"]
        );
        assert_eq!(
            reasons(&limits, None, &counted(5)),
            ["there is no newest row"]
        );
        assert!(
            judge(&limits, false, None, &counted(5), now())
                .reasons
                .is_empty()
        );
    }

    #[test]
    fn what_did_not_run_is_never_ok() {
        let failed = CheckOutcome {
            error: "relation \"users\" does not exist".to_owned(),
            ..counted(50)
        };
        let judged = judge(&limits(), false, None, &failed, now());
        assert_eq!(judged.verdict, CheckVerdict::CouldNotRun);
        let silent = CheckOutcome {
            count: None,
            ..counted(0)
        };
        let judged = judge(&CheckLimits::default(), false, None, &silent, now());
        assert_eq!(judged.verdict, CheckVerdict::CouldNotRun);
    }

    proptest! {
        // Ok says exactly that every limit holds.
        #[test]
        fn ok_means_every_limit_holds(
            count in any::<i64>(), before in proptest::option::of(1i64..1_000_000),
            min in proptest::option::of(-5i64..1000), max in proptest::option::of(0i64..100_000),
            max_drop_percent in proptest::option::of(0.0f64..100.0),
        ) {
            let limits = CheckLimits { min, max, max_drop_percent, max_age: None };
            let last_ok = before.map(counted);
            let judged = judge(&limits, false, last_ok.as_ref(), &counted(count), now());
            let holds = min.is_none_or(|min| count >= min)
                && max.is_none_or(|max| count <= max)
                && match (before, max_drop_percent) {
                    (Some(before), Some(limit)) => {
                        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
                        let percent = (before as f64 - count as f64) / before as f64 * 100.0;
                        percent <= limit
                    }
                    _ => true,
                };
            prop_assert_eq!(judged.verdict == CheckVerdict::Ok, holds);
            prop_assert_eq!(judged.reasons.is_empty(), holds);
        }
    }
}
