//! The engine's own list of containers, for what memory cannot decide.

use std::path::Path;

use bollard::{
    models::{ContainerSummary, ContainerSummaryStateEnum, MountPoint},
    query_parameters::ListContainersOptionsBuilder,
};

use super::{
    facts::{Container, Facts, Mounted, Service},
    place,
};
use crate::container::{ContainerEngine, EngineError};

/// All containers, running or not. The engine asks the guard about this very call, and gets its yes at once.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn containers(engine: &ContainerEngine) -> Result<Vec<ContainerSummary>, EngineError> {
    let connected = engine.connected().await?;
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let listed = connected.docker.list_containers(Some(options)).await;
    listed.map_err(|error| {
        engine.reset();
        connected.explain("listing containers", "", error)
    })
}

/// Reads the file system: where folders of the host lead to.
#[must_use]
pub fn read(listed: ContainerSummary, facts: &Facts) -> Container {
    use ContainerSummaryStateEnum as State;
    let labels = listed.labels.unwrap_or_default();
    let mounts = listed.mounts.unwrap_or_default();
    Container {
        id: listed.id.unwrap_or_default(),
        names: listed
            .names
            .unwrap_or_default()
            .iter()
            .map(|name| name.trim_start_matches('/').to_owned())
            .collect(),
        alive: matches!(
            listed.state,
            Some(State::RUNNING | State::PAUSED | State::RESTARTING | State::STOPPING)
        ),
        mounts: mounts
            .into_iter()
            .map(|mount| mounted(mount, facts))
            .collect(),
        service: Service::of(|name| labels.get(name).map(String::as_str)),
    }
}

fn mounted(mount: MountPoint, facts: &Facts) -> Mounted {
    let is_volume = mount.typ.as_deref() == Some("volume");
    let volume = mount.name.filter(|name| is_volume && !name.is_empty());
    let source = mount.source.filter(|source| source.starts_with('/'));
    let source = source.as_deref().map(Path::new);
    let path = match &volume {
        Some(volume) => place::of_volume(volume, source, facts),
        None => source.map(|source| place::folder(source, facts)),
    };
    Mounted {
        volume,
        path,
        destination: mount.destination.unwrap_or_default().into(),
        read_only: mount.rw == Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_lists_is_read() {
        let listed = serde_json::from_value(serde_json::json!({
            "Id": "abc", "Names": ["/web/db", "/shop-db"], "State": "paused",
            "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "db"},
            "Mounts": [
                {"Type": "volume", "Name": "shop_db", "Source": "/nowhere/shop_db/_data",
                    "Destination": "/data", "RW": true},
                {"Type": "bind", "Source": "/nowhere/conf", "Destination": "/conf", "RW": false}],
        }))
        .unwrap();
        let facts = Facts::none("web-1", chrono::DateTime::UNIX_EPOCH);
        let container = read(listed, &facts);
        assert!(container.alive);
        assert_eq!(container.names, ["web/db", "shop-db"]);
        assert_eq!(container.service.unwrap().name, "db");
        let (data, conf) = (&container.mounts[0], &container.mounts[1]);
        assert_eq!(data.volume.as_deref(), Some("shop_db"));
        assert!(!data.read_only && conf.read_only);
        assert_eq!(conf.path.as_deref(), Some(Path::new("/nowhere/conf")));
    }
}
