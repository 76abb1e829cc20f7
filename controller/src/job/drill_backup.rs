//! Restore a backup into a throwaway server and look at it in depth: preflight, read, sandbox, restore, examine,
//! judge, remove.
//!
//! What was found is a verdict of three: proven, damaged, or could not run. It is stored by `judge`, or by the undo
//! of `preflight` when the job does not come so far. A drill that proves nothing fails as a job, so that nobody
//! overlooks it, and its undo removes the throwaway server like that of any other failure.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    names::{DatabaseName, HostName},
    task::{DatabaseTarget, TaskFailure},
};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    definition::{Definition, Step},
    event::Leftover,
    landing::marked::{Mark, marked},
    locks::{Resource, ResourceWish},
    position::Position,
    step::StepContext,
    view::JobReport,
};
use crate::catalog::BackupId;

use course::Course;

pub mod course;
pub mod examine;
pub mod judge;
pub mod ladder;
pub mod plan;
pub mod preflight;
pub mod read;
mod remove;
pub mod report;
pub mod restore;
pub mod sandbox;

/// No backup is drilled for longer.
const DEADLINE: Duration = Duration::from_hours(24);

/// What an operator or a schedule asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillBackup {
    pub backup: BackupId,
    /// Of which it is a backup.
    pub source: DatabaseName,
    /// Where the throwaway server runs.
    pub host: HostName,
    /// Instead of the source's own; empty: that one.
    pub image: String,
}

#[async_trait]
impl Definition for DrillBackup {
    fn title(&self) -> String {
        format!(
            "drill of backup {} of {} on {}",
            self.backup, self.source, self.host
        )
    }

    fn check(&self) -> Result<(), String> {
        if self.image.chars().any(char::is_whitespace) {
            return Err(format!("{:?} is no name of an image", self.image));
        }
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
            Box::new(sandbox::Sandbox(self)),
            Box::new(restore::Restore(Course::of_drill(self))),
            Box::new(examine::Examine(Course::of_drill(self))),
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

impl DrillBackup {
    /// Where the backup is restored to, in the throwaway server of that name.
    fn staging(&self, instance: &str, job: JobId) -> DatabaseTarget {
        DatabaseTarget {
            instance: instance.to_owned(),
            database: marked(&self.source.database, Mark::Staging, job),
        }
    }
}
