//! Reports, as services with what their data lie on: pure.

use std::collections::BTreeMap;

use holdfast_proto::{
    fleet::{Container, ContainerState, Instance, MountKind},
    names::InstanceName,
};

use super::{Contents, DataStore, Observed, Traits, VolumeIdentity};
use crate::{
    check::CheckState,
    detect::{
        HostFacts,
        home::{data_path, mount_of},
    },
    job::landing::marked::looks_marked,
};

/// Every service of the hosts that can be seen now, one for each name.
#[must_use]
pub fn observe(hosts: &[HostFacts], checks: &[CheckState]) -> Vec<Observed> {
    let seen = hosts.iter().filter(|host| host.is_seen());
    let mut observed: Vec<_> = seen.flat_map(of_host).collect();
    for one in &mut observed {
        let name = &one.name;
        let own = checks.iter().filter(|state| {
            let database = &state.check.database;
            database.host == name.host && database.instance == name.instance
        });
        if let Some(contents) = &mut one.contents {
            contents.counts = own.filter_map(count).collect();
        }
    }
    observed
}

fn count(state: &CheckState) -> Option<(String, i64)> {
    let name = format!("{} {}", state.check.database.database, state.check.name);
    Some((name, state.last.as_ref()?.outcome.count?))
}

fn of_host(host: &HostFacts) -> Vec<Observed> {
    let mut by_service: BTreeMap<String, Vec<Observed>> = BTreeMap::new();
    for instance in &host.instances {
        if let Some(one) = of_instance(host, instance) {
            by_service.entry(one.service.clone()).or_default().push(one);
        }
    }
    by_service.into_values().flat_map(tell_apart).collect()
}

/// Several containers of one service of compose: the service is the one that runs, or the first of them.
fn tell_apart(mut all: Vec<Observed>) -> Vec<Observed> {
    all.sort_by(|a, b| (!a.alive, &a.name.instance).cmp(&(!b.alive, &b.name.instance)));
    for replica in all.iter_mut().skip(1) {
        replica.service.clone_from(&replica.name.instance);
    }
    // What does not run beside the one that does is what the service was before.
    let first_is_alive = all.first().is_some_and(|first| first.alive);
    let mut first = true;
    all.retain(|one| std::mem::take(&mut first) || one.alive || !first_is_alive);
    all
}

fn of_instance(host: &HostFacts, instance: &Instance) -> Option<Observed> {
    let container = host.container_of(instance);
    if container.is_none() && !instance.is_up() {
        // Nothing tells of a server that is away and lies in no container.
        return None;
    }
    if container.is_some_and(|container| container.state == ContainerState::Created) {
        // It has not run yet: neither are there data of its own, nor does anything go on in it.
        return None;
    }
    let data = instance.data.clone().unwrap_or_default();
    // Of a server in a container nobody has told yet where its data lie.
    let told = data_path(instance).is_some_and(|path| !path.is_empty());
    if container.is_some() && !told {
        return None;
    }
    let path = data_path(instance).unwrap_or_default().to_owned();
    let identifier = instance.health.as_ref().map(|h| &h.system_identifier);
    let store = DataStore {
        engine: instance.engine,
        container: instance.container.clone(),
        image_digest: container
            .map(|c| c.image_digest.clone())
            .unwrap_or_default(),
        volume: container.and_then(|container| volume(host, container, &path)),
        path,
        host_path: data.host_path,
        inode: data.inode,
        born_at: data.born_at,
        file_system: data.file_system,
        system_identifier: match identifier.filter(|told| !told.is_empty()) {
            Some(told) => told.clone(),
            None => data.system_identifier,
        },
    };
    Some(Observed {
        name: InstanceName {
            host: host.name.clone(),
            instance: instance.name.clone(),
        },
        service: service(instance, container),
        store,
        contents: contents(instance),
        traits: container.map(traits).unwrap_or_default(),
        alive: container.map_or_else(|| instance.is_up(), is_alive),
    })
}

/// Something runs in it, or is about to.
#[must_use]
pub fn is_alive(container: &Container) -> bool {
    matches!(
        container.state,
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
    )
}

fn service(instance: &Instance, container: Option<&Container>) -> String {
    match container {
        // A second server in one container has a name of its own.
        Some(container) if !container.service.is_empty() && instance.name == container.name => {
            format!("{}/{}", container.project, container.service)
        }
        _ => instance.name.clone(),
    }
}

fn volume(host: &HostFacts, container: &Container, path: &str) -> Option<VolumeIdentity> {
    let mount = mount_of(container, path).filter(|mount| mount.kind == MountKind::Volume)?;
    let mut volumes = host.volumes.iter();
    let known = volumes.find(|volume| volume.name == mount.source);
    Some(VolumeIdentity {
        name: mount.source.clone(),
        created_at: known.and_then(|volume| volume.created_at),
        driver: known
            .map(|volume| volume.driver.clone())
            .unwrap_or_default(),
    })
}

fn contents(instance: &Instance) -> Option<Contents> {
    let health = instance.health.as_ref().filter(|_| instance.is_up())?;
    let databases = health.databases.iter().filter(|database| {
        !database.is_template && database.allows_connections && !looks_marked(&database.name)
    });
    Some(Contents {
        databases: databases
            .map(|database| (database.name.clone(), database.size_bytes))
            .collect(),
        counts: BTreeMap::new(),
    })
}

fn traits(container: &Container) -> Traits {
    let ports = container.ports.iter().map(|port| port.host_port);
    Traits {
        project: container.project.clone(),
        compose_service: container.service.clone(),
        config_hash: container.config_hash.clone(),
        ports: ports.filter(|port| *port != 0).collect(),
    }
}
