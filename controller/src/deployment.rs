//! What a compose project has before and after it is deployed: volumes, data, users. Comparing is pure.

use chrono::{DateTime, Utc};
use holdfast_proto::{
    check::{CheckOutcome, CheckVerdict},
    fleet::MountKind,
    names::{DatabaseName, HostName, InstanceName},
};
use serde::{Deserialize, Serialize};

use crate::{check::CheckRun, detect::HostFacts};

mod compare;

pub use compare::{Line, Verdict, compare};

/// A compose project at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub project: String,
    /// None: on all hosts.
    pub host: Option<HostName>,
    pub at: DateTime<Utc>,
    pub volumes: Vec<DeployedVolume>,
    pub data: Vec<DeployedData>,
    pub counts: Vec<DeployedCount>,
}

/// A volume, or a directory of the host, that a container of the project sees.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeployedVolume {
    pub host: HostName,
    /// Of the compose file; the container's name where there is none.
    pub service: String,
    /// Where the container sees it.
    pub path: String,
    /// Of the volume, or the directory.
    pub name: String,
    /// None: nobody tells.
    pub created_at: Option<DateTime<Utc>>,
}

/// A server of the project, and which data it works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedData {
    pub instance: InstanceName,
    /// Empty: it was down.
    pub system_identifier: String,
}

/// A user count of the moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployedCount {
    pub database: DatabaseName,
    pub check: String,
    pub outcome: CheckOutcome,
    pub verdict: CheckVerdict,
    pub reasons: Vec<String>,
}

impl DeployedCount {
    #[must_use]
    pub fn of(database: DatabaseName, check: String, run: CheckRun) -> Self {
        let CheckRun {
            outcome,
            verdict,
            reasons,
        } = run;
        Self {
            database,
            check,
            outcome,
            verdict,
            reasons,
        }
    }
}

/// The project as the hosts reported it last; its user counts are to be asked for. None: no container is of it.
#[must_use]
pub fn picture(
    project: &str,
    host: Option<&HostName>,
    hosts: &[HostFacts],
    at: DateTime<Utc>,
) -> Option<Deployment> {
    let (mut volumes, mut data, mut found) = (Vec::new(), Vec::new(), false);
    let wanted = hosts
        .iter()
        .filter(|facts| host.is_none_or(|host| facts.name == *host));
    for facts in wanted {
        for container in facts.containers.iter().filter(|c| c.project == project) {
            found = true;
            let service = match container.service.as_str() {
                "" => &container.name,
                service => service,
            };
            for mount in &container.mounts {
                let volume = facts
                    .volumes
                    .iter()
                    .find(|volume| volume.name == mount.source);
                let volume = volume.filter(|_| mount.kind == MountKind::Volume);
                if matches!(mount.kind, MountKind::Volume | MountKind::Bind) {
                    volumes.push(DeployedVolume {
                        host: facts.name.clone(),
                        service: service.to_owned(),
                        path: mount.destination.clone(),
                        name: mount.source.clone(),
                        created_at: volume.and_then(|volume| volume.created_at),
                    });
                }
            }
            let own = facts
                .instances
                .iter()
                .filter(|i| i.container == container.name);
            data.extend(own.map(|instance| DeployedData {
                instance: InstanceName {
                    host: facts.name.clone(),
                    instance: instance.name.clone(),
                },
                system_identifier: match &instance.health {
                    Some(health) if instance.is_up() => health.system_identifier.clone(),
                    _ => String::new(),
                },
            }));
        }
    }
    volumes.sort();
    volumes.dedup();
    found.then(|| Deployment {
        project: project.to_owned(),
        host: host.cloned(),
        at,
        volumes,
        data,
        counts: Vec::new(),
    })
}
