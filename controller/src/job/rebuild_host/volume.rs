//! Restore one volume into a new one that goes with the throwaway servers, all of it read back.
//!
//! What fails for good is a finding, and not the end of the rebuild.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_chassis::units;
use holdfast_proto::task::{
    DescribeVolume, FailureKind, RepositoryRef, RestoreVolume, RestoredVolume, TaskFailure,
    TaskResult, TaskSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ChosenVolume, RebuildHost,
    read::{self, WereRead},
    remove::remove,
};
use crate::{
    catalog::Backup,
    job::{
        JobId,
        definition::{Step, StepDone, StepFailure, defect},
        drill_backup::restore::for_good,
        event::Why,
        retry::Patience,
        step::{StepContext, catalog_failure, wrong_result},
    },
};

#[derive(Debug)]
pub struct Volume<'a> {
    name: String,
    request: &'a RebuildHost,
    chosen: &'a ChosenVolume,
}

/// What the step puts out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RestoredPart {
    /// None: nothing was restored.
    pub restored: Option<RestoredVolume>,
    /// What the restore itself failed with …
    pub failure: Option<TaskFailure>,
    /// … or what kept it from beginning.
    pub obstacle: Option<TaskFailure>,
    pub began_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// The step that restores the volume at that place, counted from 0.
#[must_use]
pub fn step(place: usize) -> String {
    format!("volume-{}", place + 1)
}

impl<'a> Volume<'a> {
    pub fn new(request: &'a RebuildHost, place: usize, chosen: &'a ChosenVolume) -> Self {
        Self {
            name: step(place),
            request,
            chosen,
        }
    }

    /// One name for each, whatever the volume is called.
    fn made(&self, job: JobId) -> String {
        format!("holdfast-rebuild-{job}-{}", self.name)
    }
}

#[async_trait]
impl Step for Volume<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let read: WereRead = ctx.output(read::NAME)?;
        if read.is_damaged(self.chosen.backup) {
            return StepDone::with(&RestoredPart::default());
        }
        let mut part = RestoredPart {
            began_at: Some(ctx.now()),
            ..RestoredPart::default()
        };
        match self.prepare(ctx).await {
            Ok(spec) => match self.restore(ctx, spec).await {
                Ok(restored) => part.restored = Some(restored),
                Err(failure) => part.failure = Some(for_good(failure)?),
            },
            Err(failure) => part.obstacle = Some(for_good(failure)?),
        }
        part.ended_at = Some(ctx.now());
        StepDone::with(&part)
    }

    /// Ends what may still run, shuts it out, and removes by the job's label what stands there.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("", &self.request.host).await;
        let forgotten = ctx.world.catalog.forget_readers(ctx.job).await;
        forgotten.map_err(|error| catalog_failure(&error))?;
        remove(ctx, self.request).await?;
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience {
            failures: 8,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        let Ok(part) = serde_json::from_value::<RestoredPart>(output.clone()) else {
            return String::new();
        };
        match (part.restored, part.failure.or(part.obstacle)) {
            (Some(restored), _) => format!(
                "{}: {}, {}",
                self.chosen.volume,
                units::plural(restored.image.files, "file"),
                units::size(restored.image.bytes)
            ),
            (None, Some(failure)) => failure.message,
            (None, None) => String::new(),
        }
    }
}

impl Volume<'_> {
    /// Everything before it: there is room, and the host may read.
    async fn prepare(&self, ctx: &StepContext) -> Result<TaskSpec, TaskFailure> {
        let (host, source) = (&self.request.host, &self.request.source);
        let catalog = &ctx.world.catalog;
        let backup = catalog.backup(self.chosen.backup).await;
        let backup = backup.map_err(|error| catalog_failure(&error))?;
        let backup = backup.ok_or_else(|| defect("the backup is gone".to_owned()))?;
        self.room(ctx, &backup).await?;
        let let_in = catalog.let_read(ctx.job, host, source).await;
        let_in.map_err(|error| catalog_failure(&error))?;
        ctx.end_earlier_attempts("", host).await;
        Ok(TaskSpec::RestoreVolume(RestoreVolume {
            volume: self.made(ctx.job),
            job: ctx.job,
            repository: RepositoryRef {
                host: source.to_string(),
                job: ctx.job,
            },
            snapshot: backup.snapshot_id,
            throwaway: true,
        }))
    }

    async fn room(&self, ctx: &StepContext, backup: &Backup) -> Result<(), TaskFailure> {
        let host = &self.request.host;
        let spec = TaskSpec::DescribeVolume(DescribeVolume {
            volume: self.made(ctx.job),
        });
        let facts = match ctx.task("room", host, spec).await? {
            TaskResult::VolumeFacts(facts) => facts,
            other => return Err(wrong_result("describe-volume", &other)),
        };
        let needed = backup.logical_bytes;
        match facts.disk_free_bytes {
            Some(free) if needed >= free => Err(TaskFailure {
                kind: FailureKind::Exhausted,
                message: format!(
                    "{} are needed on {host}, {} are free",
                    units::size(needed),
                    units::size(free)
                ),
                advice: "make room there, or rebuild on another host: --on".to_owned(),
                retryable: false,
            }),
            _ => Ok(()),
        }
    }

    async fn restore(
        &self,
        ctx: &StepContext,
        spec: TaskSpec,
    ) -> Result<RestoredVolume, TaskFailure> {
        match ctx.task("", &self.request.host, spec).await? {
            TaskResult::RestoredVolume(restored) => Ok(restored),
            other => Err(wrong_result("restore-volume", &other)),
        }
    }
}
