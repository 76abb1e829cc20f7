//! Stop the containers that run with a volume, or use a database, and start them again whatever becomes of the job.
//!
//! Which ones those are is the agent's to remember, on its disk: the output of a step that was interrupted does
//! not exist.

use async_trait::async_trait;
use holdfast_proto::{
    names::{HostName, VolumeName},
    task::{
        HeldContainers, HoldContainers, ReleaseContainers, ReleasedContainers, TaskFailure,
        TaskResult, TaskSpec,
    },
};
use serde_json::Value;

use super::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    landing::dependents::Dependents,
    retry::Patience,
    step::{StepContext, wrong_result},
    volume::says,
};

/// Who is to stand still for a part of the job.
#[derive(Debug, Clone, Copy)]
pub enum Held<'a> {
    /// Every container that runs with it.
    Volume(&'a VolumeName),
    /// Containers of this host, by name.
    Dependents(&'a HostName, &'a Dependents),
}

/// Stops them; its undo starts them.
#[derive(Debug)]
pub struct Stop<'a> {
    pub held: Held<'a>,
    /// False: nobody may run with it, and what is in the way is left alone.
    pub allowed: bool,
}

/// Starts them.
#[derive(Debug)]
pub struct Start<'a> {
    pub held: Held<'a>,
    /// Its undo stops them again; else the step that needs it does that itself.
    pub again: bool,
}

#[async_trait]
impl Step for Stop<'_> {
    fn name(&self) -> &'static str {
        "stop"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        if !self.allowed {
            return Ok(StepDone::default());
        }
        StepDone::with(&hold(ctx, "", self.held).await?)
    }

    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        let released = release(ctx, self.held).await?;
        StepDone::with(&released).map_err(|failed| failed.failure)
    }

    fn says(&self, output: &Value) -> String {
        told(output)
    }
}

#[async_trait]
impl Step for Start<'_> {
    fn name(&self) -> &'static str {
        "start"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        StepDone::with(&release(ctx, self.held).await?)
    }

    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        if !self.again {
            return Ok(StepDone::default());
        }
        let held = hold(ctx, "", self.held).await?;
        StepDone::with(&held).map_err(|failed| failed.failure)
    }

    /// Containers that stand still are worse than a job that takes its time.
    fn patience(&self) -> Patience {
        Patience {
            failures: 8,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        told(output)
    }
}

/// # Errors
/// What the agent says.
pub async fn hold(
    ctx: &StepContext,
    part: &str,
    held: Held<'_>,
) -> Result<HeldContainers, TaskFailure> {
    let spec = TaskSpec::HoldContainers(held.spec(ctx.job));
    match ctx.task(part, held.host(), spec).await? {
        TaskResult::HeldContainers(held) => Ok(held),
        other => Err(wrong_result("hold-containers", &other)),
    }
}

async fn release(ctx: &StepContext, held: Held<'_>) -> Result<ReleasedContainers, TaskFailure> {
    let spec = TaskSpec::ReleaseContainers(ReleaseContainers { job: ctx.job });
    match ctx.task("", held.host(), spec).await? {
        TaskResult::ReleasedContainers(released) => Ok(released),
        other => Err(wrong_result("release-containers", &other)),
    }
}

/// Who was stopped, started or killed, in one line of the job's history.
fn told(output: &Value) -> String {
    let killed = says(output, "killed", "killed, since they did not end in time:");
    let stopped = says(output, "stopped", "stopped");
    let started = says(output, "started", "started");
    let told = [stopped, started, killed];
    let told: Vec<_> = told.into_iter().filter(|part| !part.is_empty()).collect();
    told.join("; ")
}

impl<'a> Held<'a> {
    fn host(self) -> &'a HostName {
        match self {
            Self::Volume(volume) => &volume.host,
            Self::Dependents(host, _) => host,
        }
    }

    fn spec(self, job: u64) -> HoldContainers {
        match self {
            Self::Volume(volume) => HoldContainers {
                volume: volume.volume.clone(),
                job,
                stop: Vec::new(),
                start: Vec::new(),
            },
            Self::Dependents(_, Dependents { stop, start, .. }) => HoldContainers {
                volume: String::new(),
                job,
                stop: stop.clone(),
                start: start.clone(),
            },
        }
    }
}
