//! Read every byte of the backup out of its repository, before anything is made: the first rung.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_chassis::units;
use holdfast_proto::{
    names::HostName,
    task::{FailureKind, TaskFailure},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::BackupId;
use crate::job::{
    definition::{Step, StepDone, StepFailure, defect},
    event::Why,
    retry::Patience,
    shelf::ReadThrough,
    step::{StepContext, catalog_failure},
};

pub const NAME: &str = "read";

#[derive(Debug)]
pub struct Read<'a> {
    pub backup: BackupId,
    /// Whose repository holds it.
    pub home: &'a HostName,
}

/// What the step puts out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WasRead {
    pub found: ReadThrough,
    pub began_at: DateTime<Utc>,
    /// A recovery begins here.
    pub ended_at: DateTime<Utc>,
}

#[async_trait]
impl Step for Read<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let began_at = ctx.now();
        let backup = ctx.world.catalog.backup(self.backup).await;
        let backup = backup.map_err(|error| catalog_failure(&error))?;
        let Some(backup) = backup else {
            return Err(defect(format!("backup {} is gone", self.backup)).into());
        };
        let shelf = &ctx.world.shelf;
        let reading = shelf.read_through(self.home, &backup.snapshot_id);
        let found = tokio::select! {
            found = reading => found,
            () = ctx.cancel.cancelled() => return Err(cancelled().into()),
        };
        let found = found.map_err(|away| TaskFailure {
            kind: FailureKind::Unavailable,
            message: format!("the repository could not be read: {away}"),
            advice: "see whether the storage is up: ctl repository check".to_owned(),
            retryable: away.again,
        })?;
        StepDone::with(&WasRead {
            found,
            began_at,
            ended_at: ctx.now(),
        })
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience {
            failures: 4,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        match serde_json::from_value::<WasRead>(output.clone()) {
            Ok(WasRead { found, .. }) if found.damage.is_empty() => {
                format!("{} intact", units::size(found.bytes))
            }
            Ok(WasRead { found, .. }) => found.damage.join("; "),
            Err(_) => String::new(),
        }
    }
}

fn cancelled() -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Cancelled,
        message: "reading the backup was cancelled".to_owned(),
        advice: String::new(),
        retryable: false,
    }
}
