//! Exchange the proven volume with the one that stands there, and the way back.

use async_trait::async_trait;
use holdfast_proto::task::{
    RestoredVolume, SwapVolume, SwappedVolume, TaskFailure, TaskResult, TaskSpec,
};

use super::{RestoreVolume, restore};
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    hold::{Held, hold},
    step::{StepContext, wrong_result},
};

#[derive(Debug)]
pub struct Swap<'a>(pub &'a RestoreVolume);

#[async_trait]
impl Step for Swap<'_> {
    fn name(&self) -> &'static str {
        "swap"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let swapped = self.swap(ctx, false).await?;
        let mut done = StepDone::with(&swapped)?;
        done.leaves.push(self.0.leftover(ctx.job, ctx.now()));
        Ok(done)
    }

    /// What runs with it by now is stopped first; the undo of `stop` starts it again. What was in use since stays
    /// beside what comes back; of an unfinished job it goes with its own step.
    async fn undo(&self, ctx: &StepContext, why: &Why) -> Result<StepDone, TaskFailure> {
        hold(ctx, "hold", Held::Volume(&self.0.target)).await?;
        self.swap(ctx, true).await?;
        let mut done = StepDone::default();
        if let Why::Requested { .. } = why {
            done.leaves.push(self.0.leftover(ctx.job, ctx.now()));
        }
        Ok(done)
    }
}

impl Swap<'_> {
    async fn swap(&self, ctx: &StepContext, back: bool) -> Result<SwappedVolume, TaskFailure> {
        let restored: RestoredVolume = ctx.output(restore::NAME)?;
        let target = &self.0.target;
        let spec = TaskSpec::SwapVolume(SwapVolume {
            volume: target.volume.clone(),
            other: self.0.made(ctx.job).volume,
            root: restored.root,
            back,
        });
        match ctx.task("", &target.host, spec).await? {
            TaskResult::SwappedVolume(swapped) => Ok(swapped),
            other => Err(wrong_result("swap-volume", &other)),
        }
    }
}
