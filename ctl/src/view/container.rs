//! Containers as their engine describes them.

use holdfast_proto::fleet::{self, ContainerHealth, ContainerState, MountKind};
use serde::Serialize;

use super::Time;
use crate::output::{
    Page, View,
    grid::{Grid, or_dash, plain, toned},
    paint::Tone,
    units,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Container {
    pub host: String,
    pub id: String,
    pub name: String,
    pub image: String,
    pub image_digest: String,
    pub state: ContainerState,
    pub health: ContainerHealth,
    pub project: String,
    pub service: String,
    pub ports: Vec<Port>,
    pub mounts: Vec<Mount>,
    pub created_at: Option<Time>,
    pub started_at: Option<Time>,
    pub exit_code: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    pub container_port: u16,
    pub protocol: String,
    pub host_ip: String,
    pub host_port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    pub kind: MountKind,
    pub source: String,
    pub destination: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerList {
    pub containers: Vec<Container>,
}

impl Container {
    #[must_use]
    pub fn of(host: String, container: fleet::Container) -> Self {
        Self {
            host,
            id: container.id,
            name: container.name,
            image: container.image,
            image_digest: container.image_digest,
            state: container.state,
            health: container.health,
            project: container.project,
            service: container.service,
            ports: container.ports.into_iter().map(Port::from).collect(),
            mounts: container.mounts.into_iter().map(Mount::from).collect(),
            created_at: container.created_at,
            started_at: container.started_at,
            exit_code: container.exit_code,
        }
    }

    fn state_in_words(&self) -> (String, Tone) {
        let word = match self.state {
            ContainerState::Created => "created",
            ContainerState::Running => "running",
            ContainerState::Paused => "paused",
            ContainerState::Restarting => "restarting",
            ContainerState::Removing => "removing",
            ContainerState::Exited => "exited",
            ContainerState::Dead => "dead",
        };
        match (self.state, self.health) {
            (ContainerState::Running, ContainerHealth::Unhealthy) => {
                ("running, unhealthy".to_owned(), Tone::Bad)
            }
            (ContainerState::Running, ContainerHealth::Starting) => {
                ("running, starting".to_owned(), Tone::Warn)
            }
            (ContainerState::Running, _) => (word.to_owned(), Tone::Good),
            (ContainerState::Exited | ContainerState::Dead, _) => (
                format!("{word} ({})", self.exit_code),
                if self.exit_code == 0 {
                    Tone::Dim
                } else {
                    Tone::Bad
                },
            ),
            (ContainerState::Restarting | ContainerState::Paused, _) => {
                (word.to_owned(), Tone::Warn)
            }
            _ => (word.to_owned(), Tone::Plain),
        }
    }

    fn published(&self) -> String {
        let mut shown: Vec<String> = self
            .ports
            .iter()
            .filter(|port| port.host_port != 0)
            .map(|port| format!("{}→{}", port.host_port, port.container_port))
            .collect();
        // The engine lists IPv4 and IPv6 apart.
        shown.dedup();
        shown.join(", ")
    }
}

impl From<fleet::PortBinding> for Port {
    fn from(port: fleet::PortBinding) -> Self {
        Self {
            container_port: port.container_port,
            protocol: port.protocol,
            host_ip: port.host_ip,
            host_port: port.host_port,
        }
    }
}

impl From<fleet::Mount> for Mount {
    fn from(mount: fleet::Mount) -> Self {
        Self {
            kind: mount.kind,
            source: mount.source,
            destination: mount.destination,
            read_only: mount.read_only,
        }
    }
}

impl View for ContainerList {
    fn text(&self, page: &Page) -> String {
        table(&self.containers, page)
    }
}

pub(crate) fn table(containers: &[Container], page: &Page) -> String {
    let head = [
        "HOST",
        "CONTAINER",
        "STATE",
        "IMAGE",
        "PROJECT",
        "PORTS",
        "VOLUMES",
        "STARTED",
    ];
    let mut grid = Grid::new(page, &head, "no containers");
    for container in containers {
        let (state, tone) = container.state_in_words();
        let volumes: Vec<&str> = container
            .mounts
            .iter()
            .filter(|mount| mount.kind == MountKind::Volume)
            .map(|mount| short(&mount.source))
            .collect();
        grid.row(vec![
            plain(&container.host),
            toned(Tone::Strong, &container.name),
            toned(tone, state),
            or_dash(&container.image),
            or_dash(&container.project),
            or_dash(&container.published()),
            or_dash(&volumes.join(", ")),
            plain(units::ago(page.now, container.started_at)),
        ]);
    }
    grid.render()
}

/// Names of 64 hex digits are cut, as the engines' own tools do.
pub(crate) fn short(name: &str) -> &str {
    if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        &name[..12]
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::fleet::{ContainerHealth, ContainerState};

    use super::short;
    use crate::{
        output::{View as _, paint::Tone, testing::page},
        view::samples,
    };

    #[test]
    fn a_list_tells_what_runs_on_what() {
        assert_eq!(
            samples::container_list().text(&page()),
            "HOST   CONTAINER  STATE       IMAGE        PROJECT  PORTS      VOLUMES    STARTED\n\
             web-1  shop-db    running     postgres:15  shop     5433→5432  shop_data  2 h ago\n\
             web-1  job        exited (1)  busybox      -        -          -          3 d ago\n"
        );
    }

    #[test]
    fn trouble_is_toned() {
        let mut container = samples::container_list().containers[0].clone();
        container.health = ContainerHealth::Unhealthy;
        assert_eq!(
            container.state_in_words(),
            ("running, unhealthy".to_owned(), Tone::Bad)
        );
        container.state = ContainerState::Exited;
        assert_eq!(
            container.state_in_words(),
            ("exited (0)".to_owned(), Tone::Dim)
        );
    }

    #[test]
    fn anonymous_names_are_cut() {
        assert_eq!(short(&"a1".repeat(32)), "a1a1a1a1a1a1");
        assert_eq!(short("shop_data"), "shop_data");
    }
}
