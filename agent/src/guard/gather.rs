//! From what the observer has seen to what the guard is told: pure but for the looks, which are arguments.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use holdfast_proto::fleet::{
    Container as Seen, ContainerState, HostSnapshot, Instance, Mount, MountKind,
};

use super::{
    facts::{Container, DataDirectory, Facts, Mounted, Place, Service, VERSION},
    protection::Protection,
};
use crate::volume::data::Found;

/// Names that every server has of itself.
const OF_THE_SERVER: [&str; 7] = [
    "postgres",
    "template0",
    "template1",
    "mysql",
    "sys",
    "information_schema",
    "performance_schema",
];

/// Everything that the facts are made of.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// As the fleet calls this machine.
    pub host: &'a str,
    pub snapshot: &'a HostSnapshot,
    /// Data directories that were found in the files of places.
    pub looked: &'a BTreeMap<PathBuf, Vec<Found>>,
    pub protections: &'a BTreeMap<String, Protection>,
    pub now: DateTime<Utc>,
}

/// What is on the host now, and what is remembered of it from before.
#[must_use]
pub fn gather(before: Option<&Facts>, sources: Sources<'_>) -> Facts {
    let mut data = BTreeMap::new();
    for instance in &sources.snapshot.instances {
        sources.add_instance(instance, &mut data);
    }
    for volume in &sources.snapshot.volumes {
        let place = Place::Volume {
            name: volume.name.clone(),
            anonymous: volume.anonymous,
        };
        sources.add_found(place, &mut data);
    }
    for known in before.iter().flat_map(|facts| &facts.data) {
        sources.remember(known, &mut data);
    }
    for directory in data.values_mut() {
        directory.protection = sources.protections.get(&directory.place.key()).cloned();
    }
    Facts {
        version: VERSION,
        host: sources.host.to_owned(),
        written_at: sources.now,
        containers: sources
            .snapshot
            .containers
            .iter()
            .map(|seen| sources.container(seen))
            .collect(),
        data: data.into_values().collect(),
        devices: volumes_for_folders(sources.snapshot),
    }
}

/// Places whose files are worth a look: all volumes of the host, the folders that some of them stand for, and those
/// that containers of servers have.
pub fn places(before: Option<&Facts>, snapshot: &HostSnapshot) -> Vec<PathBuf> {
    let volumes = snapshot
        .volumes
        .iter()
        .filter(|volume| volume.driver == "local");
    let mut places: Vec<PathBuf> = volumes
        .flat_map(|volume| [&volume.mountpoint, &volume.device])
        .map(PathBuf::from)
        .collect();
    let servers = snapshot
        .instances
        .iter()
        .map(|instance| instance.container.as_str());
    for name in servers.filter(|name| !name.is_empty()) {
        let containers = snapshot
            .containers
            .iter()
            .filter(|container| container.name == name);
        let mounts = containers.flat_map(|container| &container.mounts);
        let binds = mounts.filter(|mount| mount.kind == MountKind::Bind && !mount.read_only);
        places.extend(binds.map(|mount| mount.source.clone().into()));
    }
    let known = before.iter().flat_map(|facts| &facts.data);
    places.extend(known.flat_map(|data| data.roots.iter().cloned()));
    places.retain(|place| place.is_absolute());
    places.sort();
    places.dedup();
    places
}

