//! Bring everything of a host back on another one: preflight, read, a throwaway server for each instance with all of
//! its databases, every volume, judge, remove.
//!
//! Which backups are restored is decided when the job is made, so that its steps never change. Each database takes
//! the way of a drill; what is found of each counts for its backup, and all together for the host.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    names::{DatabaseName, HostName, VolumeName},
    task::TaskFailure,
};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    definition::{Definition, Step},
    drill_backup::{
        DrillBackup,
        course::{Course, Whose},
        examine::Examine,
        restore::Restore,
    },
    event::Leftover,
    locks::{Resource, ResourceWish},
    position::Position,
    step::StepContext,
    view::JobReport,
};
use crate::catalog::BackupId;

pub mod choose;
mod judge;
pub mod preflight;
pub mod read;
mod remove;
mod report;
mod rungs;
mod server;
mod volume;

/// A host of terabytes.
const DEADLINE: Duration = Duration::from_hours(72);

/// What an operator or a schedule asked for, and what was chosen for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuildHost {
    /// What is rebuilt.
    pub source: HostName,
    /// Where.
    pub host: HostName,
    pub servers: Vec<ChosenServer>,
    pub volumes: Vec<ChosenVolume>,
    /// What has no good backup, with the reason: it would be lost.
    pub without: Vec<Without>,
    /// Databases that a policy leaves out on purpose.
    pub left_out: Vec<DatabaseName>,
}

/// An instance, and at least one database of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenServer {
    pub instance: String,
    /// The first one's image is that of the server.
    pub databases: Vec<ChosenDatabase>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenDatabase {
    pub database: DatabaseName,
    pub backup: BackupId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenVolume {
    pub volume: VolumeName,
    pub backup: BackupId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Without {
    /// Host/instance/database, or host/volume.
    pub subject: String,
    pub why: String,
}

#[async_trait]
impl Definition for RebuildHost {
    fn title(&self) -> String {
        format!("rebuild of {} on {}", self.source, self.host)
    }

    fn check(&self) -> Result<(), String> {
        if self
            .servers
            .iter()
            .any(|server| server.databases.is_empty())
        {
            return Err("a server without databases has nothing to be rebuilt from".to_owned());
        }
        Ok(())
    }

    fn locks(&self) -> Vec<ResourceWish> {
        // Pruning has it alone; and nobody removes what is being read.
        let repository = Resource::Repository(self.source.clone());
        let backups = self.backups().into_iter().map(Resource::Backup);
        let mut wishes = vec![ResourceWish::shared(repository)];
        wishes.extend(backups.map(ResourceWish::shared));
        wishes
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        let mut steps: Vec<Box<dyn Step + '_>> = vec![
            Box::new(preflight::Preflight(self)),
            Box::new(read::Read(self)),
        ];
        for (place, server) in self.servers.iter().enumerate() {
            steps.push(Box::new(server::Server::new(self, place, server)));
            for course in self.courses().into_iter().filter(|one| one.0 == place) {
                steps.push(Box::new(Restore(course.1.clone())));
                steps.push(Box::new(Examine(course.1)));
            }
        }
        for (place, chosen) in self.volumes.iter().enumerate() {
            steps.push(Box::new(volume::Volume::new(self, place, chosen)));
        }
        steps.push(Box::new(judge::Judge(self)));
        steps.push(Box::new(remove::Remove(self)));
        steps
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

impl RebuildHost {
    /// Of databases first, in the order of the steps.
    #[must_use]
    pub fn backups(&self) -> Vec<BackupId> {
        let databases = self.servers.iter().flat_map(|server| &server.databases);
        let databases = databases.map(|chosen| chosen.backup);
        databases
            .chain(self.volumes.iter().map(|chosen| chosen.backup))
            .collect()
    }

    /// Every database with the place of its server, in the order of the steps.
    fn courses(&self) -> Vec<(usize, Course)> {
        let of = |(place, server): (usize, &ChosenServer)| -> Vec<_> {
            let chosen = server.databases.iter().cloned();
            chosen.map(|chosen| (place, chosen)).collect()
        };
        let all = self.servers.iter().enumerate().flat_map(of);
        let course = |(number, (place, chosen)): (usize, (usize, ChosenDatabase))| {
            let course = Course {
                drill: DrillBackup {
                    backup: chosen.backup,
                    source: chosen.database,
                    host: self.host.clone(),
                    image: String::new(),
                },
                sandbox: format!("server-{}", place + 1),
                restore: format!("restore-{}", number + 1),
                examine: format!("examine-{}", number + 1),
                of: Whose::Rebuild,
            };
            (place, course)
        };
        all.enumerate().map(course).collect()
    }
}
