//! Back a volume up into its host's repository: preflight, stop, store, start, record.
//!
//! What runs with the volume is stopped only when that was asked for, and runs again before the job ends, however
//! it ends. What counts as a backup is the row that `record` writes, at the very end.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    names::{InstanceName, VolumeName},
    task::TaskFailure,
};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    definition::{Definition, Step},
    event::Leftover,
    hold,
    locks::{Resource, ResourceWish},
    position::Position,
    step::StepContext,
    view::JobReport,
};

pub mod contents;
mod preflight;
mod record;
mod store;

/// No backup runs for longer.
const DEADLINE: Duration = Duration::from_hours(24);

/// What an operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackUpVolume {
    pub source: VolumeName,
    /// The containers that run with it are stopped meanwhile.
    pub stop: bool,
    /// Database servers in those containers: nobody else may work on them meanwhile.
    pub instances: Vec<InstanceName>,
    /// With a database in it that runs it is refused: a policy has chosen it by a pattern, which means files.
    #[serde(default)]
    pub only_files: bool,
}

#[async_trait]
impl Definition for BackUpVolume {
    fn title(&self) -> String {
        format!("volume {}", self.source)
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn locks(&self) -> Vec<ResourceWish> {
        let Self {
            source,
            stop,
            instances,
            only_files: _,
        } = self;
        let mut wishes = vec![
            ResourceWish::shared(of_volume(source)),
            // Pruning has it alone.
            ResourceWish::shared(Resource::Repository(source.host.clone())),
        ];
        wishes.extend(of_instances(*stop, instances));
        wishes
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        let mut steps: Vec<Box<dyn Step + '_>> = vec![Box::new(preflight::Preflight(self))];
        if self.stop {
            steps.push(Box::new(hold::Stop {
                held: hold::Held::Volume(&self.source),
                allowed: true,
            }));
        }
        steps.push(Box::new(store::Store(self)));
        if self.stop {
            steps.push(Box::new(hold::Start {
                held: hold::Held::Volume(&self.source),
                again: false,
            }));
        }
        steps.push(Box::new(record::Record(self)));
        steps
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    // A backup is taken away by retention, or by an operator who names it.
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

/// The volume as something to lock.
#[must_use]
pub fn of_volume(volume: &VolumeName) -> Resource {
    Resource::Volume {
        host: volume.host.clone(),
        volume: volume.volume.clone(),
    }
}

/// Servers that are stopped are had alone.
pub fn of_instances(
    stop: bool,
    instances: &[InstanceName],
) -> impl Iterator<Item = ResourceWish> + use<'_> {
    let stopped = instances.iter().filter(move |_| stop);
    stopped.map(|instance| ResourceWish::exclusive(Resource::Instance(instance.clone())))
}
