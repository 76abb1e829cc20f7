//! `double-mount`: a live data directory is mounted by a second container (incident 1).
//!
//! Two servers on one data directory destroy it within seconds. What is compared are places on the host, so that it
//! does not matter whether somebody came by the volume's name, its path, a part of it, or another container's mounts.

use std::path::Path;

use holdfast_proto::fleet::{Container, Instance};

use super::{Detector, Evidence, Facts, HostFacts, Kind, Seen, Severity, home::mount_of, kind};
use crate::data_store::is_alive;

const KIND: Kind = kind!("HF0101", "double-mount");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

/// A server that runs, or is about to, on a directory of its host.
struct Live<'a> {
    instance: &'a Instance,
    /// None: it runs outside containers.
    container: Option<&'a Container>,
    place: &'a Path,
}

fn look(facts: &Facts) -> Vec<Seen> {
    facts.hosts.iter().flat_map(of_host).collect()
}

fn of_host(host: &HostFacts) -> Vec<Seen> {
    let instances = host.instances.iter();
    let live: Vec<_> = instances.filter_map(|one| Live::of(host, one)).collect();
    let mut found = Vec::new();
    for (index, one) in live.iter().enumerate() {
        let later = live.get(index + 1..).unwrap_or_default();
        let others = later.iter().filter(|other| other.clashes_with(one));
        found.extend(others.map(|other| two_servers(host, one, other)));
        let tools = host.containers.iter().filter(|container| {
            is_alive(container) && !live.iter().any(|known| known.is_in(container))
        });
        found.extend(tools.filter_map(|tool| one.written_by(host, tool)));
    }
    found
}

impl<'a> Live<'a> {
    fn of(host: &'a HostFacts, instance: &'a Instance) -> Option<Self> {
        let container = host.container_of(instance);
        let place = Path::new(&instance.data.as_ref()?.host_path);
        let runs = container.map_or_else(|| instance.is_up(), is_alive);
        (runs && place.is_absolute()).then_some(Self {
            instance,
            container,
            place,
        })
    }

    fn is_in(&self, container: &Container) -> bool {
        self.container.is_some_and(|own| own.id == container.id)
    }

    fn name(&self) -> &str {
        &self.instance.name
    }

    fn clashes_with(&self, other: &Self) -> bool {
        let together = self.container.is_some_and(|own| other.is_in(own));
        !together && overlap(self.place, other.place)
    }

    /// A container without a server that may write to the data. What has the whole disk, to watch or to tend it, is
    /// not meant: only what was given this volume, this directory, or a part of it.
    fn written_by(&self, host: &HostFacts, tool: &Container) -> Option<Seen> {
        let data = &self.instance.data.as_ref()?.path;
        let own = self.container.and_then(|own| mount_of(own, data));
        let home = own.map_or(self.place, |mount| Path::new(&mount.host_path));
        let mount = tool.mounts.iter().find(|mount| {
            let theirs = Path::new(&mount.host_path);
            !mount.read_only && theirs.starts_with(home) && overlap(theirs, self.place)
        })?;
        let subject = format!("{}/{}", host.name, self.name());
        Some(Seen {
            kind: KIND,
            key: format!("{subject} {}", tool.name),
            severity: Severity::Warning,
            message: format!(
                "container {} can write to the live data directory of {subject}",
                tool.name
            ),
            evidence: vec![
                Evidence::new("directory", self.place.display().to_string()),
                Evidence::new("mounted at", &mount.destination),
                Evidence::new("image", &tool.image),
            ],
            advice: format!(
                "if it only reads, mount it read-only; else stop it: docker stop {} on {}",
                tool.name, host.name
            ),
            subject,
        })
    }
}

fn two_servers(host: &HostFacts, one: &Live<'_>, other: &Live<'_>) -> Seen {
    let since = |live: &Live<'_>| live.container.and_then(|container| container.started_at);
    // Who came second is the one to stop.
    let (first, second) = if since(other) < since(one) {
        (other, one)
    } else {
        (one, other)
    };
    let subject = format!("{}/{}", host.name, first.name());
    let evidence = [("first", first), ("second", second)].map(|(what, live)| {
        let image = live.container.map_or("", |container| &container.image);
        let started = since(live).map_or_else(String::new, |at| format!(", started {at}"));
        Evidence::new(what, format!("{} {image}{started}", live.name()))
    });
    let directory = Evidence::new("directory", first.place.display().to_string());
    Seen {
        kind: KIND,
        key: format!("{subject} {}", second.name()),
        severity: Severity::Critical,
        message: format!(
            "two servers on one data directory: {} and {} on {}; they destroy it",
            first.name(),
            second.name(),
            host.name
        ),
        evidence: evidence.into_iter().chain([directory]).collect(),
        advice: format!(
            "stop the second one at once: docker stop {} on {}",
            second.name(),
            host.name
        ),
        subject,
    }
}

fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
