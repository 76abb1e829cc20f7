//! The off-site drill: read every byte of a host's repository and hold it against the catalog: preflight, read, judge.
//!
//! Nothing is restored. What is damaged is told by backup, so that those that are sound keep counting.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{names::HostName, task::TaskFailure};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    definition::{Definition, Step},
    event::Leftover,
    locks::{Resource, ResourceWish},
    position::Position,
    step::StepContext,
    view::JobReport,
};

mod compare;
mod judge;
mod preflight;
mod read;
mod report;

/// Terabytes over a slow line.
const DEADLINE: Duration = Duration::from_hours(7 * 24);

/// What an operator or a schedule asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRepository {
    /// Whose repository it is.
    pub host: HostName,
}

#[async_trait]
impl Definition for ReadRepository {
    fn title(&self) -> String {
        format!("off-site drill of the repository of {}", self.host)
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    // Pruning has it alone: nothing is taken away while it is read.
    fn locks(&self) -> Vec<ResourceWish> {
        vec![ResourceWish::shared(Resource::Repository(
            self.host.clone(),
        ))]
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        vec![
            Box::new(preflight::Preflight(self)),
            Box::new(read::Read(self)),
            Box::new(judge::Judge(self)),
        ]
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

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
