//! The databases of the fleet with what policies select by.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use holdfast_proto::{fleet::Engine, names::DatabaseName};
use serde::{Deserialize, Serialize};

use crate::{detect::HostFacts, job::landing::marked::looks_marked};

/// A database that a policy can cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub database: DatabaseName,
    pub engine: Engine,
    /// Compose project of the instance's container; empty when there is none.
    pub project: String,
    /// Of the instance's container.
    pub labels: BTreeMap<String, String>,
}

/// Every database that people made, as the hosts reported it last: neither templates, nor what takes no
/// connection, nor what a job has made beside another and will take away.
#[must_use]
pub fn subjects(hosts: &[HostFacts]) -> Vec<Subject> {
    let mut found = Vec::new();
    for host in hosts {
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
                engine: instance.engine,
                project: container.map(|c| c.project.clone()).unwrap_or_default(),
                labels: container.map(|c| c.labels.clone()).unwrap_or_default(),
            }));
        }
    }
    found
}

/// A database that was reported once, and not as gone since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub subject: Subject,
    /// Reported first.
    pub since: DateTime<Utc>,
}

/// What is to be noted of the databases that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollCall {
    /// New ones, and those whose project or labels have changed.
    pub here: Vec<Subject>,
    /// Their host is connected and says that they are not there.
    pub gone: Vec<DatabaseName>,
}

/// A server that is down, and a host that is silent, say nothing of their databases: those stay known, and are
/// missed. So does a database while its host has just connected and not yet reported its servers.
#[must_use]
pub fn roll_call(known: &[Known], hosts: &[HostFacts]) -> RollCall {
    let reported = subjects(hosts);
    let is_known = |subject: &&Subject| !known.iter().any(|known| known.subject == **subject);
    let gone = known
        .iter()
        .map(|known| &known.subject.database)
        .filter(|name| {
            let host = hosts
                .iter()
                .find(|host| host.connected && host.name == name.host);
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
