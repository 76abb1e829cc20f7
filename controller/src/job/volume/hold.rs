//! Stop the containers that run with a volume, and start them again whatever becomes of the job.
//!
//! Which ones those are is the agent's to remember, on its disk: the output of a step that was interrupted does
//! not exist.

use async_trait::async_trait;
use holdfast_proto::{
    names::VolumeName,
    task::{
        HeldVolume, HoldVolume, ReleaseVolume, ReleasedVolume, TaskFailure, TaskResult, TaskSpec,
    },
};
use serde_json::Value;

use super::says;
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    retry::Patience,
    step::{StepContext, wrong_result},
};

/// Stops them; its undo starts them.
#[derive(Debug)]
pub struct Stop<'a> {
    pub volume: &'a VolumeName,
    /// False: nobody may run with it, and what is in the way is left alone.
    pub allowed: bool,
}

/// Starts them.
#[derive(Debug)]
pub struct Start<'a>(pub &'a VolumeName);

#[async_trait]
impl Step for Stop<'_> {
    fn name(&self) -> &'static str {
        "stop"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        if !self.allowed {
            return Ok(StepDone::default());
        }
        StepDone::with(&hold(ctx, "", self.volume).await?)
    }

    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        let released = release(ctx, self.volume).await?;
        StepDone::with(&released).map_err(|failed| failed.failure)
    }

    fn says(&self, output: &Value) -> String {
        let killed = says(output, "killed", "killed, since they did not end in time:");
        let stopped = says(output, "stopped", "stopped");
        let started = says(output, "started", "started");
        let told = [stopped, started, killed];
        let told: Vec<_> = told.into_iter().filter(|part| !part.is_empty()).collect();
        told.join("; ")
    }
}

#[async_trait]
impl Step for Start<'_> {
    fn name(&self) -> &'static str {
        "start"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        StepDone::with(&release(ctx, self.0).await?)
    }

    /// What has to be stopped is stopped by the step that needs it.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    /// Containers that stand still are worse than a job that takes its time.
    fn patience(&self) -> Patience {
        Patience {
            failures: 8,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        says(output, "started", "started")
    }
}

/// # Errors
/// What the agent says.
pub async fn hold(
    ctx: &StepContext,
    part: &str,
    volume: &VolumeName,
) -> Result<HeldVolume, TaskFailure> {
    let spec = TaskSpec::HoldVolume(HoldVolume {
        volume: volume.volume.clone(),
        job: ctx.job,
    });
    match ctx.task(part, &volume.host, spec).await? {
        TaskResult::HeldVolume(held) => Ok(held),
        other => Err(wrong_result("hold-volume", &other)),
    }
}

async fn release(ctx: &StepContext, volume: &VolumeName) -> Result<ReleasedVolume, TaskFailure> {
    let spec = TaskSpec::ReleaseVolume(ReleaseVolume { job: ctx.job });
    match ctx.task("", &volume.host, spec).await? {
        TaskResult::ReleasedVolume(released) => Ok(released),
        other => Err(wrong_result("release-volume", &other)),
    }
}
