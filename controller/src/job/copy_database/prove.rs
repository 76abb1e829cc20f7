//! Prove the copy before anybody can use it: what left the source is what the target holds, and
//! the source's user-count checks hold on it.

use async_trait::async_trait;
use holdfast_proto::{
    check::CheckOutcome,
    task::{FailureKind, TaskFailure, TaskSpec},
};
use serde_json::Value;

use super::{CopyDatabase, transfer};
use crate::{
    check::Check,
    job::{
        definition::{Step, StepDone, StepFailure},
        event::Why,
        landing::{
            checks::{Held, hold},
            conclude::{Claim, NAME, Transferred, proof_says, run_check},
            proof::compare,
        },
        step::{StepContext, catalog_failure},
    },
};

#[derive(Debug)]
pub struct Prove<'a>(pub &'a CopyDatabase);

#[async_trait]
impl Step for Prove<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let image: Transferred = ctx.output(transfer::NAME)?;
        let comparison = compare(self.0.proof, &image.sent.manifest, &image.received);
        // A copy that is not equal needs no counting.
        let held = if comparison.differences.is_empty() {
            self.hold_checks(ctx, &image).await?
        } else {
            Vec::new()
        };
        let claim = Claim {
            level: self.0.proof,
            what: &format!("the copy of {}", self.0.source),
            differs: "This must not happen: look at the disks and memory of both hosts, keep the logs and \
                      report it",
            broken: "Look at the check's history and at the source",
        };
        claim.conclude(ctx, image, comparison, held)
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        proof_says(output, "no check is set on the source")
    }
}

impl Prove<'_> {
    async fn hold_checks(
        &self,
        ctx: &StepContext,
        image: &Transferred,
    ) -> Result<Vec<Held>, TaskFailure> {
        let request = self.0;
        if request.selection.schema_only {
            return Ok(Vec::new());
        }
        let checks = ctx
            .world
            .catalog
            .checks_of(&request.source)
            .await
            .map_err(|error| catalog_failure(&error))?;
        let mut held = Vec::with_capacity(checks.len());
        for check in checks {
            let (source, copy) = self.run_twice(ctx, &check).await?;
            let snapshot_at = image.sent.manifest.taken_at;
            held.push(hold(
                &check,
                &source,
                &copy,
                snapshot_at,
                request.is_partial(),
            ));
        }
        Ok(held)
    }

    /// On the source as it is now, and on the copy.
    async fn run_twice(
        &self,
        ctx: &StepContext,
        check: &Check,
    ) -> Result<(CheckOutcome, CheckOutcome), TaskFailure> {
        let (source, target) = (&self.0.source, &self.0.target);
        let staging = self.0.landing().staging(ctx.job);
        let on_source = check.task_on(&source.instance, &source.database);
        let on_copy = check.task_on(&staging.instance, &staging.database);
        let (source_part, copy_part) = (
            format!("check-{}-source", check.id),
            format!("check-{}-copy", check.id),
        );
        let (on_source, on_copy) = tokio::join!(
            run_check(
                ctx,
                &source_part,
                &source.host,
                TaskSpec::RunCheck(on_source)
            ),
            run_check(ctx, &copy_part, &target.host, TaskSpec::RunCheck(on_copy)),
        );
        // The source may be gone by now; the copy is proven all the same, by the fixed limits.
        let on_source = on_source.or_else(|failure| match failure.kind {
            FailureKind::Cancelled => Err(failure),
            _ => Ok(CheckOutcome {
                at: ctx.now(),
                count: None,
                newest: None,
                error: failure.message,
            }),
        })?;
        Ok((on_source, on_copy?))
    }
}
