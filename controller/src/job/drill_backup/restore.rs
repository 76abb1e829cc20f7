//! Restore the backup into the throwaway server, all of it read back.
//!
//! What fails for good is a finding, and not the end of the drill: the ladder says what it means.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    names::DatabaseName,
    task::{
        DatabaseFacts, FailureKind, RepositoryRef, RestoreImage, RestoredImage, StageDatabase,
        StartedSandbox, TaskFailure, TaskResult, TaskSpec,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{course::Course, sandbox::noted};
use crate::job::{
    copy_database::preflight::{
        self, PreflightLine,
        compatibility::{self, missing_roles, missing_tablespaces},
        room,
    },
    definition::{Step, StepDone, StepFailure},
    event::Why,
    landing::connections,
    retry::Patience,
    step::{StepContext, catalog_failure, wrong_result},
};

pub const NAME: &str = "restore";

/// What a server holds beside the data: catalogs, the write-ahead log, what sorts put aside.
const ROOM_FOR_THE_SERVER: u64 = 4 << 30;

/// On a course of its own: of a drill, or of one database of a rebuild.
#[derive(Debug)]
pub struct Restore(pub Course);

/// What the step puts out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    /// None: nothing was restored.
    pub image: Option<RestoredImage>,
    /// What the restore itself failed with …
    pub failure: Option<TaskFailure>,
    /// … or what kept it from beginning.
    #[serde(default)]
    pub obstacle: Option<TaskFailure>,
    /// What the server was asked before.
    pub lines: Vec<PreflightLine>,
    pub server_version: String,
    #[serde(default)]
    pub began_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[async_trait]
impl Step for Restore {
    fn name(&self) -> &str {
        &self.0.restore
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let started: StartedSandbox = ctx.output(&self.0.sandbox)?;
        if started.instance.is_empty() || self.0.is_damaged(ctx)? {
            return StepDone::with(&Restored::default());
        }
        let mut restored = Restored {
            began_at: Some(ctx.now()),
            ..Restored::default()
        };
        match self.prepare(ctx, &started.instance, &mut restored).await {
            Ok(spec) => match self.restore(ctx, spec).await {
                Ok(image) => restored.image = Some(image),
                Err(failure) => restored.failure = Some(for_good(failure)?),
            },
            Err(failure) => restored.obstacle = Some(for_good(failure)?),
        }
        restored.ended_at = Some(ctx.now());
        StepDone::with(&restored)
    }

    /// Ends what may still run, and shuts it out; the database goes with its server.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("", &self.0.drill.host).await;
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
        match serde_json::from_value::<Restored>(output.clone()) {
            Ok(Restored {
                failure, obstacle, ..
            }) => failure
                .or(obstacle)
                .map(|failure| failure.message)
                .unwrap_or_default(),
            Err(_) => String::new(),
        }
    }
}

impl Restore {
    async fn restore(
        &self,
        ctx: &StepContext,
        spec: TaskSpec,
    ) -> Result<RestoredImage, TaskFailure> {
        match ctx.task("", &self.0.drill.host, spec).await? {
            TaskResult::RestoredImage(image) => Ok(image),
            other => Err(wrong_result("restore-image", &other)),
        }
    }

    /// Everything before it: the staging database stands, and the host may read.
    async fn prepare(
        &self,
        ctx: &StepContext,
        instance: &str,
        restored: &mut Restored,
    ) -> Result<TaskSpec, TaskFailure> {
        let request = &self.0.drill;
        let noted = noted(ctx, request).await?;
        let target = self.target(ctx, instance).await?;
        restored.server_version.clone_from(&target.server_version);
        compatibility::ask(&noted.source, &target, &mut restored.lines);
        let schema_only = noted.selection.schema_only;
        room::ask(schema_only, &noted.source, &target, &mut restored.lines);
        if let Some(refusal) = preflight::refusal(&restored.lines, false) {
            return Err(refusal);
        }
        self.stage(ctx, instance, &noted.source, &target).await?;
        let catalog = &ctx.world.catalog;
        let let_in = catalog.let_read(ctx.job, &request.host, &request.source.host);
        let_in.await.map_err(|error| catalog_failure(&error))?;
        let backup = catalog.backup(request.backup).await;
        let backup = backup.map_err(|error| catalog_failure(&error))?;
        ctx.end_earlier_attempts("", &request.host).await;
        Ok(TaskSpec::RestoreImage(RestoreImage {
            staging: request.staging(instance, ctx.job),
            repository: RepositoryRef {
                host: request.source.host.to_string(),
                job: ctx.job,
            },
            snapshot: backup.map(|backup| backup.snapshot_id).unwrap_or_default(),
            jobs: connections(0, &[target.cpus]),
            properties: noted.source.properties.clone(),
            no_tablespaces: !missing_tablespaces(&noted.source, &target).is_empty(),
            tables: Vec::new(),
            disk_limit_bytes: disk_limit(self.0.held(ctx, &noted)?),
        }))
    }

    async fn target(
        &self,
        ctx: &StepContext,
        instance: &str,
    ) -> Result<DatabaseFacts, TaskFailure> {
        let target = DatabaseName {
            host: self.0.drill.host.clone(),
            instance: instance.to_owned(),
            database: self.0.drill.source.database.clone(),
        };
        preflight::describe(ctx, "describe", &target, None).await
    }

    /// Roles and all: whatever is made goes with the server.
    async fn stage(
        &self,
        ctx: &StepContext,
        instance: &str,
        source: &DatabaseFacts,
        target: &DatabaseFacts,
    ) -> Result<(), TaskFailure> {
        let roles = missing_roles(source, target).into_iter().cloned();
        let spec = TaskSpec::StageDatabase(StageDatabase {
            staging: self.0.drill.staging(instance, ctx.job),
            owner: source.owner.clone(),
            encoding: source.encoding.clone(),
            collate: source.collate.clone(),
            ctype: source.ctype.clone(),
            locale_provider: source.locale_provider.clone(),
            icu_locale: source.icu_locale.clone(),
            roles: roles.collect(),
            job: ctx.job,
        });
        match ctx.task("stage", &self.0.drill.host, spec).await? {
            TaskResult::StagedDatabase(_) => Ok(()),
            other => Err(wrong_result("stage-database", &other)),
        }
    }
}

/// What may pass ends the step, to be tried again; the rest is a finding.
pub fn for_good(failure: TaskFailure) -> Result<TaskFailure, TaskFailure> {
    if failure.retryable || failure.kind == FailureKind::Cancelled {
        Err(failure)
    } else {
        Ok(failure)
    }
}

/// Twice what everything in it took when it was backed up, and room for the server itself.
fn disk_limit(size: u64) -> u64 {
    size.saturating_mul(2).saturating_add(ROOM_FOR_THE_SERVER)
}
