//! What follows a failure: pure. Again after a pause, the undo of the job, or a person.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::task::{FailureKind, TaskFailure};

use super::event::AfterFailure;

/// How often a step is tried, and how long the pauses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Failures after which it is given up; at least 1.
    pub failures: u32,
    /// Before the second try; doubles with each one.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            failures: 5,
            first_pause: Duration::from_secs(2),
            longest_pause: Duration::from_mins(1),
        }
    }
}

impl Patience {
    /// One try only.
    pub const NONE: Self = Self {
        failures: 1,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
    };

    /// Of undoing and sweeping: what half stands must not be given up for a host that is away.
    pub const UNDO: Self = Self {
        failures: 5,
        first_pause: Duration::from_secs(2),
        longest_pause: Duration::from_mins(5),
    };

    /// Pause after so many failures (1 = after the first).
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.first_pause
            .saturating_mul(1 << doublings)
            .min(self.longest_pause)
    }
}

/// After the step's work failed for the `failures`th time.
#[must_use]
pub fn after_step_failure(
    patience: &Patience,
    failures: u32,
    failure: &TaskFailure,
    now: DateTime<Utc>,
) -> AfterFailure {
    let hopeless = match failure.kind {
        FailureKind::Cancelled | FailureKind::DataMismatch => true,
        FailureKind::Invalid
        | FailureKind::Conflict
        | FailureKind::Unavailable
        | FailureKind::Exhausted
        | FailureKind::Refused
        | FailureKind::Internal => !failure.retryable,
    };
    if hopeless || failures >= patience.failures {
        return AfterFailure::GiveUp;
    }
    AfterFailure::RetryAt(later(now, patience.pause(failures)))
}

/// After its undo failed for the `failures`th time. A host that is away is waited for without end.
#[must_use]
pub fn after_undo_failure(
    patience: &Patience,
    failures: u32,
    failure: &TaskFailure,
    now: DateTime<Utc>,
) -> AfterFailure {
    let away = failure.kind == FailureKind::Unavailable && failure.retryable;
    let again = failure.retryable || failure.kind == FailureKind::Cancelled;
    if away || (again && failures < patience.failures) {
        AfterFailure::RetryAt(later(now, patience.pause(failures)))
    } else {
        AfterFailure::GiveUp
    }
}

fn later(now: DateTime<Utc>, pause: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(pause)
        .ok()
        .and_then(|pause| now.checked_add_signed(pause))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind, retryable: bool) -> TaskFailure {
        TaskFailure {
            kind,
            message: "no".to_owned(),
            advice: String::new(),
            retryable,
        }
    }

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let patience = Patience::default();
        let pauses = [1, 2, 3, 6, 40].map(|n| patience.pause(n).as_secs());
        assert_eq!(pauses, [2, 4, 8, 60, 60]);
    }

    #[test]
    fn steps_are_tried_again_only_when_that_can_help() {
        let patience = Patience::default();
        let decide = |kind, retryable, failures| {
            after_step_failure(&patience, failures, &failure(kind, retryable), now())
        };
        let in_4s = AfterFailure::RetryAt(now() + TimeDelta::seconds(4));
        assert_eq!(decide(FailureKind::Unavailable, true, 2), in_4s);
        assert_eq!(
            decide(FailureKind::Unavailable, true, 5),
            AfterFailure::GiveUp
        );
        assert_eq!(
            decide(FailureKind::Conflict, false, 1),
            AfterFailure::GiveUp
        );
        assert_eq!(
            decide(FailureKind::DataMismatch, true, 1),
            AfterFailure::GiveUp
        );
        assert_eq!(
            decide(FailureKind::Cancelled, true, 1),
            AfterFailure::GiveUp
        );
    }

    #[test]
    fn undo_waits_for_an_absent_host_for_ever_and_for_nothing_else() {
        let decide = |kind, retryable, failures| {
            let failure = failure(kind, retryable);
            after_undo_failure(&Patience::UNDO, failures, &failure, now())
        };
        let in_5min = AfterFailure::RetryAt(now() + TimeDelta::minutes(5));
        assert_eq!(decide(FailureKind::Unavailable, true, 10_000), in_5min);
        assert_eq!(decide(FailureKind::Refused, false, 1), AfterFailure::GiveUp);
        assert_eq!(
            decide(FailureKind::Exhausted, true, 5),
            AfterFailure::GiveUp
        );
        assert_ne!(
            decide(FailureKind::Exhausted, true, 4),
            AfterFailure::GiveUp
        );
    }
}
