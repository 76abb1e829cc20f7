//! Take out of a host's repository what retention let go, and free its space: remove, prune.
//!
//! The only place where anything leaves a repository. It has the repository alone, so nothing is written to it
//! and nothing read from it meanwhile. There is no way back: what goes has been marked for a day, and a pin
//! would have kept it.

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

pub mod prune;
pub mod remove;

use prune::Freed;
use remove::Removed;

/// It waits for a backup that takes a day, and then works through a repository of terabytes.
const DEADLINE: Duration = Duration::from_hours(72);

/// What an operator or the scheduler asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRepository {
    pub host: HostName,
}

/// What it did, as far as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReport {
    pub removed: Removed,
    /// None: it did not come to that.
    pub freed: Option<Freed>,
}

#[async_trait]
impl Definition for PruneRepository {
    fn title(&self) -> String {
        format!("repository of {}", self.host)
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn locks(&self) -> Vec<ResourceWish> {
        let repository = Resource::Repository(self.host.clone());
        vec![ResourceWish::exclusive(repository)]
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        vec![Box::new(remove::Remove(self)), Box::new(prune::Prune(self))]
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn keep(&self) -> Option<Duration> {
        None
    }

    fn report(&self, _: JobId, position: &Position, _: DateTime<Utc>) -> JobReport {
        JobReport {
            pruned: removed(position).map(|removed| PruneReport {
                removed,
                freed: position.output(prune::NAME).and_then(Freed::read),
            }),
            ..JobReport::default()
        }
    }

    /// An end without success is no way back for what was removed before it.
    fn left(&self, position: &Position) -> String {
        match removed(position) {
            Some(removed) => match removed.backups.len() {
                0 => String::new(),
                1 => format!("{} stays removed", removed.named()),
                _ => format!("{} stay removed", removed.named()),
            },
            None => String::new(),
        }
    }

    async fn sweep(&self, _: &Leftover, _: &StepContext) -> Result<bool, TaskFailure> {
        Ok(false)
    }
}

fn removed(position: &Position) -> Option<Removed> {
    position.output(remove::NAME).and_then(Removed::read)
}
