//! Prove the copy before anybody can use it: what left the source is what the target holds, and
//! the source's user-count checks hold on it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::{
    check::CheckOutcome,
    names::HostName,
    task::{FailureKind, TaskFailure, TaskResult, TaskSpec},
};
use serde_json::Value;

use super::{
    CopyDatabase,
    aftermath::created_roles,
    checks::{Held, hold},
    proof::{Comparison, CopyProof, compare},
    stage::staging,
    transfer::{self, Transferred},
};
use crate::{
    check::Check,
    job::{
        definition::{Step, StepDone, StepFailure},
        event::Why,
        position::Position,
        step::{StepContext, catalog_failure, wrong_result},
    },
};

pub const NAME: &str = "prove";

#[derive(Debug)]
pub struct Prove<'a>(pub &'a CopyDatabase);

#[async_trait]
impl Step for Prove<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let image: Transferred = ctx.output(transfer::NAME)?;
        let roles = created_roles(&ctx.position).names;
        let comparison = compare(self.0.proof, &image.sent.manifest, &image.received);
        // A copy that is not equal needs no counting.
        let held = if comparison.differences.is_empty() {
            self.hold_checks(ctx, &image).await?
        } else {
            Vec::new()
        };
        let refusal = refusal(self.0, &comparison, &held);
        let proof = self.proof(image, roles, comparison, held, refusal.is_none());
        match refusal {
            Some(failure) => Err(StepFailure::with(failure, &proof)),
            None => StepDone::with(&proof),
        }
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        let Ok(proof) = serde_json::from_value::<CopyProof>(output.clone()) else {
            return String::new();
        };
        let tables = units::plural(proof.relations.len() as u64, "table");
        let checks = match proof.checks.len() as u64 {
            0 => "no check is set on the source".to_owned(),
            1 => "1 check holds".to_owned(),
            held => format!("{} hold", units::plural(held, "check")),
        };
        let rows = units::plural(proof.rows, "row");
        format!("{tables} with {rows} equal; {checks}")
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
        let staging = staging(self.0, ctx.job);
        let on_source = check.task_on(&source.instance, &source.database);
        let on_copy = check.task_on(&staging.instance, &staging.database);
        let (source_part, copy_part) = (
            format!("check-{}-source", check.id),
            format!("check-{}-copy", check.id),
        );
        let (on_source, on_copy) = tokio::join!(
            outcome(
                ctx,
                &source_part,
                &source.host,
                TaskSpec::RunCheck(on_source)
            ),
            outcome(ctx, &copy_part, &target.host, TaskSpec::RunCheck(on_copy)),
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

    fn proof(
        &self,
        image: Transferred,
        created_roles: Vec<String>,
        comparison: Comparison,
        held: Vec<Held>,
        green: bool,
    ) -> CopyProof {
        let Transferred { sent, received } = image;
        let relations = &sent.manifest.relations;
        CopyProof {
            level: self.0.proof,
            relations: comparison.relations,
            checks: held.into_iter().map(|held| held.check).collect(),
            path: sent.path,
            resent_parts: sent.resent_parts,
            rows: relations.iter().map(|relation| relation.rows).sum(),
            bytes: relations.iter().map(|relation| relation.bytes).sum(),
            green,
            snapshot_at: sent.manifest.taken_at,
            lsn: sent.manifest.lsn,
            created_roles,
            notices: received.notices,
        }
    }
}

/// What was proven, also when it was not enough.
#[must_use]
pub fn proof(position: &Position) -> Option<CopyProof> {
    let output = position.output(NAME)?.clone();
    serde_json::from_value(output).ok()
}

async fn outcome(
    ctx: &StepContext,
    part: &str,
    host: &HostName,
    spec: TaskSpec,
) -> Result<CheckOutcome, TaskFailure> {
    match ctx.task(part, host, spec).await? {
        TaskResult::CheckOutcome(outcome) => Ok(outcome),
        other => Err(wrong_result("run-check", &other)),
    }
}

fn refusal(request: &CopyDatabase, comparison: &Comparison, held: &[Held]) -> Option<TaskFailure> {
    let broken: BTreeMap<_, _> = held
        .iter()
        .filter(|held| !held.holds)
        .map(|held| (&held.check.name, held.check.reasons.join("; ")))
        .collect();
    let (message, advice) = if let Some(first) = comparison.differences.first() {
        let more = match comparison.differences.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more differences)"),
        };
        (
            format!(
                "the copy of {} is not equal to what was sent: {first}{more}",
                request.source
            ),
            "nothing was published. This must not happen: look at the disks and memory of both \
             hosts, keep the logs and report it",
        )
    } else {
        let (name, reasons) = broken.first_key_value()?;
        (
            format!(
                "check {name} of {} does not hold on the copy: {reasons}",
                request.source
            ),
            "nothing was published. Look at the check's history and at the source",
        )
    };
    Some(TaskFailure {
        kind: FailureKind::DataMismatch,
        message,
        advice: advice.to_owned(),
        retryable: false,
    })
}
