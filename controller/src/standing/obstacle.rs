//! Why something that is due cannot begin now: its host, server or volume is away, or somebody writes to it. Pure.

use holdfast_proto::{
    fleet::{Container, ContainerState, MountKind},
    names::{DatabaseName, HostName, VolumeName},
};

use super::DatabaseStanding;
use crate::detect::HostFacts;

/// Why a host can do nothing now.
pub fn away(name: &HostName, hosts: &[HostFacts]) -> Option<String> {
    let host = hosts.iter().find(|host| host.name == *name);
    let here = host.is_some_and(|host| host.connected);
    (!here).then(|| format!("{name} is not connected"))
}

/// Why a database cannot be read now.
pub fn of_database(name: &DatabaseName, hosts: &[HostFacts]) -> Option<String> {
    if let Some(away) = away(&name.host, hosts) {
        return Some(away);
    }
    let host = hosts.iter().find(|host| host.name == name.host)?;
    let mut instances = host.instances.iter();
    match instances.find(|instance| instance.name == name.instance) {
        None => Some(format!("{}/{} is not reported", name.host, name.instance)),
        Some(instance) if !instance.is_up() => {
            Some(format!("{}/{} is down", name.host, name.instance))
        }
        Some(_) => None,
    }
}

/// Why a volume cannot be read now. Who may write to it is seen here already: no job is made that must fail.
pub fn of_volume(
    standing: &DatabaseStanding,
    name: &VolumeName,
    hosts: &[HostFacts],
) -> Option<String> {
    if let Some(away) = away(&name.host, hosts) {
        return Some(away);
    }
    let host = hosts.iter().find(|host| host.name == name.host)?;
    if !host.volumes.iter().any(|one| one.name == name.volume) {
        return Some(format!("{name} is not reported"));
    }
    if standing.plan()?.stop {
        return None;
    }
    // A server may not even read beside the backup: what it wrote may not be in its files yet.
    let any = !standing.subject.holds.is_empty();
    let mut containers = host.containers.iter();
    let user = containers.find(|one| runs(one) && mounts(one, &name.volume, any))?;
    Some(format!(
        "{} runs with it, and policy {} does not say stop: true",
        user.name, standing.policy
    ))
}

fn runs(container: &Container) -> bool {
    matches!(
        container.state,
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
    )
}

/// So that it may write, or in `any` way.
fn mounts(container: &Container, volume: &str, any: bool) -> bool {
    let mut mounts = container.mounts.iter();
    mounts.any(|mount| {
        mount.kind == MountKind::Volume && mount.source == volume && (any || !mount.read_only)
    })
}
