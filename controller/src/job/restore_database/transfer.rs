//! Out of the repository into the staging database, by the target's own agent.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    image::DataPath,
    task::{RepositoryRef, RestoreImage, SentImage, TaskFailure, TaskResult, TaskSpec},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RestoreDatabase, contents::contents, tables::choose};
use crate::job::{
    copy_database::preflight::{self, Examined, compatibility::missing_tablespaces},
    definition::{Step, StepDone, StepFailure, defect},
    event::Why,
    landing::{
        conclude::{Transferred, transfer_says},
        connections,
    },
    retry::Patience,
    step::{StepContext, catalog_failure, wrong_result},
    suspect,
};

pub const NAME: &str = "transfer";

#[derive(Debug)]
pub struct Transfer<'a>(pub &'a RestoreDatabase);

/// What the step puts out: who asks only for the image reads it as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    #[serde(flatten)]
    pub image: Transferred,
    /// By the clock of the agent; unset: it did not tell.
    pub fetch_time: Option<Duration>,
    pub load_time: Option<Duration>,
    pub index_time: Option<Duration>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[async_trait]
impl Step for Transfer<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let spec = self.spec(ctx).await?;
        let host = &self.0.target.host;
        // Ends with the job: what it let in is forgotten with its last event.
        let let_in = ctx
            .world
            .catalog
            .let_read(ctx.job, host, &self.0.source.host);
        let_in.await.map_err(|error| catalog_failure(&error))?;
        ctx.end_earlier_attempts("", host).await;
        let restored = match ctx.task("", host, spec).await {
            Ok(restored) => restored,
            Err(failure) => {
                let (from, backup) = (&self.0.source.host, self.0.backup);
                return Err(suspect::look(ctx, from, backup, failure).await.into());
            }
        };
        match restored {
            TaskResult::RestoredImage(restored) => StepDone::with(&Restored {
                image: Transferred {
                    sent: SentImage {
                        manifest: restored.manifest,
                        path: DataPath::Repository,
                        resent_parts: 0,
                    },
                    received: restored.received,
                },
                fetch_time: restored.fetch_time,
                load_time: restored.load_time,
                index_time: restored.index_time,
                ended_at: Some(ctx.now()),
            }),
            other => Err(wrong_result("restore-image", &other).into()),
        }
    }

    /// Ends what may still run, and shuts it out; the staging database goes with its own step.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("", &self.0.target.host).await;
        let forgotten = ctx.world.catalog.forget_readers(ctx.job).await;
        forgotten.map_err(|error| catalog_failure(&error))?;
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience {
            failures: 8,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        transfer_says(output)
    }
}

impl Transfer<'_> {
    async fn spec(&self, ctx: &StepContext) -> Result<TaskSpec, TaskFailure> {
        let request = self.0;
        let examined: Examined = ctx.output(preflight::NAME)?;
        let (Some(source), Some(target)) = (&examined.source, &examined.target) else {
            return Err(defect("the preflight passed without facts".to_owned()));
        };
        let (backup, noted) = contents(&ctx.world.catalog, request).await?;
        Ok(TaskSpec::RestoreImage(RestoreImage {
            staging: request.landing().staging(ctx.job),
            repository: RepositoryRef {
                host: request.source.host.to_string(),
                job: ctx.job,
            },
            snapshot: backup.snapshot_id,
            jobs: connections(request.jobs, &[target.cpus]),
            properties: source.properties.clone(),
            no_tablespaces: !missing_tablespaces(source, target).is_empty(),
            tables: choose(&noted.image, &request.tables).tables,
            disk_limit_bytes: 0,
        }))
    }
}
