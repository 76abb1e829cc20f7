//! Retry with jittered backoff; the only place that names the backoff library.

use std::{fmt, future::Future, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use crate::telemetry::Chain;

/// How long to wait between attempts, and how many there are.
///
/// The wait doubles from `first` to `longest`; jitter adds up to the same again, so that
/// a fleet that lost its controller at one moment does not come back at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    first: Duration,
    longest: Duration,
    attempts: Option<usize>,
}

/// The waits between attempts, each drawn when it is asked for. Ends after the last attempt but one.
#[derive(Debug)]
pub struct Backoff {
    policy: Policy,
    delays: ExponentialBackoff,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RetryError<E: std::error::Error + 'static> {
    #[error("gave up to {what} after {attempts} attempts")]
    GaveUp {
        what: String,
        attempts: usize,
        #[source]
        source: E,
    },
    #[error("could not {what}, and trying again cannot help")]
    Permanent {
        what: String,
        #[source]
        source: E,
    },
    #[error("stopped trying to {what}")]
    Stopped { what: String },
}

impl Policy {
    /// Never gives up.
    #[must_use]
    pub const fn forever(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            attempts: None,
        }
    }

    /// Gives up after so many attempts; 0 counts as 1.
    #[must_use]
    pub const fn attempts(attempts: usize, first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            attempts: Some(attempts),
        }
    }

    #[must_use]
    pub fn backoff(self) -> Backoff {
        Backoff {
            policy: self,
            delays: self.delays(),
        }
    }

    fn delays(self) -> ExponentialBackoff {
        let builder = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(self.first)
            .with_max_delay(self.longest);
        match self.attempts {
            None => builder.without_max_times().build(),
            Some(attempts) => builder.with_max_times(attempts.saturating_sub(1)).build(),
        }
    }
}

impl Backoff {
    /// After a success: the next failure waits for `first` again.
    pub fn reset(&mut self) {
        self.delays = self.policy.delays();
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.delays.next()
    }
}

/// Does `op` until it succeeds, the policy's attempts are used up, or `shutdown` is cancelled.
///
/// Every failure is logged once, here, at warn. `what` completes "could not …".
///
/// # Errors
/// The last failure when the policy gives up; `Stopped` when cancelled while running or waiting.
pub async fn retry<T, E, Op, Running>(
    policy: Policy,
    shutdown: &CancellationToken,
    what: &str,
    op: Op,
) -> Result<T, RetryError<E>>
where
    E: std::error::Error + 'static,
    Op: FnMut() -> Running,
    Running: Future<Output = Result<T, E>>,
{
    retry_while(policy, shutdown, what, |_| true, op).await
}

/// As [`retry`], but ends at once with a failure that trying again cannot help (`may_help` says no).
///
/// # Errors
/// As [`retry`], and `Permanent`.
pub async fn retry_while<T, E, Op, Running>(
    policy: Policy,
    shutdown: &CancellationToken,
    what: &str,
    may_help: impl Fn(&E) -> bool,
    mut op: Op,
) -> Result<T, RetryError<E>>
where
    E: std::error::Error + 'static,
    Op: FnMut() -> Running,
    Running: Future<Output = Result<T, E>>,
{
    let mut backoff = policy.backoff();
    let stopped = || RetryError::Stopped {
        what: what.to_owned(),
    };
    for attempt in 1.. {
        let result = shutdown
            .run_until_cancelled(op())
            .await
            .ok_or_else(stopped)?;
        let source = match result {
            Ok(done) => return Ok(done),
            Err(source) => source,
        };
        if !may_help(&source) {
            return Err(RetryError::Permanent {
                what: what.to_owned(),
                source,
            });
        }
        let Some(delay) = backoff.next() else {
            return Err(RetryError::GaveUp {
                what: what.to_owned(),
                attempts: attempt,
                source,
            });
        };
        log_failure(what, attempt, delay, &source);
        shutdown
            .run_until_cancelled(tokio::time::sleep(delay))
            .await
            .ok_or_else(stopped)?;
    }
    Err(stopped())
}

