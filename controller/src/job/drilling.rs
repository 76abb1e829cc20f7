//! What every kind of drill has in common: rungs, what follows from them, and how its report is stored.

use std::time::Duration;

use holdfast_proto::{
    drill::{DrillReport, DrillTargets},
    task::TaskFailure,
};

use super::{
    definition::defect,
    event::Why,
    step::{StepContext, catalog_failure},
};
use crate::policy::Plan;

pub mod rungs;
pub mod volume;

/// Why a drill came to no verdict, for people.
#[must_use]
pub fn broke_off(why: &Why) -> String {
    match why {
        Why::Failed(failure) => failure.message.clone(),
        Why::Cancelled { by } | Why::Requested { by } => format!("cancelled by {by}"),
    }
}

/// As the policy of one database or volume has them when its drill begins; none: nobody protects it.
#[must_use]
pub fn targets(plan: Option<&Plan>) -> DrillTargets {
    let targets = plan.map(|plan| plan.targets).unwrap_or_default();
    let milliseconds = |target: Option<Duration>| {
        target.map(|target| u64::try_from(target.as_millis()).unwrap_or(u64::MAX))
    };
    DrillTargets {
        rto_ms: milliseconds(targets.drill),
        rpo_ms: milliseconds(targets.rpo),
    }
}

/// What was stored before stays.
///
/// # Errors
/// When the catalog fails.
pub async fn store(ctx: &StepContext, report: &DrillReport) -> Result<(), TaskFailure> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| defect(format!("a report cannot be written: {error}")))?;
    let stored = ctx.world.catalog.end_drill(report, &text).await;
    stored.map_err(|error| catalog_failure(&error))?;
    Ok(())
}
