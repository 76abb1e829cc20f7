//! What a kind of job consists of. The engine knows jobs only through these two traits.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::task::{FailureKind, TaskFailure};
use serde::Serialize;
use serde_json::Value;

use super::{
    JobId,
    event::{Leftover, Why},
    locks::ResourceWish,
    position::Position,
    retry::Patience,
    step::StepContext,
    view::JobReport,
};

/// One kind of job, with the request that this job was made from.
#[async_trait]
pub trait Definition: Debug + Send + Sync {
    /// For lists: "web-1/shop-db/shop → web-2/shop-db/shop_test".
    fn title(&self) -> String;

    /// Why a request makes no sense, whatever the world looks like. Asked once, at submission.
    ///
    /// # Errors
    /// The reason, for the operator.
    fn check(&self) -> Result<(), String>;

    /// Everything that nobody else may touch (or change) meanwhile.
    fn locks(&self) -> Vec<ResourceWish>;

    /// Names are stored in events and parts of task ids: lower case, no `/`, never changed.
    fn steps(&self) -> Vec<Box<dyn Step + '_>>;

    /// From submission to end; past it the job is undone. Waiting for locks counts.
    fn deadline(&self) -> Duration;

    /// How long an operator may undo it after success; none when there is nothing to undo.
    fn keep(&self) -> Option<Duration>;

    /// What the job found out, from the outputs of its steps, and what can be done about it now.
    fn report(&self, job: JobId, position: &Position, now: DateTime<Utc>) -> JobReport;

    /// What it made so far and no undo takes away, for people; empty when nothing.
    fn left(&self, position: &Position) -> String {
        let _ = position;
        String::new()
    }

    /// Drops what the job left behind, when its time is over. Absent is success.
    ///
    /// # Errors
    /// What the task failed with; tried again later.
    async fn sweep(&self, leftover: &Leftover, ctx: &StepContext) -> Result<bool, TaskFailure>;
}

/// One step: work that can be repeated, and its way back that can be repeated too.
#[async_trait]
pub trait Step: Debug + Send + Sync {
    fn name(&self) -> &str;

    /// Does the work. Runs again after a crash (same attempt: its tasks are joined) and after a
    /// failure (next attempt: whatever an earlier one left must not disturb).
    ///
    /// # Errors
    /// Why it could not; [`Patience`] and `retryable` decide whether it is tried again.
    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure>;

    /// Takes the work back: whole, half or none of it may be there. What it puts out is what it could not
    /// take back, or wants said; nothing is [`StepDone::default`].
    ///
    /// # Errors
    /// Why it could not. While the host is away it is tried for ever, else the job gets stuck.
    async fn undo(&self, ctx: &StepContext, why: &Why) -> Result<StepDone, TaskFailure>;

    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// The output in one line, for the history; of the undo too.
    fn says(&self, output: &Value) -> String {
        let _ = output;
        String::new()
    }
}

/// What a step, or its undo, ends with.
#[derive(Debug, Default)]
pub struct StepDone {
    pub output: Value,
    pub leaves: Vec<Leftover>,
}

/// A failure, with what the step found out all the same.
#[derive(Debug)]
pub struct StepFailure {
    pub failure: TaskFailure,
    /// Null when nothing.
    pub output: Value,
}

impl StepDone {
    /// Nothing stays behind.
    ///
    /// # Errors
    /// When the output cannot be stored, which is a defect.
    pub fn with(output: &impl Serialize) -> Result<Self, StepFailure> {
        Ok(Self {
            output: to_value(output)?,
            leaves: Vec::new(),
        })
    }
}

impl StepFailure {
    /// The failure, and the findings that come with it.
    #[must_use]
    pub fn with(failure: TaskFailure, output: &impl Serialize) -> Self {
        match to_value(output) {
            Ok(output) => Self { failure, output },
            Err(defect) => Self::from(defect),
        }
    }
}

impl From<TaskFailure> for StepFailure {
    fn from(failure: TaskFailure) -> Self {
        Self {
            failure,
            output: Value::Null,
        }
    }
}

fn to_value(output: &impl Serialize) -> Result<Value, TaskFailure> {
    serde_json::to_value(output)
        .map_err(|error| defect(format!("a step's output cannot be stored: {error}")))
}

/// A defect of ours: trying again cannot help.
#[must_use]
pub fn defect(message: String) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Internal,
        message,
        advice: "this is a defect of Holdfast: keep the controller's log and report it".to_owned(),
        retryable: false,
    }
}
