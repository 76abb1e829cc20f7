//! The table of tasks: start or join, hear how they go, keep their outcomes until they are stored elsewhere.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use holdfast_proto::{
    link::{StartTask, TaskState},
    task::{FailureKind, TaskEvent, TaskFailure, TaskProgress, TaskResult, TaskSpec},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info, info_span, warn};

use super::{
    ProgressSender,
    fence::{Fence, FenceError},
};

/// At most this often a task's progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// What does a verb, given where to report progress and how it learns that it is to end.
pub type Perform = Arc<
    dyn Fn(
            TaskSpec,
            ProgressSender,
            CancellationToken,
        ) -> BoxFuture<'static, Result<TaskResult, TaskFailure>>
        + Send
        + Sync,
>;

/// What a task told, addressed.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub task_id: String,
    pub epoch: u64,
    pub event: TaskEvent,
}

/// The table; clones share it.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    perform: Perform,
    fence: Mutex<Fence>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    tasks: HashMap<String, Entry>,
    /// Of the session that is there now.
    listener: Option<mpsc::UnboundedSender<Told>>,
}

struct Entry {
    epoch: u64,
    state: State,
}

enum State {
    Running(CancellationToken),
    Ended(Result<TaskResult, TaskFailure>),
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("tasks", &self.states())
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// # Errors
    /// When the epochs that this host has seen cannot be read from the state directory.
    pub fn new(state_dir: &Path, perform: Perform) -> io::Result<Self> {
        let fence = Mutex::new(Fence::open(state_dir)?);
        Ok(Self(Arc::new(Inner {
            perform,
            fence,
            table: Mutex::default(),
        })))
    }

    /// From now on this receiver hears what the tasks tell; an earlier one hears nothing more.
    #[must_use]
    pub fn listen(&self) -> mpsc::UnboundedReceiver<Told> {
        let (send, receive) = mpsc::unbounded_channel();
        self.table().listener = Some(send);
        receive
    }

    /// Every task that runs, or whose outcome has not been forgotten.
    #[must_use]
    pub fn states(&self) -> Vec<TaskState> {
        let table = self.table();
        let mut states: Vec<_> = table
            .tasks
            .iter()
            .map(|(id, entry)| TaskState {
                task_id: id.clone(),
                epoch: entry.epoch,
            })
            .collect();
        states.sort_by(|a, b| a.task_id.cmp(&b.task_id));
        states
    }

    /// Starts the task, or joins it when it is here already. What comes of it is told.
    pub fn start(&self, task: StartTask) {
        let StartTask {
            task_id,
            job,
            epoch,
            spec,
            traceparent,
        } = task;
        let passed = self
            .0
            .fence
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pass(job, epoch);
        if let Err(error) = passed {
            warn!(task = %task_id, %error, "a task was refused");
            let failure = refused(&error);
            self.table()
                .tell(&task_id, epoch, TaskEvent::Ended(Err(failure)));
            return;
        }
        let mut table = self.table();
        if let Some(entry) = table.tasks.get_mut(&task_id) {
            entry.epoch = epoch;
            let ended = match &entry.state {
                State::Running(_) => None,
                State::Ended(outcome) => Some(outcome.clone()),
            };
            table.tell(&task_id, epoch, TaskEvent::Accepted { joined: true });
            if let Some(outcome) = ended {
                table.tell(&task_id, epoch, TaskEvent::Ended(outcome));
            }
            return;
        }
        let cancel = CancellationToken::new();
        table.tasks.insert(
            task_id.clone(),
            Entry {
                epoch,
                state: State::Running(cancel.clone()),
            },
        );
        table.tell(&task_id, epoch, TaskEvent::Accepted { joined: false });
        drop(table);
        let span = info_span!("task", task = %task_id, verb = verb(&spec));
        holdfast_chassis::telemetry::set_parent(&span, &traceparent);
        tokio::spawn(self.clone().run(task_id, spec, cancel).instrument(span));
    }

    /// Tells that the task is not done here. Nothing of it is kept: who asks again is told again.
    pub fn refuse(&self, task_id: &str, epoch: u64, failure: TaskFailure) {
        warn!(task = %task_id, "a task was refused: {failure}");
        self.table()
            .tell(task_id, epoch, TaskEvent::Ended(Err(failure)));
    }

    /// Asks a task to end. One that is not here, or has ended, stays as it is.
    pub fn cancel(&self, task_id: &str, epoch: u64) {
        let table = self.table();
        if let Some(Entry {
            epoch: own,
            state: State::Running(cancel),
        }) = table.tasks.get(task_id)
            && epoch >= *own
        {
            info!(task = task_id, "a task is to end");
            cancel.cancel();
        }
    }

    /// The outcome is stored elsewhere. A task that still runs is not forgotten.
    pub fn forget(&self, task_id: &str) {
        let mut table = self.table();
        if let Some(Entry {
            state: State::Ended(_),
            ..
        }) = table.tasks.get(task_id)
        {
            table.tasks.remove(task_id);
        }
    }

