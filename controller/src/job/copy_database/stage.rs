//! Make an empty staging database on the target, and the roles that are missing there.

use async_trait::async_trait;
use holdfast_proto::task::{
    DatabaseTarget, DropDatabase, StageDatabase, StagedDatabase, TaskFailure, TaskResult, TaskSpec,
};
use serde_json::Value;

use super::{
    CopyDatabase,
    marked::{Mark, marked},
    preflight::{self, Examined, compatibility::missing_roles},
};
use crate::job::{
    JobId,
    definition::{Step, StepDone, StepFailure, defect},
    event::{Leftover, Why},
    step::{StepContext, wrong_result},
};

pub const NAME: &str = "stage";

#[derive(Debug)]
pub struct Stage<'a>(pub &'a CopyDatabase);

#[async_trait]
impl Step for Stage<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let examined: Examined = ctx.output(preflight::NAME)?;
        let (Some(source), Some(target)) = (&examined.source, &examined.target) else {
            return Err(defect("the preflight passed without facts".to_owned()).into());
        };
        let roles = missing_roles(source, target).into_iter().cloned().collect();
        let spec = TaskSpec::StageDatabase(StageDatabase {
            staging: staging(self.0, ctx.job),
            owner: source.owner.clone(),
            encoding: source.encoding.clone(),
            collate: source.collate.clone(),
            ctype: source.ctype.clone(),
            locale_provider: source.locale_provider.clone(),
            icu_locale: source.icu_locale.clone(),
            roles,
        });
        match ctx.task("", &self.0.target.host, spec).await? {
            TaskResult::StagedDatabase(staged) => StepDone::with(&staged),
            other => Err(wrong_result("stage-database", &other).into()),
        }
    }

    /// The database goes. Roles stay: they own nothing, and somebody may use them by now.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<Vec<Leftover>, TaskFailure> {
        let spec = TaskSpec::DropDatabase(DropDatabase {
            target: staging(self.0, ctx.job),
        });
        match ctx.task("", &self.0.target.host, spec).await? {
            TaskResult::DroppedDatabase(_) => Ok(Vec::new()),
            other => Err(wrong_result("drop-database", &other)),
        }
    }

    fn says(&self, output: &Value) -> String {
        match serde_json::from_value::<StagedDatabase>(output.clone()) {
            Ok(staged) if !staged.created_roles.is_empty() => {
                let roles = staged.created_roles.join(", ");
                format!("created without a password: {roles}")
            }
            _ => String::new(),
        }
    }
}

/// Where the copy grows.
#[must_use]
pub fn staging(request: &CopyDatabase, job: JobId) -> DatabaseTarget {
    DatabaseTarget {
        instance: request.target.instance.clone(),
        database: marked(&request.target.database, Mark::Staging, job),
    }
}
