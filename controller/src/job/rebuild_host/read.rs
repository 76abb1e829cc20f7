//! Read every byte of every backup out of the repository, before anything is made.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_chassis::units;
use holdfast_proto::task::{FailureKind, TaskFailure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RebuildHost;
use crate::{
    catalog::BackupId,
    job::{
        definition::{Step, StepDone, StepFailure, defect},
        event::Why,
        retry::Patience,
        shelf::ReadThrough,
        step::{StepContext, catalog_failure},
    },
};

pub const NAME: &str = "read";

#[derive(Debug)]
pub struct Read<'a>(pub &'a RebuildHost);

/// What the step puts out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WereRead {
    pub found: BTreeMap<BackupId, ReadThrough>,
    pub began_at: DateTime<Utc>,
    /// The recovery begins here.
    pub ended_at: DateTime<Utc>,
}

#[async_trait]
impl Step for Read<'_> {
    fn name(&self) -> &str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let began_at = ctx.now();
        let mut found = BTreeMap::new();
        for id in self.0.backups() {
            let backup = ctx.world.catalog.backup(id).await;
            let backup = backup.map_err(|error| catalog_failure(&error))?;
            let backup = backup.ok_or_else(|| defect(format!("backup {id} is gone")))?;
            let shelf = &ctx.world.shelf;
            let reading = shelf.read_through(&self.0.source, &backup.snapshot_id);
            let read = tokio::select! {
                read = reading => read,
                () = ctx.cancel.cancelled() => return Err(cancelled().into()),
            };
            found.insert(id, read.map_err(|away| away.failure(&self.0.source))?);
        }
        StepDone::with(&WereRead {
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
        let Ok(read) = serde_json::from_value::<WereRead>(output.clone()) else {
            return String::new();
        };
        let damaged = read.found.values().filter(|one| !one.damage.is_empty());
        let bytes = read.found.values().map(|one| one.bytes).sum();
        match damaged.count() {
            0 => format!("{} intact", units::size(bytes)),
            some => format!("{} damaged", units::plural(some as u64, "backup")),
        }
    }
}

impl WereRead {
    #[must_use]
    pub fn is_damaged(&self, backup: BackupId) -> bool {
        let read = self.found.get(&backup);
        read.is_none_or(|read| !read.damage.is_empty())
    }
}

fn cancelled() -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Cancelled,
        message: "reading the backups was cancelled".to_owned(),
        advice: String::new(),
        retryable: false,
    }
}
