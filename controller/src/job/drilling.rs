//! What every kind of drill has in common: rungs, what follows from them, and how its report is stored.

use holdfast_proto::{drill::DrillReport, task::TaskFailure};

use super::{
    definition::defect,
    step::{StepContext, catalog_failure},
};

pub mod rungs;
pub mod volume;

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
