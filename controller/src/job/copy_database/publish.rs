//! Put the proven copy in its place by rename, and the way back.

use async_trait::async_trait;
use chrono::TimeDelta;
use holdfast_proto::{
    names::DatabaseName,
    task::{
        PublishDatabase, PublishedDatabase, TaskFailure, TaskResult, TaskSpec, UnpublishDatabase,
    },
};
use serde_json::Value;

use super::{
    CopyDatabase,
    marked::{Mark, marked},
    stage::staging,
};
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::{Leftover, Why},
    step::{StepContext, wrong_result},
};

const NAME: &str = "publish";

#[derive(Debug)]
pub struct Publish<'a>(pub &'a CopyDatabase);

#[async_trait]
impl Step for Publish<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let target = &self.0.target;
        let spec = TaskSpec::PublishDatabase(PublishDatabase {
            instance: target.instance.clone(),
            staging: staging(self.0, ctx.job).database,
            name: target.database.clone(),
            keep_as: self.keep_as(ctx),
            job: ctx.job,
        });
        match ctx.task("", &target.host, spec).await? {
            TaskResult::PublishedDatabase(published) => {
                let leaves = self.left(ctx, &published.kept_as);
                let mut done = StepDone::with(&published)?;
                done.leaves.extend(leaves);
                Ok(done)
            }
            other => Err(wrong_result("publish-database", &other).into()),
        }
    }

    /// An unfinished job's copy becomes the staging database again and goes with it; a copy that
    /// was in use since stays beside the one that comes back, for as long.
    async fn undo(&self, ctx: &StepContext, why: &Why) -> Result<StepDone, TaskFailure> {
        let target = &self.0.target;
        let staging = staging(self.0, ctx.job).database;
        // Roles that the copy brought are the job's again only when nobody can have used them.
        let (set_aside_as, leaves, job) = match why {
            Why::Failed(_) | Why::Cancelled { .. } => (staging.clone(), None, ctx.job),
            Why::Requested { .. } => {
                let undone = marked(&target.database, Mark::Undone, ctx.job);
                let left = self.left(ctx, &undone);
                (undone, left, 0)
            }
        };
        let spec = TaskSpec::UnpublishDatabase(UnpublishDatabase {
            instance: target.instance.clone(),
            name: target.database.clone(),
            kept_as: self.keep_as(ctx),
            set_aside_as,
            staging,
            job,
        });
        match ctx.task("", &target.host, spec).await? {
            TaskResult::UnpublishedDatabase(_) => Ok(StepDone {
                leaves: leaves.into_iter().collect(),
                ..StepDone::default()
            }),
            other => Err(wrong_result("unpublish-database", &other)),
        }
    }

    fn says(&self, output: &Value) -> String {
        match serde_json::from_value::<PublishedDatabase>(output.clone()) {
            Ok(published) if published.ended_sessions > 0 => {
                format!("{} sessions were ended", published.ended_sessions)
            }
            _ => String::new(),
        }
    }
}

impl Publish<'_> {
    /// Empty: a database that stands under the name is not to be touched.
    fn keep_as(&self, ctx: &StepContext) -> String {
        if self.0.replace {
            marked(&self.0.target.database, Mark::Before, ctx.job)
        } else {
            String::new()
        }
    }

    fn left(&self, ctx: &StepContext, name: &str) -> Option<Leftover> {
        let keep = TimeDelta::from_std(self.0.keep).unwrap_or(TimeDelta::MAX);
        let drop_after = ctx.now().checked_add_signed(keep);
        (!name.is_empty()).then(|| Leftover {
            database: DatabaseName {
                database: name.to_owned(),
                ..self.0.target.clone()
            },
            drop_after: drop_after.unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC),
        })
    }
}
