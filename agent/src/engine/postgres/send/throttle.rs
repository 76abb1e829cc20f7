//! A limit on bytes a second over all streams of a sending.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

/// A bucket that fills at the given rate and holds a quarter of a second of it.
pub(crate) struct Throttle {
    /// Bytes a second; 0 = no limit.
    rate: u64,
    /// When the bytes let through so far are paid for.
    paid_until: Mutex<Instant>,
}

const BURST: Duration = Duration::from_millis(250);

impl Throttle {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate,
            paid_until: Mutex::new(Instant::now()),
        }
    }

    /// Waits until so many bytes may go.
    pub(crate) async fn pass(&self, bytes: u64) {
        if self.rate == 0 {
            return;
        }
        let wait_until = {
            let mut paid_until = self.paid_until.lock().await;
            let now = Instant::now();
            let from = (*paid_until).max(now.checked_sub(BURST).unwrap_or(now));
            *paid_until = from + cost(bytes, self.rate);
            *paid_until
        };
        tokio::time::sleep_until(wait_until).await;
    }
}

fn cost(bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_take_their_time_over_all_streams() {
        let throttle = Throttle::new(1_000_000);
        let begin = Instant::now();
        for _ in 0..10 {
            tokio::join!(throttle.pass(500_000), throttle.pass(500_000));
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(9_700), "{took:?}");
        assert!(took <= Duration::from_millis(10_300), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let throttle = Throttle::new(0);
        let begin = Instant::now();
        throttle.pass(u64::MAX).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
