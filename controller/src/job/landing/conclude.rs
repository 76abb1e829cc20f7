//! From what was compared and counted to the proof that stays with the job, and to its refusal.

use std::collections::BTreeMap;

use holdfast_chassis::units;
use holdfast_proto::{
    check::CheckOutcome,
    image::{DataPath, ProofLevel},
    names::HostName,
    task::{FailureKind, ReceivedImage, SentImage, TaskFailure, TaskResult, TaskSpec},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    aftermath::created_roles,
    checks::Held,
    proof::{Comparison, CopyProof},
};
use crate::job::{
    definition::{StepDone, StepFailure},
    position::Position,
    step::{StepContext, wrong_result},
};

/// Of the step that proves, whatever the kind.
pub const NAME: &str = "prove";

/// Both ends of an image, and the way that it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferred {
    pub sent: SentImage,
    pub received: ReceivedImage,
}

/// What is claimed to be equal, and what to say and do when it is not.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub level: ProofLevel,
    /// "the copy of web-1/shop-db/shop".
    pub what: &'a str,
    /// Where to look when the data differ.
    pub differs: &'a str,
    /// Where to look when a check does not hold.
    pub broken: &'a str,
}

impl Claim<'_> {
    /// The step's end. What was found out stays with the job, also when it is not enough.
    ///
    /// # Errors
    /// Something differs, or a check does not hold.
    pub fn conclude(
        &self,
        ctx: &StepContext,
        image: Transferred,
        comparison: Comparison,
        held: Vec<Held>,
    ) -> Result<StepDone, StepFailure> {
        let roles = created_roles(&ctx.position).names;
        let refusal = self.refusal(&comparison, &held);
        let proof = self.proof(image, roles, comparison, held, refusal.is_none());
        match refusal {
            Some(failure) => Err(StepFailure::with(failure, &proof)),
            None => StepDone::with(&proof),
        }
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
            level: self.level,
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

    fn refusal(&self, comparison: &Comparison, held: &[Held]) -> Option<TaskFailure> {
        let broken: BTreeMap<_, _> = held
            .iter()
            .filter(|held| !held.holds)
            .map(|held| (&held.check.name, held.check.reasons.join("; ")))
            .collect();
        let what = self.what;
        let (message, advice) = if let Some(first) = comparison.differences.first() {
            let more = match comparison.differences.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} more differences)"),
            };
            let message = format!("{what} is not equal to the original: {first}{more}");
            (message, self.differs)
        } else {
            let (name, reasons) = broken.first_key_value()?;
            let message = format!("check {name} does not hold on {what}: {reasons}");
            (message, self.broken)
        };
        Some(TaskFailure {
            kind: FailureKind::DataMismatch,
            message,
            advice: format!("nothing was published. {advice}"),
            retryable: false,
        })
    }
}

/// What was proven, also when it was not enough.
#[must_use]
pub fn proof(position: &Position) -> Option<CopyProof> {
    let output = position.output(NAME)?.clone();
    serde_json::from_value(output).ok()
}

/// A proof in one line; `unchecked` is said of one without checks.
#[must_use]
pub fn proof_says(output: &Value, unchecked: &str) -> String {
    let Ok(proof) = serde_json::from_value::<CopyProof>(output.clone()) else {
        return String::new();
    };
    let tables = units::plural(proof.relations.len() as u64, "table");
    let checks = match proof.checks.len() as u64 {
        0 => unchecked.to_owned(),
        1 => "1 check holds".to_owned(),
        held => format!("{} hold", units::plural(held, "check")),
    };
    let rows = units::plural(proof.rows, "row");
    format!("{tables} with {rows} equal; {checks}")
}

/// How much came, and which way, in one line.
#[must_use]
pub fn transfer_says(output: &Value) -> String {
    let Ok(done) = serde_json::from_value::<Transferred>(output.clone()) else {
        return String::new();
    };
    let relations = &done.sent.manifest.relations;
    let rows: u64 = relations.iter().map(|relation| relation.rows).sum();
    let bytes: u64 = relations.iter().map(|relation| relation.bytes).sum();
    let path = match done.sent.path {
        DataPath::Direct => "agent to agent",
        DataPath::Relay => "through the controller",
        DataPath::Repository => "from a repository",
    };
    format!(
        "{}, {}, {}, {path}",
        units::plural(relations.len() as u64, "table"),
        units::plural(rows, "row"),
        units::size(bytes)
    )
}

/// Runs a check on a host.
///
/// # Errors
/// The host could not be asked. A check that could not run is an outcome.
pub async fn run_check(
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
