//! What a running image has done so far, and its regular report.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use holdfast_proto::{
    image::DataPath,
    task::{TaskPhase, TaskProgress},
};

use crate::task::ProgressSender;

/// How often progress is told.
pub const TICK: Duration = Duration::from_millis(500);

/// Counters that many streams add to.
#[derive(Debug)]
pub struct Meter {
    pub bytes_done: AtomicU64,
    pub bytes_total: AtomicU64,
    pub rows_done: AtomicU64,
    pub verified_rows: AtomicU64,
    stage: Mutex<Stage>,
    /// When each phase began, in their order.
    begun: Mutex<Vec<(TaskPhase, Instant)>>,
}

#[derive(Debug, Clone)]
struct Stage {
    phase: TaskPhase,
    items_done: u64,
    items_total: u64,
    current: String,
    path: Option<DataPath>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            bytes_done: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            rows_done: AtomicU64::new(0),
            verified_rows: AtomicU64::new(0),
            stage: Mutex::new(Stage {
                phase: TaskPhase::Prepare,
                items_done: 0,
                items_total: 0,
                current: String::new(),
                path: None,
            }),
            begun: Mutex::new(vec![(TaskPhase::Prepare, Instant::now())]),
        }
    }
}

impl Meter {
    /// A new phase begins, of so many things (0: unknown).
    pub fn phase(&self, phase: TaskPhase, items_total: u64) {
        self.begun().push((phase, Instant::now()));
        self.with(|stage| {
            stage.phase = phase;
            stage.items_done = 0;
            stage.items_total = items_total;
            stage.current.clear();
        });
    }

    pub fn current(&self, what: &str) {
        self.with(|stage| what.clone_into(&mut stage.current));
    }

    pub fn item_done(&self) {
        self.with(|stage| stage.items_done += 1);
    }

    pub fn path(&self, path: Option<DataPath>) {
        self.with(|stage| stage.path = path.or(stage.path));
    }

    /// What has flowed, and the rows in it.
    pub fn flowed(&self, bytes: u64, rows: u64) {
        self.bytes_done.fetch_add(bytes, Relaxed);
        self.rows_done.fetch_add(rows, Relaxed);
    }

    /// What was counted and then lost, so that it will flow again.
    pub fn unflowed(&self, bytes: u64, rows: u64) {
        self.bytes_done.fetch_sub(bytes, Relaxed);
        self.rows_done.fetch_sub(rows, Relaxed);
    }

    #[must_use]
    pub fn progress(&self) -> TaskProgress {
        let stage = self.with(|stage| stage.clone());
        TaskProgress {
            phase: stage.phase,
            bytes_done: self.bytes_done.load(Relaxed),
            bytes_total: self.bytes_total.load(Relaxed),
            rows_done: self.rows_done.load(Relaxed),
            items_done: stage.items_done,
            items_total: stage.items_total,
            current: stage.current,
            verified_rows: self.verified_rows.load(Relaxed),
            path: stage.path,
        }
    }

    /// From the first beginning of one phase to the first of another (none: to now); none when either never began.
    #[must_use]
    pub fn between(&self, from: TaskPhase, to: Option<TaskPhase>) -> Option<Duration> {
        let begun = self.begun();
        let first = |wanted| begun.iter().find(|(phase, _)| *phase == wanted);
        let (_, from) = first(from)?;
        let to = match to {
            Some(to) => first(to)?.1,
            None => Instant::now(),
        };
        Some(to.saturating_duration_since(*from))
    }

    fn begun(&self) -> MutexGuard<'_, Vec<(TaskPhase, Instant)>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports for ever; drop it to stop.
    pub async fn report(&self, to: &ProgressSender) -> std::convert::Infallible {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            to.report(self.progress());
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Stage) -> T) -> T {
        change(&mut self.stage.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
