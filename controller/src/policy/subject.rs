//! The databases and volumes of the fleet with what policies select by.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use holdfast_proto::{
    fleet::{Engine, MountKind, Volume},
    names::{DatabaseName, VolumeName},
};
use serde::{Deserialize, Serialize};

use crate::{
    detect::{HostFacts, home::mount_of},
    job::{landing::marked::looks_marked, volume::looks_made},
};

/// Set by compose on the volumes of a project.
const PROJECT_LABEL: &str = "com.docker.compose.project";

/// A database or a volume that a policy can cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Of a volume: its name as that of a series ([`DatabaseName::volume`]).
    pub database: DatabaseName,
    /// None: it is a volume.
    pub engine: Option<Engine>,
    /// Compose project of the instance's container, or of the volume; empty when there is none.
    pub project: String,
    /// Of the instance's container, or of the volume.
    pub labels: BTreeMap<String, String>,
    /// Of a volume: the instances whose data lie in it.
    #[serde(default)]
    pub holds: Vec<String>,
}

/// Every database that people made, and every volume that they named, as the hosts reported them last: neither
/// templates, nor what takes no connection, nor what a job has made beside another and will take away.
#[must_use]
pub fn subjects(hosts: &[HostFacts]) -> Vec<Subject> {
    let mut found = Vec::new();
    for host in hosts {
        found.extend(host.volumes.iter().filter_map(|one| volume(host, one)));
        for instance in &host.instances {
            let Some(health) = &instance.health else {
                continue;
            };
            let mut containers = host.containers.iter();
            let container = containers.find(|container| container.name == instance.container);
            let databases = health.databases.iter().filter(|database| {
                !database.is_template
                    && database.allows_connections
                    && !looks_marked(&database.name)
            });
            found.extend(databases.map(|database| Subject {
                database: DatabaseName {
                    host: host.name.clone(),
                    instance: instance.name.clone(),
                    database: database.name.clone(),
                },
                engine: Some(instance.engine),
                project: container.map(|c| c.project.clone()).unwrap_or_default(),
                labels: container.map(|c| c.labels.clone()).unwrap_or_default(),
                holds: Vec::new(),
            }));
        }
    }
    found
}

impl Subject {
    #[must_use]
    pub fn is_volume(&self) -> bool {
        self.database.volume().is_some()
    }
}

/// None: nobody has named it, and it comes and goes with its container; or a job has made it for itself.
fn volume(host: &HostFacts, volume: &Volume) -> Option<Subject> {
    if volume.anonymous || looks_made(&volume.name) {
        return None;
    }
    let name = VolumeName {
        host: host.name.clone(),
        volume: volume.name.clone(),
    };
    let project = volume.labels.get(PROJECT_LABEL);
    Some(Subject {
        database: name.into(),
        engine: None,
        project: project.cloned().unwrap_or_default(),
        labels: volume.labels.clone(),
        holds: servers_in(host, &volume.name),
    })
}

/// The instances whose data lie in the volume, as far as they have told where theirs do.
fn servers_in(host: &HostFacts, volume: &str) -> Vec<String> {
    let in_it = host.instances.iter().filter(|instance| {
        let Some(health) = &instance.health else {
            return false;
        };
        let mut containers = host.containers.iter();
        let container = containers.find(|container| container.name == instance.container);
        let mount = container.and_then(|container| mount_of(container, &health.data_directory));
        mount.is_some_and(|mount| mount.kind == MountKind::Volume && mount.source == volume)
    });
    in_it.map(|instance| instance.name.clone()).collect()
}

/// A database or a volume that was reported once, and not as gone since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub subject: Subject,
    /// Reported first.
    pub since: DateTime<Utc>,
}

/// What is to be noted of the databases and volumes that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollCall {
    /// New ones, and those whose project, labels or content have changed.
    pub here: Vec<Subject>,
    /// Their host is connected and says that they are not there.
    pub gone: Vec<DatabaseName>,
}

/// A server that is down, and a host that is silent, say nothing of their databases: those stay known, and are
/// missed. So does a database while its host has just connected and not yet reported its servers, and a volume while
/// its container engine cannot be asked.
#[must_use]
pub fn roll_call(known: &[Known], hosts: &[HostFacts]) -> RollCall {
    let mut reported = subjects(hosts);
    for subject in reported.iter_mut().filter(|subject| subject.is_volume()) {
        remember(subject, known);
    }
    let is_known = |subject: &&Subject| !known.iter().any(|known| known.subject == **subject);
    let gone = known
        .iter()
        .map(|known| &known.subject.database)
        .filter(|name| {
            let host = hosts
                .iter()
                .find(|host| host.connected && host.name == name.host);
            if let Some(volume) = name.volume() {
                return host.is_some_and(|host| lacks(host, &volume.volume));
            }
            let Some(host) = host.filter(|host| !host.instances.is_empty()) else {
                return false;
            };
            let instance = host
                .instances
                .iter()
                .find(|instance| instance.name == name.instance);
            let silent = instance.is_some_and(|instance| !instance.is_up());
            !silent && !reported.iter().any(|subject| subject.database == **name)
        });
    RollCall {
        gone: gone.cloned().collect(),
        here: reported.iter().filter(is_known).cloned().collect(),
    }
}

/// Files stay in a volume when the server's container is taken away.
fn remember(subject: &mut Subject, known: &[Known]) {
    if !subject.holds.is_empty() {
        return;
    }
    let mut known = known.iter();
    if let Some(known) = known.find(|known| known.subject.database == subject.database) {
        subject.holds.clone_from(&known.subject.holds);
    }
}

/// It has told what it has, and the volume is not in it.
fn lacks(host: &HostFacts, volume: &str) -> bool {
    let told = !host.volumes.is_empty() || !host.containers.is_empty();
    told && host.engine_error.is_empty() && !host.volumes.iter().any(|one| one.name == volume)
}

#[cfg(test)]
mod tests;
