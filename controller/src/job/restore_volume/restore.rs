//! Out of the repository into a new volume, by the target's own agent.

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::task::{
    DescribeVolume, FailureKind, RepositoryRef, RestoreVolume as Restored, RestoredVolume,
    TaskFailure, TaskResult, TaskSpec,
};
use serde_json::{Value, json};

use super::{RestoreVolume, sweep};
use crate::{
    catalog::Backup,
    job::{
        definition::{Step, StepDone, StepFailure},
        event::Why,
        retry::Patience,
        step::{StepContext, catalog_failure, wrong_result},
        suspect,
        volume::says,
    },
};

pub const NAME: &str = "restore";

#[derive(Debug)]
pub struct Restore<'a>(pub &'a RestoreVolume);

#[async_trait]
impl Step for Restore<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let backup = self.backup(ctx).await?;
        let made = request.made(ctx.job);
        let host = &made.host;
        // Ends with the job: what it let in is forgotten with its last event.
        let catalog = &ctx.world.catalog;
        let let_in = catalog.let_read(ctx.job, host, &request.source.host);
        let_in.await.map_err(|error| catalog_failure(&error))?;
        ctx.end_earlier_attempts("", host).await;
        let spec = TaskSpec::RestoreVolume(Restored {
            volume: made.volume,
            job: ctx.job,
            repository: RepositoryRef {
                host: request.source.host.to_string(),
                job: ctx.job,
            },
            snapshot: backup.snapshot_id,
            throwaway: false,
        });
        let restored = match ctx.task("", host, spec).await {
            Ok(restored) => restored,
            Err(failure) => {
                let (from, backup) = (&request.source.host, request.backup);
                return Err(suspect::look(ctx, from, backup, failure).await.into());
            }
        };
        match restored {
            TaskResult::RestoredVolume(restored) => StepDone::with(&restored),
            other => Err(wrong_result("restore-volume", &other).into()),
        }
    }

    /// Ends what may still run, shuts it out, and removes what it made; after success nothing is removed before
    /// its time.
    async fn undo(&self, ctx: &StepContext, why: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("", &self.0.target.host).await;
        let forgotten = ctx.world.catalog.forget_readers(ctx.job).await;
        forgotten.map_err(|error| catalog_failure(&error))?;
        let mut done = StepDone::default();
        match why {
            Why::Failed(_) | Why::Cancelled { .. } => {
                sweep::remove(self.0, ctx).await?;
            }
            // The exchange that was taken back keeps it.
            Why::Requested { .. } if self.0.replace => {}
            Why::Requested { .. } => {
                done.output = self.users(ctx).await?;
                done.leaves.push(self.0.leftover(ctx.job, ctx.now()));
            }
        }
        Ok(done)
    }

    fn patience(&self) -> Patience {
        Patience {
            failures: 8,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        let in_use = says(
            output,
            "in_use_by",
            "it stays as long as a container has it:",
        );
        if !in_use.is_empty() {
            return in_use;
        }
        let Ok(done) = serde_json::from_value::<RestoredVolume>(output.clone()) else {
            return String::new();
        };
        format!(
            "{}, {}, from a repository",
            units::plural(done.image.files, "file"),
            units::size(done.image.bytes)
        )
    }
}

impl Restore<'_> {
    /// Who has the volume that is to go: no engine removes it as long as somebody does.
    async fn users(&self, ctx: &StepContext) -> Result<Value, TaskFailure> {
        let made = self.0.made(ctx.job);
        let spec = TaskSpec::DescribeVolume(DescribeVolume {
            volume: made.volume,
        });
        match ctx.task("users", &made.host, spec).await? {
            TaskResult::VolumeFacts(facts) => {
                let names = facts.users.into_iter().map(|user| user.container);
                Ok(json!({ "in_use_by": names.collect::<Vec<_>>() }))
            }
            other => Err(wrong_result("describe-volume", &other)),
        }
    }

    async fn backup(&self, ctx: &StepContext) -> Result<Backup, TaskFailure> {
        let found = ctx.world.catalog.backup(self.0.backup).await;
        let found = found.map_err(|error| catalog_failure(&error))?;
        found.ok_or_else(|| TaskFailure {
            kind: FailureKind::Conflict,
            message: format!("there is no backup {}", self.0.backup),
            advice: "nothing was exchanged. `ctl backup list` shows the backups".to_owned(),
            retryable: false,
        })
    }
}
