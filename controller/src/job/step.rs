//! What a step works with: the tasks it may run, what earlier steps put out, and whether to stop.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use holdfast_chassis::clock::SharedClock;
use holdfast_proto::{
    link::StartTask,
    names::{Direction, HostName, TaskId},
    task::{FailureKind, TaskFailure, TaskProgress, TaskResult, TaskSpec},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    JobId,
    definition::defect,
    hosts::{Hosts, Standing},
    position::{Position, Way},
    progress::Reporter,
    shelf::Shelf,
};
use crate::{catalog::Catalog, dispatch::Dispatch};

/// How often a host that is away is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The parts of the controller that steps reach.
#[derive(Debug, Clone)]
pub struct World {
    pub catalog: Catalog,
    pub dispatch: Arc<dyn Dispatch>,
    pub hosts: Arc<dyn Hosts>,
    pub shelf: Arc<dyn Shelf>,
    pub clock: SharedClock,
}

/// One run of one step, in one direction, under one lease.
#[derive(Debug)]
pub struct StepContext {
    pub job: JobId,
    pub world: World,
    /// Of the lease: agents refuse an older one.
    pub epoch: u64,
    pub step: String,
    pub way: Way,
    pub attempt: u32,
    pub traceparent: String,
    /// Ends running tasks; the step then fails with `Cancelled`.
    pub cancel: CancellationToken,
    pub reporter: Reporter,
    /// Outputs of the steps before.
    pub position: Position,
    /// Tasks whose outcome the agents keep until it is stored here.
    ran: Mutex<Vec<(HostName, String)>>,
}

