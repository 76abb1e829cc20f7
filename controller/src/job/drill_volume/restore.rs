//! Restore the backup into a volume of the job's own, by the drilling host's agent, which reads all of it back.
//!
//! What fails for good is a finding, and not the end of the drill: the ladder says what it means.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_chassis::units;
use holdfast_proto::task::{
    RemoveVolume, RepositoryRef, RestoreVolume, RestoredVolume, TaskFailure, TaskResult, TaskSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DrillVolume;
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    drill_backup::{
        read::{self, WasRead},
        restore::for_good,
    },
    event::Why,
    retry::Patience,
    step::{StepContext, catalog_failure, wrong_result},
};

pub const NAME: &str = "restore";

#[derive(Debug)]
pub struct Restore<'a>(pub &'a DrillVolume);

/// What the step puts out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    /// None: nothing was restored.
    pub volume: Option<RestoredVolume>,
    pub failure: Option<TaskFailure>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[async_trait]
impl Step for Restore<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let read: WasRead = ctx.output(read::NAME)?;
        // What is damaged is not restored.
        if !read.found.damage.is_empty() {
            return StepDone::with(&Restored::default());
        }
        let mut restored = Restored::default();
        match self.restore(ctx).await {
            Ok(volume) => restored.volume = Some(volume),
            Err(failure) => restored.failure = Some(for_good(failure)?),
        }
        restored.ended_at = Some(ctx.now());
        StepDone::with(&restored)
    }

    /// Ends what may still run, shuts it out, and removes what any attempt made.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("", &self.0.host).await;
        let forgotten = ctx.world.catalog.forget_readers(ctx.job).await;
        forgotten.map_err(|error| catalog_failure(&error))?;
        remove(ctx, self.0).await?;
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience {
            failures: 8,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        let Ok(Restored {
            volume, failure, ..
        }) = serde_json::from_value(output.clone())
        else {
            return String::new();
        };
        match (volume, failure) {
            (Some(volume), _) => format!(
                "{}, {}, from a repository",
                units::plural(volume.image.files, "file"),
                units::size(volume.image.bytes)
            ),
            (None, Some(failure)) => failure.message,
            (None, None) => String::new(),
        }
    }
}

impl Restore<'_> {
    async fn restore(&self, ctx: &StepContext) -> Result<RestoredVolume, TaskFailure> {
        let request = self.0;
        let (home, host) = (&request.source.host, &request.host);
        let catalog = &ctx.world.catalog;
        // Ends with the job: what it let in is forgotten with its last event.
        let let_in = catalog.let_read(ctx.job, host, home).await;
        let_in.map_err(|error| catalog_failure(&error))?;
        let backup = catalog.backup(request.backup).await;
        let backup = backup.map_err(|error| catalog_failure(&error))?;
        ctx.end_earlier_attempts("", host).await;
        let spec = TaskSpec::RestoreVolume(RestoreVolume {
            volume: request.made(ctx.job).volume,
            job: ctx.job,
            repository: RepositoryRef {
                host: home.to_string(),
                job: ctx.job,
            },
            snapshot: backup.map(|backup| backup.snapshot_id).unwrap_or_default(),
            throwaway: false,
        });
        match ctx.task("", host, spec).await? {
            TaskResult::RestoredVolume(restored) => Ok(restored),
            other => Err(wrong_result("restore-volume", &other)),
        }
    }
}

/// Absent is success. By the job's label: another one's volume is left alone.
///
/// # Errors
/// When the host is away, or its container engine refuses.
pub async fn remove(ctx: &StepContext, request: &DrillVolume) -> Result<(), TaskFailure> {
    let made = request.made(ctx.job);
    let spec = TaskSpec::RemoveVolume(RemoveVolume {
        volume: made.volume,
        job: ctx.job,
    });
    match ctx.task("remove", &made.host, spec).await? {
        TaskResult::RemovedVolume(_) => Ok(()),
        other => Err(wrong_result("remove-volume", &other)),
    }
}
