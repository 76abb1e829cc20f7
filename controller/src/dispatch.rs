//! Tasks to hosts: start or join, wait for the end, over whichever session the host has now.

pub mod sessions;
#[cfg(test)]
mod tests;
mod waiter;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use holdfast_chassis::telemetry;
use holdfast_proto::{
    link::{ControllerMessage, StartTask},
    names::{Direction, HostName, TaskId},
    task::{TaskFailure, TaskProgress, TaskResult, TaskSpec},
};
use uuid::Uuid;

use self::sessions::Sessions;

/// Called with each progress report of a task; must not block.
pub type ProgressSink = Arc<dyn Fn(TaskProgress) + Send + Sync>;

/// How jobs reach agents.
///
/// The job engine's proofs run against a scripted one; the real one is the session table.
#[async_trait]
pub trait Dispatch: Send + Sync + fmt::Debug {
    /// Starts the task on the host, or joins it when it runs there already, and waits for its end.
    ///
    /// A host that is not connected is waited for; a lost connection is waited out. When the
    /// agent comes back as a new process the task has died with the old one.
    ///
    /// # Errors
    /// What the task failed with; `Unavailable` and retryable when its agent died or the host
    /// stayed away longer than the configured patience.
    async fn run(
        &self,
        host: &HostName,
        task: StartTask,
        progress: ProgressSink,
    ) -> Result<TaskResult, TaskFailure>;

    /// Asks the host to end the task; its `run` then ends with `Cancelled`. No error when it is gone.
    async fn cancel(&self, host: &HostName, task_id: &str, epoch: u64);

    /// What the task's `run` returned is stored for good: the agent may forget it. Until then it
    /// hands the outcome to every `run` of the same id, so that a crash in between costs nothing.
    async fn forget(&self, host: &HostName, task_id: &str);
}

/// A task that belongs to no job: nobody comes back for it, and it ends with the wait for it.
#[must_use]
pub fn outside_jobs(verb: &str, spec: TaskSpec) -> StartTask {
    let id = TaskId {
        job: 0,
        step: format!("{verb}-{}", Uuid::now_v7()),
        direction: Direction::Do,
        attempt: 1,
    };
    StartTask {
        task_id: id.to_string(),
        job: 0,
        epoch: 0,
        spec,
        traceparent: telemetry::current_traceparent(),
    }
}

/// The real one: tasks travel over the sessions that agents hold open.
#[derive(Debug, Clone)]
pub struct SessionDispatch {
    sessions: Sessions,
    /// How long a host that is not connected is waited for.
    host_patience: Duration,
}

impl SessionDispatch {
    #[must_use]
    pub fn new(sessions: Sessions, host_patience: Duration) -> Self {
        Self {
            sessions,
            host_patience,
        }
    }
}

#[async_trait]
impl Dispatch for SessionDispatch {
    async fn run(
        &self,
        host: &HostName,
        task: StartTask,
        progress: ProgressSink,
    ) -> Result<TaskResult, TaskFailure> {
        waiter::run(&self.sessions, self.host_patience, host, &task, progress).await
    }

    async fn cancel(&self, host: &HostName, task_id: &str, epoch: u64) {
        self.sessions.with_tasks(host, |tasks, session| {
            tasks.cancel(task_id, epoch);
            if let Some(session) = session {
                session.push(ControllerMessage::CancelTask {
                    task_id: task_id.to_owned(),
                    epoch,
                });
            }
        });
    }

    async fn forget(&self, host: &HostName, task_id: &str) {
        self.sessions
            .with_tasks(host, |tasks, session| tasks.forget(task_id, session));
    }
}
