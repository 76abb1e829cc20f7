//! Where the data of an instance lie, as far as its container tells.

use std::path::Path;

use holdfast_proto::fleet::{Container, Instance, Mount, MountKind};

use super::{Facts, HostFacts};

/// What the data lie on.
#[derive(Debug)]
pub enum Home<'a> {
    /// Something that keeps them: a named volume or a directory of the host.
    Named,
    Anonymous(&'a Mount),
    /// The container itself, or memory.
    Layer,
}

/// An instance in a container, and where its data lie.
#[derive(Debug)]
pub struct Housed<'a> {
    pub host: &'a HostFacts,
    pub instance: &'a Instance,
    pub container: &'a Container,
    /// Of the data, as the server sees it.
    pub path: &'a str,
    pub home: Home<'a>,
}

/// Every instance in a container whose data directory is known.
pub fn housed(facts: &Facts) -> impl Iterator<Item = Housed<'_>> {
    let instances = facts.hosts.iter().flat_map(|host| {
        let instances = host.instances.iter();
        instances.map(move |instance| (host, instance))
    });
    instances.filter_map(|(host, instance)| {
        let container = host.container_of(instance)?;
        let path = data_path(instance)?;
        Some(Housed {
            host,
            instance,
            container,
            path,
            home: home(host, container, path),
        })
    })
}

/// As the server sees it; the server itself knows better than its process.
#[must_use]
pub fn data_path(instance: &Instance) -> Option<&str> {
    let told = instance.health.as_ref().map(|h| h.data_directory.as_str());
    let found = instance.data.as_ref().map(|data| data.path.as_str());
    told.filter(|path| !path.is_empty()).or(found)
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

#[must_use]
pub fn is_anonymous(host: &HostFacts, mount: &Mount) -> bool {
    let volumes = &mut host.volumes.iter();
    volumes.any(|volume| volume.name == mount.source && volume.anonymous)
}

impl Housed<'_> {
    /// "web-1/shop-db".
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}/{}", self.host.name, self.instance.name)
    }

    /// A named volume near the data that does not hold them: meant for them, most likely.
    #[must_use]
    pub fn beside(&self) -> Option<&Mount> {
        let mut mounts = self.container.mounts.iter();
        mounts.find(|mount| self.is_beside(mount))
    }

    fn is_beside(&self, mount: &Mount) -> bool {
        let (mounted, data) = (Path::new(&mount.destination), Path::new(self.path));
        let near = mounted.parent().filter(|near| near.parent().is_some());
        mount.kind == MountKind::Volume
            && !is_anonymous(self.host, mount)
            && !data.starts_with(mounted)
            && (mounted.starts_with(data) || near.is_some_and(|near| data.starts_with(near)))
    }

    /// Copying away, and the lines of the compose file that would keep the data.
    #[must_use]
    pub fn advice(&self) -> String {
        let service = match self.container.service.as_str() {
            "" => self.instance.name.as_str(),
            service => service,
        };
        let path = self.path;
        format!(
            "copy the databases away first (ctl copy database), then name the volume in the compose \
             file:\nservices:\n  {service}:\n    volumes:\n      - {service}_data:{path}\nvolumes:\n  \
             {service}_data:\n    name: {service}_data"
        )
    }
}
