//! Read the database under one snapshot into the repository of its host.

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::task::{
    BackUpDatabase as BackUp, BackedUpDatabase, DatabaseTarget, RepositoryRef, TaskFailure,
    TaskResult, TaskSpec,
};
use serde_json::Value;

use super::{BackUpDatabase, preflight};
use crate::{
    catalog::BackupKind,
    job::{
        copy_database::preflight::Examined,
        definition::{Step, StepDone, StepFailure},
        event::Why,
        retry::Patience,
        step::{StepContext, wrong_result},
    },
};

pub const NAME: &str = "store";

/// More connections than this do not make a backup faster.
const MOST_JOBS: u32 = 8;

#[derive(Debug)]
pub struct Store<'a>(pub &'a BackUpDatabase);

#[async_trait]
impl Step for Store<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let host = &request.source.host;
        let examined: Examined = ctx.output(preflight::NAME)?;
        let cpus = examined.source.map_or(1, |source| source.cpus);
        ctx.end_earlier_attempts("", host).await;
        let stored = store(ctx, "", request, request.kind(), cpus).await?;
        StepDone::with(&stored)
    }

    /// Ends what may still run. A snapshot without a row is no backup.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("", &self.0.source.host).await;
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience {
            failures: 4,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        says(output)
    }
}

/// Into the repository of the database's host, `cpus` being that host's.
///
/// # Errors
/// What the agent failed with.
pub async fn store(
    ctx: &StepContext,
    part: &str,
    request: &BackUpDatabase,
    kind: BackupKind,
    cpus: u32,
) -> Result<BackedUpDatabase, TaskFailure> {
    let host = &request.source.host;
    let spec = TaskSpec::BackUpDatabase(BackUp {
        source: DatabaseTarget {
            instance: request.source.instance.clone(),
            database: request.source.database.clone(),
        },
        selection: request.selection.clone(),
        repository: RepositoryRef {
            host: host.to_string(),
            job: 0,
        },
        jobs: match request.jobs {
            0 => cpus.clamp(1, MOST_JOBS),
            asked => asked,
        },
        bandwidth: request.bandwidth,
        tags: vec![format!("job-{}", ctx.job), kind.to_string()],
    });
    match ctx.task(part, host, spec).await? {
        TaskResult::BackedUpDatabase(done) => Ok(done),
        other => Err(wrong_result("back-up-database", &other)),
    }
}

/// How much was read and what it cost, in one line of the job's history.
fn says(output: &Value) -> String {
    let Ok(done) = serde_json::from_value::<BackedUpDatabase>(output.clone()) else {
        return String::new();
    };
    let relations = &done.manifest.relations;
    let rows: u64 = relations.iter().map(|relation| relation.rows).sum();
    let bytes: u64 = relations.iter().map(|relation| relation.bytes).sum();
    format!(
        "{}, {}, {}; the repository grew by {}",
        units::plural(relations.len() as u64, "table"),
        units::plural(rows, "row"),
        units::size(bytes),
        units::size(done.added_bytes)
    )
}
