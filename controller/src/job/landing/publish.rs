//! Put the proven image in its place by rename, and the way back.

use async_trait::async_trait;
use holdfast_proto::task::{
    PublishDatabase, PublishedDatabase, TaskFailure, TaskResult, TaskSpec, UnpublishDatabase,
};
use serde_json::Value;

use super::{Landing, marked::Mark};
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    step::{StepContext, wrong_result},
};

const NAME: &str = "publish";

#[derive(Debug)]
pub struct Publish<'a>(pub Landing<'a>);

#[async_trait]
impl Step for Publish<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let target = &self.0.target;
        let spec = TaskSpec::PublishDatabase(PublishDatabase {
            instance: target.instance.clone(),
            staging: self.0.staging(ctx.job).database,
            name: target.database.clone(),
            keep_as: self.keep_as(ctx),
            job: ctx.job,
        });
        match ctx.task("", &target.host, spec).await? {
            TaskResult::PublishedDatabase(published) => {
                let leaves = self.0.leftover(&published.kept_as, ctx.now());
                let mut done = StepDone::with(&published)?;
                done.leaves.extend(leaves);
                Ok(done)
            }
            other => Err(wrong_result("publish-database", &other).into()),
        }
    }

    /// An unfinished job's image becomes the staging database again and goes with it; one that
    /// was in use since stays beside the one that comes back, for as long.
    async fn undo(&self, ctx: &StepContext, why: &Why) -> Result<StepDone, TaskFailure> {
        let target = &self.0.target;
        let staging = self.0.staging(ctx.job).database;
        // Roles that the image brought are the job's again only when nobody can have used them.
        let (set_aside_as, leaves, job) = match why {
            Why::Failed(_) | Why::Cancelled { .. } => (staging.clone(), None, ctx.job),
            Why::Requested { .. } => {
                let undone = self.0.beside(Mark::Undone, ctx.job);
                let left = self.0.leftover(&undone, ctx.now());
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
            self.0.beside(Mark::Before, ctx.job)
        } else {
            String::new()
        }
    }
}
