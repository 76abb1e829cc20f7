//! Where running steps stand, for whoever watches: in memory only, rates over the last seconds.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::clock::SharedClock;
use holdfast_proto::{
    names::HostName,
    task::{TaskPhase, TaskProgress},
};
use tokio::sync::broadcast;

use super::{JobId, view::JobProgress};
use crate::dispatch::ProgressSink;

/// A rate is measured over this time.
const WINDOW: TimeDelta = TimeDelta::seconds(8);
/// A watcher that lags further behind loses the oldest.
const BACKLOG: usize = 256;

/// Progress of all jobs that run here.
#[derive(Debug, Clone)]
pub struct Board {
    channel: broadcast::Sender<(JobId, JobProgress)>,
    /// The last of each job and host, for watchers that come later.
    latest: Arc<Mutex<HashMap<(JobId, HostName), JobProgress>>>,
}

/// Hands progress of one run of a step to the board.
#[derive(Debug, Clone)]
pub struct Reporter {
    board: Board,
    job: JobId,
    clock: SharedClock,
}

/// Bytes done over time, of one phase.
#[derive(Debug, Default)]
pub struct Rate {
    phase: Option<TaskPhase>,
    seen: VecDeque<(DateTime<Utc>, u64)>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            channel: broadcast::Sender::new(BACKLOG),
            latest: Arc::default(),
        }
    }
}

impl Board {
    #[must_use]
    pub fn reporter(&self, job: JobId, clock: SharedClock) -> Reporter {
        Reporter {
            board: self.clone(),
            job,
            clock,
        }
    }

    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<(JobId, JobProgress)> {
        self.channel.subscribe()
    }

    /// What the job's tasks told last.
    #[must_use]
    pub fn latest(&self, job: JobId) -> Vec<JobProgress> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = latest
            .iter()
            .filter(|((of, _), _)| *of == job)
            .map(|(_, progress)| progress.clone())
            .collect();
        found.sort_by(|a, b| a.host.cmp(&b.host));
        found
    }

    /// A step ended: its progress says nothing any more.
    pub fn clear(&self, job: JobId) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.retain(|(of, _), _| *of != job);
    }

    fn put(&self, job: JobId, progress: JobProgress) {
        let key = (job, progress.host.clone());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.insert(key, progress.clone());
        drop(latest);
        // Nobody watching is fine.
        let _ = self.channel.send((job, progress));
    }
}

impl Reporter {
    /// For one task on the host.
    #[must_use]
    pub fn sink(&self, step: &str, host: &HostName) -> ProgressSink {
        let (reporter, step, host) = (self.clone(), step.to_owned(), host.clone());
        let rate = Mutex::new(Rate::default());
        Arc::new(move |progress| {
            let now = reporter.clock.now();
            let mut rate = rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.observe(now, &progress);
            let bytes_per_second = rate.per_second(now);
            drop(rate);
            let told = JobProgress {
                step: step.clone(),
                host: host.clone(),
                remaining: remaining(&progress, bytes_per_second),
                bytes_per_second,
                progress,
            };
            reporter.board.put(reporter.job, told);
        })
    }
}

impl Rate {
    /// Takes a report in; a new phase begins anew.
    pub fn observe(&mut self, now: DateTime<Utc>, progress: &TaskProgress) {
        let went_back = self
            .seen
            .back()
            .is_some_and(|(_, bytes)| *bytes > progress.bytes_done);
        if self.phase != Some(progress.phase) || went_back {
            self.phase = Some(progress.phase);
            self.seen.clear();
        }
        self.seen.push_back((now, progress.bytes_done));
        // One report older than the window stays: the rate spans the whole of it.
        while self.seen.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.seen.pop_front();
        }
    }

    /// 0 while there is nothing to compare.
    #[must_use]
    pub fn per_second(&self, now: DateTime<Utc>) -> u64 {
        let (Some((since, first)), Some((_, last))) = (self.seen.front(), self.seen.back()) else {
            return 0;
        };
        let millis = u64::try_from((now - *since).num_milliseconds()).unwrap_or(0);
        let bytes = u128::from(last.saturating_sub(*first)) * 1000;
        bytes
            .checked_div(u128::from(millis))
            .map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// None while the total or the rate is not known.
fn remaining(progress: &TaskProgress, bytes_per_second: u64) -> Option<Duration> {
    if progress.bytes_total == 0 || bytes_per_second == 0 {
        return None;
    }
    let left = progress.bytes_total.saturating_sub(progress.bytes_done);
    Some(Duration::from_secs(left.div_ceil(bytes_per_second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(phase: TaskPhase, bytes_done: u64) -> TaskProgress {
        TaskProgress {
            phase,
            bytes_done,
            bytes_total: 10_000,
            rows_done: 0,
            items_done: 0,
            items_total: 0,
            current: String::new(),
            verified_rows: 0,
            path: None,
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn rate_is_of_the_last_seconds_only() {
        let mut rate = Rate::default();
        // 1000 bytes/s for 20 s, then nothing.
        for second in 0..=20u32 {
            rate.observe(
                at(second.into()),
                &report(TaskPhase::Data, u64::from(second) * 1000),
            );
        }
        assert_eq!(rate.per_second(at(20)), 1000);
        for second in 21..=40 {
            rate.observe(at(second), &report(TaskPhase::Data, 20_000));
        }
        assert_eq!(rate.per_second(at(40)), 0);
    }

    #[test]
    fn a_new_phase_or_attempt_begins_anew() {
        let mut rate = Rate::default();
        rate.observe(at(0), &report(TaskPhase::Data, 5000));
        rate.observe(at(1), &report(TaskPhase::ReadBack, 100));
        assert_eq!(rate.per_second(at(1)), 0);
        rate.observe(at(2), &report(TaskPhase::ReadBack, 300));
        assert_eq!(rate.per_second(at(2)), 200);
        rate.observe(at(3), &report(TaskPhase::ReadBack, 0));
        assert_eq!(rate.per_second(at(3)), 0);
    }

    #[test]
    fn remaining_needs_a_total_and_a_rate() {
        let progress = report(TaskPhase::Data, 4_000);
        assert_eq!(remaining(&progress, 0), None);
        assert_eq!(remaining(&progress, 1_000), Some(Duration::from_secs(6)));
        let unknown = TaskProgress {
            bytes_total: 0,
            ..progress
        };
        assert_eq!(remaining(&unknown, 1_000), None);
    }
}
