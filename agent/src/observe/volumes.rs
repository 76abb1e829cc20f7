//! Volumes of the engine, and who mounts them.

use std::collections::BTreeMap;

use holdfast_proto::fleet::{Container, Mount, MountKind, Volume};

use super::containers::time;

/// Docker since 23 marks volumes that nobody named.
const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// Reads a listed volume; who uses it is filled in by [`assign_users`].
#[must_use]
pub fn describe(listed: bollard::models::Volume) -> Volume {
    let labels: BTreeMap<_, _> = listed.labels.into_iter().collect();
    Volume {
        anonymous: labels.contains_key(ANONYMOUS_LABEL) || is_made_up(&listed.name),
        name: listed.name,
        driver: listed.driver,
        labels,
        created_at: listed.created_at.as_deref().and_then(time),
        mountpoint: listed.mountpoint,
        used_by: Vec::new(),
        device: listed.options.get("device").cloned().unwrap_or_default(),
    }
}

/// A volume that binds a directory lies in that directory, whatever its mount point is.
pub fn follow_devices<'a>(volumes: &[Volume], mounts: impl Iterator<Item = &'a mut Mount>) {
    for mount in mounts.filter(|mount| mount.kind == MountKind::Volume) {
        let mut known = volumes.iter();
        let volume = known.find(|volume| volume.name == mount.source);
        if let Some(volume) = volume.filter(|volume| volume.device.starts_with('/')) {
            mount.host_path.clone_from(&volume.device);
        }
    }
}

/// Sets `used_by` of each volume to the names of the containers that mount it, running or not.
pub fn assign_users<'a>(
    volumes: &mut [Volume],
    containers: impl Iterator<Item = &'a Container> + Clone,
) {
    for volume in volumes {
        volume.used_by = containers
            .clone()
            .filter(|container| {
                container
                    .mounts
                    .iter()
                    .any(|m| m.kind == MountKind::Volume && m.source == volume.name)
            })
            .map(|container| container.name.clone())
            .collect();
        volume.used_by.sort();
    }
}

/// 64 hex digits: a name that the engine made up.
fn is_made_up(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, labels: &[(&str, &str)]) -> bollard::models::Volume {
        bollard::models::Volume {
            name: name.to_owned(),
            labels: labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn anonymous_is_told_by_label_or_by_name() {
        assert!(describe(listed(&"0123456789abcdef".repeat(4), &[])).anonymous);
        assert!(describe(listed("named-after-all", &[(ANONYMOUS_LABEL, "")])).anonymous);
        assert!(!describe(listed("shop_data", &[])).anonymous);
        assert!(!describe(listed(&"z".repeat(64), &[])).anonymous);
    }
}
