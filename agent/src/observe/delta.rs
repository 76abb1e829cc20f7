//! What changed between two looks at a host: a pure function, and its inverse.

use std::collections::BTreeMap;

use holdfast_proto::fleet::{Container, HostDelta, HostSnapshot, Instance, Volume};

/// The smallest delta that turns `before` into `now`; `None` when there is nothing to tell.
///
/// Events are not part of it: the one who sends it adds them.
#[must_use]
pub fn between(before: &HostSnapshot, now: &HostSnapshot) -> Option<HostDelta> {
    let (containers, removed_containers) = changes(&before.containers, &now.containers);
    let (volumes, removed_volumes) = changes(&before.volumes, &now.volumes);
    let (instances, removed_instances) = changes(&before.instances, &now.instances);
    let delta = HostDelta {
        containers,
        removed_containers,
        volumes,
        removed_volumes,
        instances,
        removed_instances,
        container_engine: now.container_engine.clone(),
        engine_error: now.engine_error.clone(),
        events: Vec::new(),
    };
    let quiet = HostDelta {
        container_engine: before.container_engine.clone(),
        engine_error: before.engine_error.clone(),
        ..HostDelta::default()
    };
    (delta != quiet).then_some(delta)
}

/// What a receiver has after the delta.
pub fn apply(snapshot: &mut HostSnapshot, delta: &HostDelta) {
    merge(
        &mut snapshot.containers,
        &delta.containers,
        &delta.removed_containers,
    );
    merge(
        &mut snapshot.volumes,
        &delta.volumes,
        &delta.removed_volumes,
    );
    merge(
        &mut snapshot.instances,
        &delta.instances,
        &delta.removed_instances,
    );
    snapshot
        .container_engine
        .clone_from(&delta.container_engine);
    snapshot.engine_error.clone_from(&delta.engine_error);
}

/// What a thing keeps while everything else about it may change.
trait Keyed: Clone + PartialEq {
    fn key(&self) -> &str;
}

impl Keyed for Container {
    fn key(&self) -> &str {
        &self.id
    }
}

impl Keyed for Volume {
    fn key(&self) -> &str {
        &self.name
    }
}

impl Keyed for Instance {
    fn key(&self) -> &str {
        &self.name
    }
}

fn changes<T: Keyed>(before: &[T], now: &[T]) -> (Vec<T>, Vec<String>) {
    let old: BTreeMap<_, _> = before.iter().map(|item| (item.key(), item)).collect();
    let new: BTreeMap<_, _> = now.iter().map(|item| (item.key(), item)).collect();
    let changed = new
        .iter()
        .filter(|(key, item)| old.get(*key) != Some(item))
        .map(|(_, item)| (*item).clone())
        .collect();
    let removed = old
        .keys()
        .filter(|key| !new.contains_key(*key))
        .map(|key| (*key).to_owned())
        .collect();
    (changed, removed)
}

fn merge<T: Keyed>(all: &mut Vec<T>, changed: &[T], removed: &[String]) {
    all.retain(|item| {
        !removed.iter().any(|key| key == item.key())
            && !changed.iter().any(|c| c.key() == item.key())
    });
    all.extend(changed.iter().cloned());
    all.sort_by(|a, b| a.key().cmp(b.key()));
}

#[cfg(test)]
mod tests {
    use holdfast_proto::fleet::{ContainerHealth, ContainerState, Engine};
    use proptest::prelude::*;

    use super::*;

    fn container(key: u8, version: u8) -> Container {
        Container {
            config_hash: String::new(),
            working_directory: String::new(),
            restart_count: 0,
            id: format!("id-{key}"),
            name: format!("name-{version}"),
            image: String::new(),
            image_digest: String::new(),
            state: if version.is_multiple_of(2) {
                ContainerState::Running
            } else {
                ContainerState::Exited
            },
            health: ContainerHealth::None,
            project: String::new(),
            service: String::new(),
            ports: Vec::new(),
            mounts: Vec::new(),
            created_at: None,
            started_at: None,
            exit_code: i64::from(version),
            labels: BTreeMap::new(),
        }
    }

    fn volume(key: u8, version: u8) -> Volume {
        Volume {
            device: String::new(),
            name: format!("volume-{key}"),
            driver: "local".to_owned(),
            labels: BTreeMap::new(),
            created_at: None,
            mountpoint: format!("/mnt/{version}"),
            anonymous: false,
            used_by: Vec::new(),
        }
    }

    fn instance(key: u8, version: u8) -> Instance {
        Instance {
            data: None,
            name: format!("instance-{key}"),
            engine: Engine::Postgres,
            container: String::new(),
            reached_by: String::new(),
            down_reason: format!("reason {version}"),
            health: None,
            registered: false,
        }
    }

    prop_compose! {
        fn snapshot()(
            containers in prop::collection::btree_map(0u8..12, 0u8..3, 0..8),
            volumes in prop::collection::btree_map(0u8..12, 0u8..3, 0..8),
            instances in prop::collection::btree_map(0u8..12, 0u8..3, 0..8),
            engine in 0u8..3,
            error in 0u8..2,
        ) -> HostSnapshot {
            let mut snapshot = HostSnapshot {
                containers: containers.into_iter().map(|(k, v)| container(k, v)).collect(),
                volumes: volumes.into_iter().map(|(k, v)| volume(k, v)).collect(),
                instances: instances.into_iter().map(|(k, v)| instance(k, v)).collect(),
                container_engine: format!("docker {engine}"),
                engine_error: "no answer".repeat(usize::from(error)),
            };
            snapshot.containers.sort_by(|a, b| a.id.cmp(&b.id));
            snapshot.volumes.sort_by(|a, b| a.name.cmp(&b.name));
            snapshot.instances.sort_by(|a, b| a.name.cmp(&b.name));
            snapshot
        }
    }

    proptest! {
        #[test]
        fn applying_the_delta_gives_what_is_now(before in snapshot(), now in snapshot()) {
            let mut rebuilt = before.clone();
            match between(&before, &now) {
                Some(delta) => apply(&mut rebuilt, &delta),
                None => prop_assert_eq!(&before, &now),
            }
            prop_assert_eq!(rebuilt, now);
        }

        #[test]
        fn nothing_changed_is_nothing_to_tell(same in snapshot()) {
            prop_assert!(between(&same, &same.clone()).is_none());
        }

        #[test]
        fn only_what_changed_travels(before in snapshot(), now in snapshot()) {
            if let Some(delta) = between(&before, &now) {
                for sent in &delta.containers {
                    prop_assert!(!before.containers.contains(sent));
                }
                for gone in &delta.removed_volumes {
                    prop_assert!(!now.volumes.iter().any(|v| &v.name == gone));
                }
            }
        }
    }
}
