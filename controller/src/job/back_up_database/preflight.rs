//! What could stand in the way of a backup, asked before anything is read.

use async_trait::async_trait;
use holdfast_proto::task::TaskFailure;
use serde_json::Value;

use super::BackUpDatabase;
use crate::job::{
    copy_database::preflight::{self, Examined},
    definition::{Step, StepDone, StepFailure},
    event::Why,
    retry::Patience,
    step::StepContext,
};

pub const NAME: &str = preflight::NAME;

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a BackUpDatabase);

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let source =
            preflight::describe(ctx, "source", &request.source, Some(&request.selection)).await;
        if ctx.cancel.is_cancelled()
            && let Err(failure) = source
        {
            return Err(failure.into());
        }
        let mut lines = Vec::new();
        preflight::source::ask(
            &request.source,
            source.as_ref(),
            &request.selection,
            &mut lines,
        );
        let unreachable = source.is_err();
        let examined = Examined {
            lines,
            source: source.ok(),
            target: None,
        };
        preflight::conclude(&examined, unreachable)
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience::NONE
    }

    fn says(&self, output: &Value) -> String {
        preflight::says(output)
    }
}