fn log_failure(
    what: &str,
    attempt: usize,
    delay: Duration,
    error: &(dyn std::error::Error + 'static),
) {
    tracing::warn!(
        attempt,
        again_in = %Seconds(delay),
        "could not {what}: {}",
        Chain(error)
    );
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no answer to call {0}")]
    struct NoAnswer(usize);

    const SOON: Duration = Duration::from_micros(50);

    proptest! {
        #[test]
        fn waits_double_up_to_the_longest_with_jitter_on_top(
            first in 1_u64..2_000,
            times in 1_usize..20,
            factor in 1_u64..50,
        ) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(first * factor));
            let mut base = first;
            for delay in Policy::forever(first, longest).backoff().take(times) {
                prop_assert!(delay >= base && delay <= base * 2, "{delay:?} for {base:?}");
                base = (base * 2).min(longest);
            }
        }

        #[test]
        fn a_bounded_policy_waits_once_less_than_it_tries(attempts in 0_usize..30) {
            let waits = Policy::attempts(attempts, SOON, SOON).backoff().count();
            prop_assert_eq!(waits, attempts.saturating_sub(1));
        }
    }

    #[test]
    fn a_reset_backoff_begins_again() {
        let second = Duration::from_secs(1);
        let mut backoff = Policy::forever(second, 60 * second).backoff();
        assert!(backoff.by_ref().take(6).last().unwrap() >= 32 * second);
        backoff.reset();
        assert!(backoff.next().unwrap() <= 2 * second);
    }

    #[tokio::test]
    async fn what_succeeds_at_last_is_returned() {
        let calls = Cell::new(0);
        let policy = Policy::forever(SOON, SOON);
        let done: Result<_, RetryError<NoAnswer>> =
            retry(policy, &CancellationToken::new(), "call", || async {
                calls.set(calls.get() + 1);
                if calls.get() < 4 {
                    return Err(NoAnswer(calls.get()));
                }
                Ok(calls.get())
            })
            .await;
        assert_eq!(done.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_bounded_policy_gives_up_with_the_last_failure() {
        let calls = Cell::new(0);
        let policy = Policy::attempts(3, SOON, SOON);
        let failed: Result<(), _> = retry(policy, &CancellationToken::new(), "call", || async {
            calls.set(calls.get() + 1);
            Err(NoAnswer(calls.get()))
        })
        .await;
        match failed {
            Err(RetryError::GaveUp {
                attempts: 3,
                source: NoAnswer(3),
                ..
            }) => {}
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_cannot_be_helped_is_not_tried_again() {
        let calls = Cell::new(0);
        let policy = Policy::forever(SOON, SOON);
        let shutdown = CancellationToken::new();
        let failed: Result<(), _> = retry_while(
            policy,
            &shutdown,
            "call",
            |_| false,
            || async {
                calls.set(calls.get() + 1);
                Err(NoAnswer(calls.get()))
            },
        )
        .await;
        assert!(matches!(
            failed,
            Err(RetryError::Permanent {
                source: NoAnswer(1),
                ..
            })
        ));
    }

    #[tokio::test]
    async fn shutdown_ends_a_wait_and_a_running_attempt() {
        let hour = Duration::from_secs(3600);
        let policy = Policy::forever(hour, hour);

        let shutdown = CancellationToken::new();
        let waiting: Result<(), _> = retry(policy, &shutdown, "call", || {
            shutdown.cancel();
            std::future::ready(Err(NoAnswer(1)))
        })
        .await;
        assert!(matches!(waiting, Err(RetryError::Stopped { .. })));

        let shutdown = CancellationToken::new();
        let running: Result<(), RetryError<NoAnswer>> = retry(policy, &shutdown, "call", || {
            shutdown.cancel();
            std::future::pending()
        })
        .await;
        assert!(matches!(running, Err(RetryError::Stopped { .. })));
    }
}
