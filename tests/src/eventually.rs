//! Waiting for a condition instead of sleeping.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// Tries until `attempt` gives `Ok`, every 50 ms.
///
/// # Panics
/// With `what` and the last refusal, when the deadline passes.
#[track_caller]
pub fn eventually<T, E: Debug>(
    deadline: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(refusal) if Instant::now() >= end => {
                panic!("{what} did not happen within {deadline:?}; last: {refusal:?}")
            }
            Err(_) => pause(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that waits between two looks"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