    /// Ends every running task, and waits until they have.
    pub async fn shut_down(&self) {
        let running: Vec<_> = {
            let table = self.table();
            table
                .tasks
                .values()
                .filter_map(|entry| match &entry.state {
                    State::Running(cancel) => Some(cancel.clone()),
                    State::Ended(_) => None,
                })
                .collect()
        };
        running.iter().for_each(CancellationToken::cancel);
        while self
            .table()
            .tasks
            .values()
            .any(|entry| matches!(entry.state, State::Running(_)))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn run(self, task_id: String, spec: TaskSpec, cancel: CancellationToken) {
        let (progress, reports) = ProgressSender::new();
        let telling = tokio::spawn(self.clone().tell_progress(task_id.clone(), reports));
        info!("a task starts");
        let performing = (self.0.perform)(spec, progress, cancel);
        let outcome = std::panic::AssertUnwindSafe(performing)
            .catch_unwind()
            .await;
        let outcome = outcome.unwrap_or_else(|_| Err(panicked()));
        // It ends by itself when the sender is gone, after the last report.
        let _ = telling.await;
        match &outcome {
            Ok(_) => info!("a task has succeeded"),
            Err(failure) => {
                warn!(kind = ?failure.kind, retryable = failure.retryable, "a task has failed: {failure}")
            }
        }
        let mut table = self.table();
        let Some(entry) = table.tasks.get_mut(&task_id) else {
            return;
        };
        entry.state = State::Ended(outcome.clone());
        let epoch = entry.epoch;
        table.tell(&task_id, epoch, TaskEvent::Ended(outcome));
    }

    async fn tell_progress(
        self,
        task_id: String,
        mut reports: watch::Receiver<Option<TaskProgress>>,
    ) {
        while reports.changed().await.is_ok() {
            let Some(progress) = reports.borrow_and_update().clone() else {
                continue;
            };
            {
                let table = self.table();
                let Some(entry) = table.tasks.get(&task_id) else {
                    return;
                };
                table.tell(&task_id, entry.epoch, TaskEvent::Progress(progress));
            }
            tokio::time::sleep(PROGRESS_EVERY).await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn tell(&self, task_id: &str, epoch: u64, event: TaskEvent) {
        if let Some(listener) = &self.listener {
            // Without a session nobody hears it; the outcome is told again when the task is joined.
            let _ = listener.send(Told {
                task_id: task_id.to_owned(),
                epoch,
                event,
            });
        }
    }
}

fn verb(spec: &TaskSpec) -> &'static str {
    match spec {
        TaskSpec::DescribeDatabase(_) => "describe-database",
        TaskSpec::StageDatabase(_) => "stage-database",
        TaskSpec::SendImage(_) => "send-image",
        TaskSpec::BackUpDatabase(_) => "back-up-database",
        TaskSpec::RestoreImage(_) => "restore-image",
        TaskSpec::ReceiveImage(_) => "receive-image",
        TaskSpec::RunCheck(_) => "run-check",
        TaskSpec::PublishDatabase(_) => "publish-database",
        TaskSpec::UnpublishDatabase(_) => "unpublish-database",
        TaskSpec::DropDatabase(_) => "drop-database",
        TaskSpec::MeasureVolume(_) => "measure-volume",
        TaskSpec::ProbeInstance(_) => "probe-instance",
        TaskSpec::DropRoles(_) => "drop-roles",
        TaskSpec::StartSandbox(_) => "start-sandbox",
        TaskSpec::RemoveSandbox(_) => "remove-sandbox",
        TaskSpec::ExamineDatabase(_) => "examine-database",
        TaskSpec::MergeRows(_) => "merge-rows",
        TaskSpec::UnmergeRows(_) => "unmerge-rows",
        TaskSpec::DescribeVolume(_) => "describe-volume",
        TaskSpec::HoldContainers(_) => "hold-containers",
        TaskSpec::ReleaseContainers(_) => "release-containers",
        TaskSpec::BackUpVolume(_) => "back-up-volume",
        TaskSpec::RestoreVolume(_) => "restore-volume",
        TaskSpec::SwapVolume(_) => "swap-volume",
        TaskSpec::RemoveVolume(_) => "remove-volume",
        TaskSpec::TriageData(_) => "triage-data",
        TaskSpec::AskGuard(_) => "ask-guard",
    }
}

fn refused(error: &FenceError) -> TaskFailure {
    let (kind, retryable) = match error {
        FenceError::Stale { .. } => (FailureKind::Refused, false),
        FenceError::Write { .. } => (FailureKind::Exhausted, true),
    };
    TaskFailure {
        kind,
        message: error.to_string(),
        advice: String::new(),
        retryable,
    }
}

fn panicked() -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Internal,
        message: "the agent made a mistake in this task and gave it up".to_owned(),
        advice: "report this as a defect, with the agent's log".to_owned(),
        retryable: false,
    }
}

#[cfg(test)]
#[path = "runtime/tests.rs"]
mod tests;