impl StepContext {
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "it is the sum of them")]
    pub fn new(
        job: JobId,
        world: World,
        epoch: u64,
        (step, way, attempt): (&str, Way, u32),
        traceparent: String,
        cancel: CancellationToken,
        reporter: Reporter,
        position: Position,
    ) -> Self {
        Self {
            job,
            world,
            epoch,
            step: step.to_owned(),
            way,
            attempt,
            traceparent,
            cancel,
            reporter,
            position,
            ran: Mutex::new(Vec::new()),
        }
    }

    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.world.clock.now()
    }

    /// What an earlier step put out.
    ///
    /// # Errors
    /// A defect: it has not run, or put out something else.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<T, TaskFailure> {
        let value = self.position.output(step).cloned().unwrap_or(Value::Null);
        serde_json::from_value(value).map_err(|error| {
            let job = self.job;
            defect(format!(
                "step {step} of job {job} left nothing that can be read: {error}"
            ))
        })
    }

    /// Runs the verb on the host, or joins it when this attempt ran it before. A step that runs
    /// several names each with its own `part`.
    ///
    /// # Errors
    /// What the task failed with; `Cancelled` after the job's cancellation.
    pub async fn task(
        &self,
        part: &str,
        host: &HostName,
        spec: TaskSpec,
    ) -> Result<TaskResult, TaskFailure> {
        self.task_until(part, host, spec, &self.cancel).await
    }

    /// Like [`Self::task`], ended by a token of the step's own (a child of `cancel`).
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn task_until(
        &self,
        part: &str,
        host: &HostName,
        spec: TaskSpec,
        cancel: &CancellationToken,
    ) -> Result<TaskResult, TaskFailure> {
        if self.way == Way::Undo {
            self.in_reach(host)?;
        }
        let task_id = self.task_id(part, self.attempt);
        let start = StartTask {
            task_id: task_id.clone(),
            job: self.job,
            epoch: self.epoch,
            spec,
            traceparent: self.traceparent.clone(),
        };
        self.ran().push((host.clone(), task_id.clone()));
        let dispatch = &self.world.dispatch;
        let run = dispatch.run(host, start, self.reporter.sink(&self.step, host));
        tokio::pin!(run);
        tokio::select! {
            biased;
            ended = &mut run => return ended,
            () = cancel.cancelled() => {}
        }
        dispatch.cancel(host, &task_id, self.epoch).await;
        run.await
    }

    /// An undo or a sweep waits for a host in the catalog, not in one of this controller's few places.
    fn in_reach(&self, host: &HostName) -> Result<(), TaskFailure> {
        let (message, advice, retryable) = match self.world.hosts.standing(host) {
            Standing::Connected { .. } => return Ok(()),
            Standing::Away { .. } => (
                format!("host {host} has no session"),
                "it is tried again by itself; look at the host's agent: systemctl status holdfast-agent".to_owned(),
                true,
            ),
            Standing::Unknown => (
                format!("host {host} is not in the fleet any more"),
                format!("enrol it again under this name, then: ctl job undo {}", self.job),
                false,
            ),
        };
        Err(TaskFailure {
            kind: FailureKind::Unavailable,
            message,
            advice,
            retryable,
        })
    }

    /// Ends what an earlier attempt may have left running. No error when nothing runs.
    pub async fn end_earlier_attempts(&self, part: &str, host: &HostName) {
        for attempt in 1..self.attempt {
            let task_id = self.task_id(part, attempt);
            self.world.dispatch.cancel(host, &task_id, self.epoch).await;
        }
    }

    /// For the undo: ends what any attempt of the step may have left running, also one that nobody waits
    /// for any more. A controller that gave up on a host owes it the end, and may have died since.
    pub async fn end_attempts(&self, part: &str, host: &HostName) {
        for attempt in 1..self.position.next_attempt(&self.step, Way::Do) {
            let task_id = self.task_id_of(Way::Do, part, attempt);
            self.world.dispatch.cancel(host, &task_id, self.epoch).await;
        }
    }

    /// Waits until the host has a session, for so long at most.
    pub async fn wait_connected(&self, host: &HostName, limit: Duration) -> Standing {
        let connected = async {
            loop {
                let standing = self.world.hosts.standing(host);
                if !matches!(standing, Standing::Away { .. }) {
                    return standing;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::select! {
            found = tokio::time::timeout(limit, connected) => match found {
                Ok(standing) => standing,
                Err(_) => self.world.hosts.standing(host),
            },
            () = self.cancel.cancelled() => self.world.hosts.standing(host),
        }
    }

    /// The outcome is stored: the agents need not keep theirs.
    pub async fn release_outcomes(&self) {
        let ran = std::mem::take(&mut *self.ran());
        for (host, task_id) in ran {
            self.world.dispatch.forget(&host, &task_id).await;
        }
    }

    /// Progress of a task for watchers, from a step that reports for itself.
    pub fn report(&self, host: &HostName, progress: TaskProgress) {
        (self.reporter.sink(&self.step, host))(progress);
    }

    fn task_id(&self, part: &str, attempt: u32) -> String {
        self.task_id_of(self.way, part, attempt)
    }

    fn task_id_of(&self, way: Way, part: &str, attempt: u32) -> String {
        let step = if part.is_empty() {
            self.step.clone()
        } else {
            format!("{}.{part}", self.step)
        };
        TaskId {
            job: self.job,
            step,
            direction: match way {
                Way::Do => Direction::Do,
                Way::Undo => Direction::Undo,
            },
            attempt,
        }
        .to_string()
    }

    fn ran(&self) -> std::sync::MutexGuard<'_, Vec<(HostName, String)>> {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An agent that answers a verb with the result of another one: a defect.
#[must_use]
pub fn wrong_result(verb: &str, result: &TaskResult) -> TaskFailure {
    let got = match result {
        TaskResult::DatabaseFacts(_) => "database facts",
        TaskResult::BackedUpDatabase(_) => "a backup",
        TaskResult::RestoredImage(_) => "a restored image",
        TaskResult::StagedDatabase(_) => "a staged database",
        TaskResult::SentImage(_) => "a sent image",
        TaskResult::ReceivedImage(_) => "a received image",
        TaskResult::CheckOutcome(_) => "a check's outcome",
        TaskResult::PublishedDatabase(_) => "a published database",
        TaskResult::UnpublishedDatabase(_) => "an unpublished database",
        TaskResult::DroppedDatabase(_) => "a dropped database",
        TaskResult::MeasuredVolume(_) => "a measured volume",
        TaskResult::ProbedInstance(_) => "a probed instance",
        TaskResult::DroppedRoles(_) => "dropped roles",
        TaskResult::StartedSandbox(_) => "a throwaway server",
        TaskResult::RemovedSandbox(_) => "a removed throwaway server",
        TaskResult::ExaminedDatabase(_) => "an examined database",
        TaskResult::MergedRows(_) => "merged rows",
        TaskResult::UnmergedRows(_) => "rows taken out",
        TaskResult::VolumeFacts(_) => "facts of a volume",
        TaskResult::HeldContainers(_) => "stopped containers",
        TaskResult::ReleasedContainers(_) => "started containers",
        TaskResult::BackedUpVolume(_) => "a backup of a volume",
        TaskResult::RestoredVolume(_) => "a restored volume",
        TaskResult::SwappedVolume(_) => "exchanged volumes",
        TaskResult::RemovedVolume(_) => "a removed volume",
        TaskResult::TriagedData(_) => "how a data directory is",
        TaskResult::GuardStatus(_) => "how a guard is",
    };
    defect(format!("the agent answered {verb} with {got}"))
}

/// The catalog did not do what a step needed: trying again may help.
#[must_use]
pub fn catalog_failure(error: &crate::catalog::CatalogError) -> TaskFailure {
    use std::error::Error as _;
    let cause = error
        .source()
        .map(|source| format!(": {source}"))
        .unwrap_or_default();
    TaskFailure {
        kind: FailureKind::Unavailable,
        message: format!("{error}{cause}"),
        advice: "look whether the catalog's PostgreSQL is up".to_owned(),
        retryable: true,
    }
}