impl Sources<'_> {
    fn add_instance(&self, instance: &Instance, data: &mut BTreeMap<Place, DataDirectory>) {
        let health = instance.health.as_ref();
        let own = health.map(|health| health.data_directory.as_str());
        let own = own.filter(|directory| !directory.is_empty()).map(Path::new);
        if instance.container.is_empty() {
            if let Some(path) = own.filter(|path| path.is_absolute() && !instance.registered) {
                let place = Place::Folder(path.to_owned());
                let directory = self.entry(place, data);
                directory.on_host = true;
                add_inside(directory, Path::new(""));
                name_it(directory, instance);
            }
            return;
        }
        let containers = self.snapshot.containers.iter();
        for container in containers.filter(|container| container.name == instance.container) {
            for (place, inside) in self.places_of(container, own) {
                let directory = self.entry(place, data);
                directory.servers.push(container.id.clone());
                directory.servers.dedup();
                for inside in inside {
                    add_inside(directory, &inside);
                }
                name_it(directory, instance);
            }
        }
    }

    /// Where a server in this container has its data, by its own word or by its files.
    fn places_of(&self, container: &Seen, own: Option<&Path>) -> Vec<(Place, Vec<PathBuf>)> {
        let mounts = container.mounts.iter().filter(|mount| !mount.read_only);
        if let Some(own) = own {
            let holds = mounts.filter(|mount| own.starts_with(&mount.destination));
            let nearest = holds.max_by_key(|mount| mount.destination.len());
            let Some(mount) = nearest else {
                return Vec::new();
            };
            let inside = own
                .strip_prefix(&mount.destination)
                .unwrap_or(Path::new(""));
            let inside = inside.to_owned();
            return self
                .place(mount)
                .map(|place| (place, vec![inside]))
                .into_iter()
                .collect();
        }
        let found = mounts.filter_map(|mount| {
            let place = self.place(mount)?;
            let roots = self.roots(&place);
            let inside: Vec<_> = self
                .found(&roots)
                .map(|found| found.inside.clone())
                .collect();
            (!inside.is_empty()).then_some((place, inside))
        });
        found.collect()
    }

    fn add_found(&self, place: Place, data: &mut BTreeMap<Place, DataDirectory>) {
        let roots = self.roots(&place);
        for found in self.found(&roots) {
            let directory = self.entry(place.clone(), data);
            directory.server.clone_from(&found.server);
            add_inside(directory, &found.inside);
        }
    }

    /// What nobody runs on now, and what a server that is down does not tell.
    fn remember(&self, known: &DataDirectory, data: &mut BTreeMap<Place, DataDirectory>) {
        if let Some(directory) = data.get_mut(&known.place) {
            if directory.instance.is_none() || directory.databases.is_empty() {
                directory.instance = directory.instance.take().or_else(|| known.instance.clone());
                directory.databases.clone_from(&known.databases);
            }
            return;
        }
        let engine_is_lost = !self.snapshot.engine_error.is_empty();
        let stays = match &known.place {
            Place::Volume { name, .. } => {
                let is_there = self
                    .snapshot
                    .volumes
                    .iter()
                    .any(|volume| volume.name == *name);
                // A volume that cannot be looked into may hold them still.
                engine_is_lost || (is_there && !self.was_looked_into(known))
            }
            Place::Folder(path) => path.exists() && !self.was_looked_into(known),
        };
        if stays {
            let mut known = known.clone();
            known.on_host = false;
            known.servers.clear();
            data.insert(known.place.clone(), known);
        }
    }

    /// And nothing was found, or it would not be asked about.
    fn was_looked_into(&self, known: &DataDirectory) -> bool {
        known
            .roots
            .iter()
            .any(|root| self.looked.contains_key(root) && root.exists())
    }

    fn entry<'d>(
        &self,
        place: Place,
        data: &'d mut BTreeMap<Place, DataDirectory>,
    ) -> &'d mut DataDirectory {
        let roots = self.roots(&place);
        data.entry(place.clone()).or_insert_with(|| DataDirectory {
            place,
            roots,
            inside: Vec::new(),
            server: "a database server".to_owned(),
            instance: None,
            databases: Vec::new(),
            servers: Vec::new(),
            on_host: false,
            protection: None,
        })
    }

    fn found<'f>(&'f self, roots: &'f [PathBuf]) -> impl Iterator<Item = &'f Found> {
        roots
            .iter()
            .filter_map(|root| self.looked.get(root))
            .flatten()
    }

    fn roots(&self, place: &Place) -> Vec<PathBuf> {
        match place {
            Place::Folder(path) => vec![path.clone()],
            Place::Volume { name, .. } => {
                let volumes = self.snapshot.volumes.iter();
                let own = volumes.filter(|volume| volume.name == *name);
                own.flat_map(|volume| [&volume.mountpoint, &volume.device])
                    .map(PathBuf::from)
                    .filter(|path| path.is_absolute())
                    .collect()
            }
        }
    }

    fn place(&self, mount: &Mount) -> Option<Place> {
        match mount.kind {
            MountKind::Volume => {
                let mut volumes = self.snapshot.volumes.iter();
                let volume = volumes.find(|volume| volume.name == mount.source)?;
                Some(Place::Volume {
                    name: volume.name.clone(),
                    anonymous: volume.anonymous,
                })
            }
            MountKind::Bind => Some(Place::Folder(mount.source.clone().into())),
            MountKind::Tmpfs | MountKind::Other => None,
        }
    }

    fn container(&self, seen: &Seen) -> Container {
        let mounts = seen
            .mounts
            .iter()
            .filter(|mount| mount.kind != MountKind::Tmpfs);
        Container {
            id: seen.id.clone(),
            names: vec![seen.name.clone()],
            alive: matches!(
                seen.state,
                ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
            ),
            mounts: mounts.map(|mount| self.mounted(mount)).collect(),
            service: (!seen.service.is_empty()).then(|| Service {
                project: seen.project.clone(),
                name: seen.service.clone(),
                number: String::new(),
                one_off: false,
            }),
        }
    }

    fn mounted(&self, mount: &Mount) -> Mounted {
        let volume = (mount.kind == MountKind::Volume).then(|| mount.source.clone());
        let path = match self.place(mount) {
            Some(place) => self.roots(&place).into_iter().next(),
            None => None,
        };
        Mounted {
            volume,
            path,
            destination: mount.destination.clone().into(),
            read_only: mount.read_only,
        }
    }
}

/// Of volumes that stand for a folder of the host: which.
fn volumes_for_folders(snapshot: &HostSnapshot) -> BTreeMap<String, PathBuf> {
    let volumes = snapshot.volumes.iter();
    volumes
        .map(|volume| (volume.name.clone(), PathBuf::from(&volume.device)))
        .filter(|(_, device)| device.is_absolute())
        .collect()
}

fn add_inside(directory: &mut DataDirectory, inside: &Path) {
    if !directory.inside.iter().any(|known| known == inside) {
        directory.inside.push(inside.to_owned());
    }
}

fn name_it(directory: &mut DataDirectory, instance: &Instance) {
    directory.instance = Some(instance.name.clone());
    let Some(health) = &instance.health else {
        return;
    };
    directory.server = format!("{} {}", instance.engine.label(), health.version);
    let databases = health
        .databases
        .iter()
        .filter(|database| !database.is_template);
    let databases = databases.map(|database| database.name.clone());
    directory.databases = databases
        .filter(|name| !OF_THE_SERVER.contains(&name.as_str()))
        .collect();
}
