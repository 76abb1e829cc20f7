//! `anonymous-volume`: a database whose data nobody has given a name to (incident 5).
//!
//! `docker compose down -v` and `docker system prune --volumes` take an anonymous volume; a mere
//! `docker rm` takes what lies in the container's own layer. Both also happen beside a named
//! volume that was mounted at the wrong path.

use std::path::Path;

use holdfast_proto::fleet::{Container, Instance, Mount, MountKind};

use super::{Facts, HostFacts, Seen, Severity};

const KIND: &str = "anonymous-volume";

/// Where the data lie.
enum Home<'a> {
    /// On something that keeps them: a named volume or a directory of the host.
    Named,
    Anonymous(&'a Mount),
    /// In the container itself, or in memory.
    Layer,
}

pub fn look(facts: &Facts) -> Vec<Seen> {
    let instances = facts
        .hosts
        .iter()
        .flat_map(|host| host.instances.iter().map(move |instance| (host, instance)));
    instances
        .filter(|(_, instance)| !instance.container.is_empty())
        .filter_map(|(host, instance)| {
            let name = &instance.container;
            let container = host.containers.iter().find(|known| known.name == *name)?;
            judge(host, instance, container)
        })
        .collect()
}

fn judge(host: &HostFacts, instance: &Instance, container: &Container) -> Option<Seen> {
    let data = instance.health.as_ref()?.data_directory.as_str();
    if data.is_empty() {
        return None;
    }
    let place = match home(host, container, data) {
        Home::Named => return None,
        Home::Anonymous(mount) => format!(
            "on the anonymous volume {}, which `docker compose down -v` removes",
            mount.source.get(..12).unwrap_or(&mount.source)
        ),
        Home::Layer => "in the container itself, which `docker rm` removes".to_owned(),
    };
    let beside = container
        .mounts
        .iter()
        .find(|mount| is_beside(host, mount, data))
        .map(|mount| {
            let (volume, path) = (&mount.source, &mount.destination);
            format!("; the volume {volume} is mounted at {path}, where they are not")
        });
    let subject = format!("{}/{}", host.name, instance.name);
    Some(Seen {
        kind: KIND,
        key: subject.clone(),
        severity: Severity::Critical,
        message: format!(
            "the data of {subject} lie {place}{}",
            beside.unwrap_or_default()
        ),
        advice: advice(instance, container, data),
        subject,
    })
}

/// By the mount that covers the data directory most closely.
fn home<'a>(host: &HostFacts, container: &'a Container, data: &str) -> Home<'a> {
    match mount_of(container, data) {
        None => Home::Layer,
        Some(mount) => match mount.kind {
            MountKind::Tmpfs => Home::Layer,
            MountKind::Volume if is_anonymous(host, mount) => Home::Anonymous(mount),
            MountKind::Bind | MountKind::Other | MountKind::Volume => Home::Named,
        },
    }
}

/// The mount that the path in the container lies on; none: it lies in the container itself.
pub fn mount_of<'a>(container: &'a Container, path: &str) -> Option<&'a Mount> {
    let mounts = container.mounts.iter();
    let covering = mounts.filter(|mount| Path::new(path).starts_with(&mount.destination));
    covering.max_by_key(|mount| mount.destination.len())
}

fn is_anonymous(host: &HostFacts, mount: &Mount) -> bool {
    let volumes = &mut host.volumes.iter();
    volumes.any(|volume| volume.name == mount.source && volume.anonymous)
}

/// A named volume near the data that does not hold them: meant for them, most likely.
fn is_beside(host: &HostFacts, mount: &Mount, data: &str) -> bool {
    let (mounted, data) = (Path::new(&mount.destination), Path::new(data));
    let near = mounted.parent().filter(|near| near.parent().is_some());
    mount.kind == MountKind::Volume
        && !is_anonymous(host, mount)
        && !data.starts_with(mounted)
        && (mounted.starts_with(data) || near.is_some_and(|near| data.starts_with(near)))
}

fn advice(instance: &Instance, container: &Container, data: &str) -> String {
    let service = match container.service.as_str() {
        "" => instance.name.as_str(),
        service => service,
    };
    format!(
        "copy the databases away first (ctl copy database), then name the volume in the compose \
         file:\nservices:\n  {service}:\n    volumes:\n      - {service}_data:{data}\nvolumes:\n  \
         {service}_data:\n    name: {service}_data"
    )
}
