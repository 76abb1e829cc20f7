//! Remove what a job has kept beside a volume, when its time is over.

use holdfast_proto::task::{FailureKind, RemoveVolume, TaskFailure, TaskResult, TaskSpec};

use super::RestoreVolume;
use crate::job::{
    event::Leftover,
    step::{StepContext, wrong_result},
};

/// Whether it was still there. The agent looks whether it wears the job's label.
///
/// # Errors
/// What the removal failed with; a volume that the job has not made is refused here already.
pub async fn sweep(
    request: &RestoreVolume,
    leftover: &Leftover,
    ctx: &StepContext,
) -> Result<bool, TaskFailure> {
    let made = request.made(ctx.job);
    if leftover.database.volume().as_ref() != Some(&made) {
        return Err(TaskFailure {
            kind: FailureKind::Refused,
            message: format!("{} was not made by job {}", leftover.database, ctx.job),
            advice: "look at the job's events".to_owned(),
            retryable: false,
        });
    }
    remove(request, ctx).await
}

/// # Errors
/// A container has it, or the agent says why not.
pub async fn remove(request: &RestoreVolume, ctx: &StepContext) -> Result<bool, TaskFailure> {
    let made = request.made(ctx.job);
    let spec = TaskSpec::RemoveVolume(RemoveVolume {
        volume: made.volume,
        job: ctx.job,
    });
    match ctx.task("", &made.host, spec).await? {
        TaskResult::RemovedVolume(removed) => Ok(removed.existed),
        other => Err(wrong_result("remove-volume", &other)),
    }
}
