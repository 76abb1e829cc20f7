//! Remove the throwaway servers and volumes, with everything that was restored into them.

use async_trait::async_trait;
use holdfast_proto::task::{RemoveSandbox, TaskFailure, TaskResult, TaskSpec};

use super::RebuildHost;
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    step::{StepContext, wrong_result},
};

#[derive(Debug)]
pub struct Remove<'a>(pub &'a RebuildHost);

#[async_trait]
impl Step for Remove<'_> {
    fn name(&self) -> &str {
        "remove"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        remove(ctx, self.0).await?;
        Ok(StepDone::default())
    }

    /// The undo of the steps that made them removes them as well.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }
}

/// All of them by the job's label, whatever any attempt made. Absent is success.
///
/// # Errors
/// When the host is away, or its container engine refuses.
pub async fn remove(ctx: &StepContext, request: &RebuildHost) -> Result<(), TaskFailure> {
    let spec = TaskSpec::RemoveSandbox(RemoveSandbox { job: ctx.job });
    match ctx.task("remove", &request.host, spec).await? {
        TaskResult::RemovedSandbox(_) => Ok(()),
        other => Err(wrong_result("remove-sandbox", &other)),
    }
}
