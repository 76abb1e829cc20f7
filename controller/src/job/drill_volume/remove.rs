//! Remove the volume after a drill that proved its backup.

use async_trait::async_trait;
use holdfast_proto::task::TaskFailure;

use super::{DrillVolume, restore};
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    step::StepContext,
};

#[derive(Debug)]
pub struct Remove<'a>(pub &'a DrillVolume);

#[async_trait]
impl Step for Remove<'_> {
    fn name(&self) -> &'static str {
        "remove"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        restore::remove(ctx, self.0).await?;
        Ok(StepDone::default())
    }

    /// The undo of the step that made it removes it as well.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }
}
