//! Start the throwaway server, and the way back: it is removed with everything that it wrote.

use async_trait::async_trait;
use holdfast_proto::task::{
    RemoveSandbox, SandboxLimits, StartedSandbox, TaskFailure, TaskResult, TaskSpec,
};
use serde_json::Value;

use super::{DrillBackup, preflight::wanted, read, read::WasRead};
use crate::job::{
    back_up_database::record::BackupContents,
    definition::{Step, StepDone, StepFailure, defect},
    event::Why,
    step::{StepContext, catalog_failure, wrong_result},
};

pub const NAME: &str = "sandbox";

#[derive(Debug)]
pub struct Sandbox<'a>(pub &'a DrillBackup);

#[async_trait]
impl Step for Sandbox<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let read: WasRead = ctx.output(read::NAME)?;
        if !read.found.damage.is_empty() {
            // What is damaged is not restored.
            return StepDone::with(&StartedSandbox {
                instance: String::new(),
                image_id: String::new(),
                limits: SandboxLimits::default(),
            });
        }
        let noted = noted(ctx, self.0).await?;
        let spec = wanted(self.0, &noted, ctx.job).map_err(|line| defect(line.detail))?;
        ctx.end_earlier_attempts("", &self.0.host).await;
        match ctx
            .task("", &self.0.host, TaskSpec::StartSandbox(spec))
            .await?
        {
            TaskResult::StartedSandbox(started) => StepDone::with(&started),
            other => Err(wrong_result("start-sandbox", &other).into()),
        }
    }

    /// By the job's label alone: whatever any attempt made, and whoever died over it.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("", &self.0.host).await;
        remove(ctx, self.0).await?;
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        let started = serde_json::from_value::<StartedSandbox>(output.clone());
        started.map(|started| started.instance).unwrap_or_default()
    }
}

/// What the catalog keeps of the backup; the preflight has read it.
///
/// # Errors
/// When it cannot be read any more.
pub async fn noted(
    ctx: &StepContext,
    request: &DrillBackup,
) -> Result<BackupContents, TaskFailure> {
    let manifest = ctx.world.catalog.backup_manifest(request.backup).await;
    let manifest = manifest.map_err(|error| catalog_failure(&error))?;
    BackupContents::read(manifest.unwrap_or_default()).map_err(defect)
}

/// Absent is success.
///
/// # Errors
/// When the host is away, or its container engine refuses.
pub async fn remove(ctx: &StepContext, request: &DrillBackup) -> Result<(), TaskFailure> {
    let spec = TaskSpec::RemoveSandbox(RemoveSandbox { job: ctx.job });
    match ctx.task("remove", &request.host, spec).await? {
        TaskResult::RemovedSandbox(_) => Ok(()),
        other => Err(wrong_result("remove-sandbox", &other)),
    }
}
