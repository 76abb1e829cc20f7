//! Note how long the recovery took, beside its target: `ctl objectives` holds one against the other.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::task::{Selection, TaskFailure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    RestoreDatabase,
    contents::contents,
    transfer::{self, Restored},
};
use crate::{
    job::{
        definition::{Step, StepDone, StepFailure},
        event::Why,
        step::{StepContext, catalog_failure},
    },
    objective::{Recovery, Scenario},
};

const NAME: &str = "measure";

#[derive(Debug)]
pub struct Measure<'a>(pub &'a RestoreDatabase);

/// What the step puts out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Measured {
    /// From the job's start to a database that stands in its place. Milliseconds.
    took_ms: u64,
}

#[async_trait]
impl Step for Measure<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let (backup, noted) = contents(&ctx.world.catalog, request).await?;
        let now = ctx.now();
        let took = since(ctx.position.started_at, now);
        // A schema, or some of the tables, is no recovery.
        let whole = noted.selection == Selection::default() && request.tables.is_empty();
        if whole {
            let restored: Restored = ctx.output(transfer::NAME)?;
            let recovery = Recovery {
                database: request.source.clone(),
                scenario: Scenario::Restore,
                at: now,
                passed: true,
                backup: Some(request.backup),
                job: Some(ctx.job),
                took,
                fetch: restored.fetch_time.unwrap_or_default(),
                restore: restored.load_time.unwrap_or_default(),
                index: restored.index_time.unwrap_or_default(),
                check: since(restored.ended_at, now),
                rpo: Some(since(
                    Some(backup.taken_at),
                    ctx.position.started_at.unwrap_or(now),
                )),
            };
            let added = ctx.world.catalog.add_recovery(&recovery).await;
            added.map_err(|error| catalog_failure(&error))?;
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        StepDone::with(&Measured { took_ms })
    }

    /// It took so long, whatever became of it.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        match serde_json::from_value::<Measured>(output.clone()) {
            Ok(measured) => {
                let took = Duration::from_millis(measured.took_ms);
                format!("recovered in {:.1} s", took.as_secs_f64())
            }
            Err(_) => String::new(),
        }
    }
}

/// Never below zero: clocks of two machines differ.
fn since(from: Option<DateTime<Utc>>, to: DateTime<Utc>) -> Duration {
    let span = from.map_or(TimeDelta::zero(), |from| to - from);
    span.to_std().unwrap_or_default()
}
