//! Restore a backup of a volume into a volume that is thrown away, all of it read back: preflight, read, restore,
//! judge, remove.
//!
//! What was found is a verdict like that of any other drill, by a ladder of its own. A drill that proves nothing fails
//! as a job, and its undo removes the volume like that of any other failure.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    names::{HostName, VolumeName},
    task::TaskFailure,
};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    definition::{Definition, Step},
    drill_backup::read,
    event::Leftover,
    locks::{Resource, ResourceWish},
    position::Position,
    step::StepContext,
    view::JobReport,
    volume::DRILL,
};
use crate::catalog::BackupId;

mod judge;
mod preflight;
mod remove;
mod report;
mod restore;

/// No backup is drilled for longer.
const DEADLINE: Duration = Duration::from_hours(24);

/// What an operator or a schedule asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillVolume {
    pub backup: BackupId,
    /// Of which it is a backup.
    pub source: VolumeName,
    /// Where it is restored.
    pub host: HostName,
}

#[async_trait]
impl Definition for DrillVolume {
    fn title(&self) -> String {
        format!(
            "drill of backup {} of volume {} on {}",
            self.backup, self.source, self.host
        )
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn locks(&self) -> Vec<ResourceWish> {
        vec![
            // Pruning has it alone; and nobody removes what is being read.
            ResourceWish::shared(Resource::Repository(self.source.host.clone())),
            ResourceWish::shared(Resource::Backup(self.backup)),
        ]
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        vec![
            Box::new(preflight::Preflight(self)),
            Box::new(read::Read {
                backup: self.backup,
                home: &self.source.host,
            }),
            Box::new(restore::Restore(self)),
            Box::new(judge::Judge(self)),
            Box::new(remove::Remove(self)),
        ]
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    // Nothing stays that could be taken back.
    fn keep(&self) -> Option<Duration> {
        None
    }

    fn report(&self, _: JobId, position: &Position, _: DateTime<Utc>) -> JobReport {
        JobReport {
            preflight: super::copy_database::preflight::lines(position),
            ..JobReport::default()
        }
    }

    async fn sweep(&self, _: &Leftover, _: &StepContext) -> Result<bool, TaskFailure> {
        Ok(false)
    }
}

impl DrillVolume {
    /// The volume that the job makes, and removes.
    fn made(&self, job: JobId) -> VolumeName {
        VolumeName {
            host: self.host.clone(),
            volume: format!("{DRILL}{job}"),
        }
    }
}
