//! Everything that could stand in the way of a restore, asked before anything is touched.

use async_trait::async_trait;
use holdfast_proto::task::{DatabaseFacts, FailureKind, TaskFailure};
use serde_json::Value;

use super::{
    RestoreDatabase,
    contents::{Known, known},
};
use crate::job::{
    JobId,
    copy_database::preflight::{self, Examined, PreflightLine, compatibility, room, target},
    definition::{Step, StepDone, StepFailure},
    event::Why,
    landing::dependents,
    retry::Patience,
    shelf::OutOfReach,
    step::StepContext,
};

pub mod questions;

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a RestoreDatabase);

/// What the questions are asked about.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub job: JobId,
    pub request: &'a RestoreDatabase,
    /// None: there is no such backup.
    pub backup: Option<&'a Known>,
    /// Whether the repository holds the backup's snapshot; none without a backup.
    pub held: Option<&'a Result<bool, OutOfReach>>,
    /// Or why it could not be read.
    pub target: Result<&'a DatabaseFacts, &'a TaskFailure>,
}

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &'static str {
        preflight::NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let backup = known(&ctx.world.catalog, request).await?;
        let (held, target) = tokio::join!(
            held(ctx, request, backup.as_ref()),
            preflight::describe(ctx, "target", &request.target, None),
        );
        if let Err(failure) = &target
            && failure.kind == FailureKind::Cancelled
            && ctx.cancel.is_cancelled()
        {
            return Err(failure.clone().into());
        }
        let lines = examine(&Inputs {
            job: ctx.job,
            request,
            backup: backup.as_ref(),
            held: held.as_ref(),
            target: target.as_ref(),
        });
        let out_of_reach = target.is_err() || matches!(held, Some(Err(_)));
        let examined = Examined {
            lines,
            source: backup.and_then(|known| known.contents.ok().map(|noted| noted.source)),
            target: target.ok(),
        };
        preflight::conclude(&examined, out_of_reach)
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

/// Every question that the facts allow to ask. What could not be checked is never passed.
#[must_use]
pub fn examine(inputs: &Inputs<'_>) -> Vec<PreflightLine> {
    let mut lines = Vec::new();
    let Inputs {
        job,
        request,
        backup,
        held,
        target,
    } = *inputs;
    questions::ask(request, backup, held, &mut lines);
    target::ask(job, &request.landing(), target, &mut lines);
    dependents::ask(&request.dependents, &mut lines);
    let noted = backup.and_then(|known| known.contents.as_ref().ok());
    if let (Some(noted), Ok(target)) = (noted, target) {
        compatibility::ask(&noted.source, target, &mut lines);
        room::ask(
            noted.selection.schema_only,
            &noted.source,
            target,
            &mut lines,
        );
    }
    lines
}

async fn held(
    ctx: &StepContext,
    request: &RestoreDatabase,
    backup: Option<&Known>,
) -> Option<Result<bool, OutOfReach>> {
    let snapshot = &backup?.backup.snapshot_id;
    let shelf = &ctx.world.shelf;
    Some(shelf.holds(&request.source.host, snapshot).await)
}

#[cfg(test)]
mod tests;
