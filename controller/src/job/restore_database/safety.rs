//! Back up what is about to be replaced, before anything is touched.
//!
//! The replaced database also stays beside the restored one for a while; this backup outlives it and its volume.

use async_trait::async_trait;
use holdfast_proto::task::{DatabaseFacts, FailureKind, Selection, TaskFailure};
use serde_json::Value;

use super::RestoreDatabase;
use crate::job::{
    back_up_database::{
        BackUpDatabase,
        record::{add, describe, says},
        store::store,
    },
    copy_database::preflight::{self, Examined, source},
    definition::{Step, StepDone, StepFailure},
    event::Why,
    step::StepContext,
};

/// Part of the step's tasks: the question and the backup itself.
const ASK: &str = "source";
const STORE: &str = "store";
/// The output when there is nothing to back up.
const NOTHING: &str = "nothing stands there";

#[derive(Debug)]
pub struct Safety<'a>(pub &'a RestoreDatabase);

#[async_trait]
impl Step for Safety<'_> {
    fn name(&self) -> &'static str {
        "safety"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let examined: Examined = ctx.output(preflight::NAME)?;
        if !examined.target.is_some_and(|target| target.exists) {
            return StepDone::with(&NOTHING);
        }
        let target = &self.0.target;
        for part in [ASK, STORE] {
            ctx.end_earlier_attempts(part, &target.host).await;
        }
        let request = BackUpDatabase {
            source: target.clone(),
            selection: Selection::default(),
            jobs: self.0.jobs,
            bandwidth: 0,
            is_safety: true,
        };
        let kind = request.kind();
        let facts = self.facts(ctx, &request).await?;
        let stored = store(ctx, STORE, &request, kind, facts.cpus).await;
        let stored = stored.map_err(|failure| self.explain(failure))?;
        let backup = describe(ctx, &request, kind, facts, stored).await?;
        add(ctx, &backup).await
    }

    /// Ends what may still run. A backup that was made stays: it is a good one, whatever became of the restore.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        for part in [ASK, STORE] {
            ctx.end_attempts(part, &self.0.target.host).await;
        }
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        match says(output) {
            _ if output == NOTHING => NOTHING.to_owned(),
            // An undo puts out nothing.
            backup if backup.is_empty() => backup,
            backup => format!("what is replaced is {backup}"),
        }
    }
}

impl Safety<'_> {
    /// Of what is replaced, as a source.
    async fn facts(
        &self,
        ctx: &StepContext,
        request: &BackUpDatabase,
    ) -> Result<DatabaseFacts, TaskFailure> {
        let told = preflight::describe(ctx, ASK, &request.source, Some(&request.selection)).await;
        let mut lines = Vec::new();
        source::ask(
            &request.source,
            told.as_ref(),
            &request.selection,
            &mut lines,
        );
        let facts = told.map_err(|failure| self.explain(failure))?;
        match preflight::refusal(&lines, false) {
            Some(refusal) => Err(self.explain(refusal)),
            None => Ok(facts),
        }
    }

    /// Said so that it is not taken for a failure of the restore itself, with the way around it.
    fn explain(&self, failure: TaskFailure) -> TaskFailure {
        if failure.kind == FailureKind::Cancelled {
            return failure;
        }
        let around = "nothing was touched; with --no-safety-backup it is replaced without one, and only kept beside";
        TaskFailure {
            message: format!(
                "{}, which is to be replaced, cannot be backed up first: {}",
                self.0.target, failure.message
            ),
            advice: match failure.advice.as_str() {
                "" => around.to_owned(),
                advice => format!("{advice}; {around}"),
            },
            ..failure
        }
    }
}
