//! Look at what was restored: indexes, constraints, the operator's assertions, the user-count checks.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::task::{
    DatabaseTarget, ExamineDatabase, ExaminedDatabase, StartedSandbox, TaskFailure, TaskResult,
    TaskSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    course::Course,
    restore::{Restored, for_good},
    sandbox::noted,
};
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    landing::conclude::run_check,
    restore_database::prove::{gone, holds},
    step::{StepContext, catalog_failure, wrong_result},
};

pub const NAME: &str = "examine";

/// An assertion may read whole tables.
const ASSERTION_WITHIN: std::time::Duration = std::time::Duration::from_mins(10);

#[derive(Debug)]
pub struct Examine(pub Course);

/// What the step puts out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Examination {
    /// None: there was nothing to examine, or it could not be.
    pub structure: Option<ExaminedDatabase>,
    /// Why not.
    pub failure: Option<TaskFailure>,
    pub checks: Vec<CheckHeld>,
    /// Checks that are not set any more.
    pub notices: Vec<String>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// A user-count check on what was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckHeld {
    pub name: String,
    /// None: it could not run.
    pub holds: Option<bool>,
    pub detail: String,
}

#[async_trait]
impl Step for Examine {
    fn name(&self) -> &str {
        &self.0.examine
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let restored: Restored = ctx.output(&self.0.restore)?;
        let mut found = Examination::default();
        if restored.image.is_some() {
            let started: StartedSandbox = ctx.output(&self.0.sandbox)?;
            let staging = self.0.drill.staging(&started.instance, ctx.job);
            match self.structure(ctx, &staging).await {
                Ok(structure) => found.structure = Some(structure),
                Err(failure) => found.failure = Some(for_good(failure)?),
            }
            self.checks(ctx, &staging, &mut found).await?;
        }
        found.ended_at = Some(ctx.now());
        StepDone::with(&found)
    }

    /// What it made lies in the throwaway server.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("structure", &self.0.drill.host).await;
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        match serde_json::from_value::<Examination>(output.clone()) {
            Ok(Examination {
                failure: Some(failure),
                ..
            }) => failure.message,
            _ => String::new(),
        }
    }
}

impl Examine {
    async fn structure(
        &self,
        ctx: &StepContext,
        staging: &DatabaseTarget,
    ) -> Result<ExaminedDatabase, TaskFailure> {
        ctx.end_earlier_attempts("structure", &self.0.drill.host)
            .await;
        let spec = TaskSpec::ExamineDatabase(ExamineDatabase {
            target: staging.clone(),
            assertions: self.0.assertions(ctx)?,
            timeout: ASSERTION_WITHIN,
        });
        match ctx.task("structure", &self.0.drill.host, spec).await? {
            TaskResult::ExaminedDatabase(examined) => Ok(examined),
            other => Err(wrong_result("examine-database", &other)),
        }
    }

    /// As after a restore: against what they counted when the backup was made.
    async fn checks(
        &self,
        ctx: &StepContext,
        staging: &DatabaseTarget,
        found: &mut Examination,
    ) -> Result<(), TaskFailure> {
        let noted = noted(ctx, &self.0.drill).await?;
        if noted.selection.schema_only {
            return Ok(());
        }
        let set = ctx.world.catalog.checks_of(&self.0.drill.source).await;
        let set = set.map_err(|error| catalog_failure(&error))?;
        let partial = noted.selection != holdfast_proto::task::Selection::default();
        for check in &set {
            let spec = TaskSpec::RunCheck(check.task_on(&staging.instance, &staging.database));
            let part = format!("check-{}", check.id);
            let outcome = run_check(ctx, &part, &self.0.drill.host, spec).await?;
            let then = noted.checks.iter().find(|then| then.name == check.name);
            let held = holds(check, then, &outcome, noted.image.taken_at, partial);
            let counted = outcome.count.map(|count| format!("counted {count}"));
            let said = counted.into_iter().chain(held.check.reasons);
            found.checks.push(CheckHeld {
                name: check.name.clone(),
                holds: if outcome.error.is_empty() || held.holds {
                    Some(held.holds)
                } else {
                    None
                },
                detail: said.collect::<Vec<_>>().join("; "),
            });
        }
        found.notices = gone(&set, &noted);
        Ok(())
    }
}
