//! Make an empty staging database on the target, and the roles that are missing there.

use async_trait::async_trait;
use holdfast_proto::task::{
    DropDatabase, DropRoles, DroppedRoles, StageDatabase, StagedDatabase, TaskFailure, TaskResult,
    TaskSpec,
};
use serde_json::Value;

use super::{Landing, aftermath};
use crate::job::{
    copy_database::preflight::{self, Examined, compatibility::missing_roles},
    definition::{Step, StepDone, StepFailure, defect},
    event::Why,
    step::{StepContext, wrong_result},
};

pub const NAME: &str = "stage";

#[derive(Debug)]
pub struct Stage<'a>(pub Landing<'a>);

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
            staging: self.0.staging(ctx.job),
            owner: source.owner.clone(),
            encoding: source.encoding.clone(),
            collate: source.collate.clone(),
            ctype: source.ctype.clone(),
            locale_provider: source.locale_provider.clone(),
            icu_locale: source.icu_locale.clone(),
            roles,
            job: ctx.job,
        });
        match ctx.task("", &self.0.target.host, spec).await? {
            TaskResult::StagedDatabase(staged) => StepDone::with(&staged),
            other => Err(wrong_result("stage-database", &other).into()),
        }
    }

    /// The database goes, then the roles that carry the job's mark: what stood has taken it from
    /// them, since somebody may use them by then.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        self.drop_database(ctx).await?;
        let roles = aftermath::roles_to_drop(&ctx.position);
        if roles.is_empty() {
            return Ok(StepDone::default());
        }
        let spec = TaskSpec::DropRoles(DropRoles {
            instance: self.0.target.instance.clone(),
            job: ctx.job,
            roles,
        });
        match ctx.task("roles", &self.0.target.host, spec).await? {
            TaskResult::DroppedRoles(dropped) => {
                StepDone::with(&dropped).map_err(|failed| failed.failure)
            }
            other => Err(wrong_result("drop-roles", &other)),
        }
    }

    fn says(&self, output: &Value) -> String {
        if let Ok(dropped) = serde_json::from_value::<DroppedRoles>(output.clone()) {
            return said(&dropped);
        }
        match serde_json::from_value::<StagedDatabase>(output.clone()) {
            Ok(staged) if !staged.created_roles.is_empty() => {
                let roles = staged.created_roles.join(", ");
                format!("created without a password: {roles}")
            }
            _ => String::new(),
        }
    }
}

impl Stage<'_> {
    async fn drop_database(&self, ctx: &StepContext) -> Result<(), TaskFailure> {
        let spec = TaskSpec::DropDatabase(DropDatabase {
            target: self.0.staging(ctx.job),
        });
        match ctx.task("", &self.0.target.host, spec).await? {
            TaskResult::DroppedDatabase(_) => Ok(()),
            other => Err(wrong_result("drop-database", &other)),
        }
    }
}

fn said(dropped: &DroppedRoles) -> String {
    let gone =
        (!dropped.gone.is_empty()).then(|| format!("roles gone: {}", dropped.gone.join(", ")));
    let left = dropped.left.iter();
    let left = left.map(|left| format!("role {} stays: {}", left.role, left.reason));
    gone.into_iter().chain(left).collect::<Vec<_>>().join("; ")
}
