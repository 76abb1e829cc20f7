//! A container as its engine describes it, turned into ours, and what discovery needs beside.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum, MountPoint, PortMap,
};
use chrono::{DateTime, Utc};
use holdfast_proto::fleet::{
    Container, ContainerHealth, ContainerState, Engine, Mount, MountKind, PortBinding,
};

use crate::secret::Secret;

/// Longer values are configuration of some tool, not what anybody selects by.
const LONGEST_LABEL: usize = 200;

/// One inspected container.
#[derive(Debug, Clone)]
pub struct Seen {
    pub container: Container,
    /// Id of its image in the engine's store.
    pub image_id: String,
    /// First process, in our numbering; unset when it does not run.
    pub init_pid: Option<i32>,
    /// Addresses on its networks; the host's own when it shares the host's network.
    pub addresses: Vec<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    pub environment: PostgresEnvironment,
    pub mariadb: MariadbEnvironment,
    /// The engine removes it when it ends.
    pub auto_remove: bool,
    /// Paths of the files that compose made it of.
    pub compose_files: Vec<PathBuf>,
}

/// What a container's environment tells about a PostgreSQL in it. Only these variables are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PostgresEnvironment {
    pub user: Option<String>,
    /// Path inside the container of a file that holds it.
    pub user_file: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<String>,
    pub database: Option<String>,
    /// `PGDATA`.
    pub data_directory: Option<String>,
    /// `PGDATA`, `PG_MAJOR` or `PG_VERSION` is set: the image brings a server.
    pub is_server_image: bool,
}

/// The same about a MariaDB or MySQL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MariadbEnvironment {
    pub root_password: Option<Secret>,
    /// Path inside the container of a file that holds it.
    pub root_password_file: Option<String>,
    /// The one account that the image makes for an application.
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<String>,
    /// `MARIADB_VERSION`, `MYSQL_VERSION`, … is set: the image brings a server.
    pub is_server_image: bool,
}

/// Reads an inspection. `None` when it has no id, which no engine does.
#[must_use]
pub fn describe(inspected: ContainerInspectResponse, image_digest: &str) -> Option<Seen> {
    let id = inspected.id?;
    let config = inspected.config.unwrap_or_default();
    let host = inspected.host_config.unwrap_or_default();
    let network = inspected.network_settings.unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let image_id = inspected.image.unwrap_or_default();
    let mut mounts: Vec<Mount> = inspected
        .mounts
        .unwrap_or_default()
        .into_iter()
        .map(mount)
        .collect();
    for path in host.tmpfs.unwrap_or_default().into_keys() {
        if !mounts.iter().any(|m| m.destination == path) {
            mounts.push(Mount {
                kind: MountKind::Tmpfs,
                source: String::new(),
                destination: path,
                read_only: false,
                host_path: String::new(),
            });
        }
    }
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    let status = status(state.status);
    let running = matches!(status, ContainerState::Running | ContainerState::Paused);
    let mut addresses: Vec<String> = network
        .networks
        .unwrap_or_default()
        .into_values()
        .filter_map(|endpoint| endpoint.ip_address)
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort();
    if host.network_mode.as_deref() == Some("host") {
        addresses = vec!["127.0.0.1".to_owned()];
    }
    let working_directory = label(&labels, "project.working_dir");
    let compose_files = label(&labels, "project.config_files")
        .split(',')
        .filter(|file| !file.is_empty())
        .map(|file| Path::new(&working_directory).join(file))
        .collect();
    let name = inspected.name.unwrap_or_default();
    let container = Container {
        id,
        name: name.trim_start_matches('/').to_owned(),
        image: config.image.unwrap_or_default(),
        image_digest: if image_digest.is_empty() {
            image_id.clone()
        } else {
            image_digest.to_owned()
        },
        state: status,
        health: health(state.health.and_then(|h| h.status)),
        project: label(&labels, "project"),
        service: label(&labels, "service"),
        ports: ports(
            config.exposed_ports.unwrap_or_default(),
            network.ports.unwrap_or_default(),
            &host.port_bindings.unwrap_or_default(),
        ),
        mounts,
        created_at: inspected.created.as_deref().and_then(time),
        started_at: state.started_at.as_deref().and_then(time),
        exit_code: state.exit_code.unwrap_or_default(),
        config_hash: label(&labels, "config-hash"),
        working_directory,
        restart_count: inspected
            .restart_count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_default(),
        labels: own_labels(labels),
    };
    Some(Seen {
        image_id,
        init_pid: state
            .pid
            .and_then(|pid| i32::try_from(pid).ok())
            .filter(|pid| running && *pid > 0),
        addresses: if running { addresses } else { Vec::new() },
        command: inspected
            .path
            .into_iter()
            .chain(inspected.args.unwrap_or_default())
            .collect(),
        environment: environment(config.env.as_deref().unwrap_or_default()),
        mariadb: mariadb_environment(config.env.as_deref().unwrap_or_default()),
        auto_remove: host.auto_remove.unwrap_or_default(),
        compose_files,
        container,
    })
}

impl Seen {
    /// The database server that it was made to run, whether or not one runs in it now.
    #[must_use]
    pub fn means_to_run(&self) -> Option<Engine> {
        if self.means_to_run_postgres() {
            return Some(Engine::Postgres);
        }
        self.means_to_run_mariadb()
    }

    fn means_to_run_mariadb(&self) -> Option<Engine> {
        let serves = self
            .container
            .ports
            .iter()
            .any(|p| p.container_port == 3306);
        let mut words = self.command.iter().map(String::as_str);
        let program = words.next().unwrap_or_default();
        let argument = words.next().unwrap_or_default();
        let server = |word: &str| match word.rsplit('/').next().unwrap_or(word) {
            "mariadbd" | "mariadbd-safe" => Some(Engine::Mariadb),
            "mysqld" | "mysqld_safe" => Some(Engine::Mysql),
            _ => None,
        };
        let by_entrypoint = program.ends_with("entrypoint.sh") || program.ends_with("-entrypoint");
        let found = if by_entrypoint && argument.starts_with('-') {
            // Options alone: the entrypoint puts its server before them.
            self.mariadb.is_server_image.then_some(Engine::Mariadb)
        } else if by_entrypoint {
            server(argument)
        } else {
            server(program)
        };
        found.filter(|_| self.mariadb.is_server_image || serves)
    }

    /// Whether it was made to run a PostgreSQL server, whether or not one runs in it now.
    ///
    /// The image alone does not say so: the same image serves for `pg_dump` in a side container.
    #[must_use]
    pub fn means_to_run_postgres(&self) -> bool {
        let serves = self
            .container
            .ports
            .iter()
            .any(|p| p.container_port == 5432);
        let mut words = self.command.iter().map(String::as_str);
        let program = words.next().unwrap_or_default();
        let argument = words.next().unwrap_or_default();
        let starts_server = |word: &str| {
            let last = word.rsplit('/').next().unwrap_or(word);
            last == "postgres" || last == "patroni"
        };
        let by_command = if program.ends_with("entrypoint.sh") || program.ends_with("-entrypoint") {
            starts_server(argument)
                || argument.starts_with('-')
                || (argument.is_empty() && program.contains("postgres"))
                || argument.contains("postgresql/run")
        } else {
            starts_server(program)
        };
        by_command && (self.environment.is_server_image || serves)
    }
}

/// Reads the time of an engine; its zero time is "never".
#[must_use]
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (parsed.timestamp() > 0).then_some(parsed)
}

fn status(status: Option<ContainerStateStatusEnum>) -> ContainerState {
    use ContainerStateStatusEnum as S;
    match status {
        Some(S::RUNNING | S::STOPPING) => ContainerState::Running,
        Some(S::PAUSED) => ContainerState::Paused,
        Some(S::RESTARTING) => ContainerState::Restarting,
        Some(S::REMOVING) => ContainerState::Removing,
        Some(S::EXITED) => ContainerState::Exited,
        Some(S::DEAD) => ContainerState::Dead,
        Some(S::CREATED | S::EMPTY) | None => ContainerState::Created,
    }
}

fn health(status: Option<HealthStatusEnum>) -> ContainerHealth {
    match status {
        Some(HealthStatusEnum::STARTING) => ContainerHealth::Starting,
        Some(HealthStatusEnum::HEALTHY) => ContainerHealth::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => ContainerHealth::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => ContainerHealth::None,
    }
}

/// Docker's compose and podman-compose label alike, under different roofs.
/// Labels that people set: what compose, images and engines note for themselves only makes reports larger.
fn own_labels(labels: HashMap<String, String>) -> BTreeMap<String, String> {
    const OF_TOOLS: [&str; 4] = [
        "com.docker.",
        "io.podman.",
        "io.buildah.",
        "org.opencontainers.",
    ];
    let is_own = |(name, value): &(String, String)| {
        value.len() <= LONGEST_LABEL && !OF_TOOLS.iter().any(|roof| name.starts_with(roof))
    };
    labels.into_iter().filter(is_own).collect()
}

fn label(labels: &HashMap<String, String>, what: &str) -> String {
    ["com.docker.compose", "io.podman.compose"]
        .iter()
        .find_map(|roof| labels.get(&format!("{roof}.{what}")))
        .cloned()
        .unwrap_or_default()
}

fn mount(point: MountPoint) -> Mount {
    let host_path = point.source.clone().unwrap_or_default();
    let (kind, source) = match point.typ.as_deref() {
        Some("volume") => (MountKind::Volume, point.name),
        Some("bind") => (MountKind::Bind, point.source),
        Some("tmpfs") => (MountKind::Tmpfs, None),
        _ => (MountKind::Other, point.source),
    };
    Mount {
        kind,
        source: source.unwrap_or_default(),
        destination: point.destination.unwrap_or_default(),
        read_only: point.rw == Some(false),
        host_path,
    }
}

/// What runs tells its bindings; what does not run, the ones it will ask for.
fn ports(exposed: Vec<String>, live: PortMap, asked: &PortMap) -> Vec<PortBinding> {
    let mut all: BTreeMap<String, Vec<(String, u16)>> =
        exposed.into_iter().map(|key| (key, Vec::new())).collect();
    let bindings = asked.iter().chain(live.iter().filter(|(_, b)| b.is_some()));
    for (key, bindings) in bindings {
        let parsed = bindings.iter().flatten().map(|binding| {
            let port = binding.host_port.as_deref().unwrap_or_default();
            (
                binding.host_ip.clone().unwrap_or_default(),
                port.parse().unwrap_or_default(),
            )
        });
        all.insert(key.clone(), parsed.collect());
    }
    let mut ports = Vec::new();
    for (key, bindings) in all {
        let (port, protocol) = key.split_once('/').unwrap_or((&key, "tcp"));
        let Ok(container_port) = port.parse() else {
            continue;
        };
        let bindings = if bindings.is_empty() {
            vec![(String::new(), 0)]
        } else {
            bindings
        };
        for (host_ip, host_port) in bindings {
            ports.push(PortBinding {
                container_port,
                protocol: protocol.to_owned(),
                host_ip,
                host_port,
            });
        }
    }
    ports
}

fn environment(variables: &[String]) -> PostgresEnvironment {
    let mut found = PostgresEnvironment::default();
    for (name, value) in variables.iter().filter_map(|v| v.split_once('=')) {
        let value = || Some(value.to_owned()).filter(|v| !v.is_empty());
        match name {
            "POSTGRES_USER" | "POSTGRESQL_USERNAME" => found.user = value(),
            "POSTGRES_USER_FILE" => found.user_file = value(),
            "POSTGRES_PASSWORD" | "POSTGRESQL_PASSWORD" => {
                found.password = value().map(Secret::new);
            }
            "POSTGRES_PASSWORD_FILE" | "POSTGRESQL_PASSWORD_FILE" => {
                found.password_file = value();
            }
            "POSTGRES_DB" | "POSTGRESQL_DATABASE" => found.database = value(),
            "PGDATA" => {
                found.data_directory = value();
                found.is_server_image = true;
            }
            "PG_MAJOR" | "PG_VERSION" => found.is_server_image = true,
            _ => {}
        }
    }
    found
}

fn mariadb_environment(variables: &[String]) -> MariadbEnvironment {
    let mut found = MariadbEnvironment::default();
    for (name, value) in variables.iter().filter_map(|v| v.split_once('=')) {
        let Some(name) = name
            .strip_prefix("MARIADB_")
            .or_else(|| name.strip_prefix("MYSQL_"))
        else {
            continue;
        };
        let value = || Some(value.to_owned()).filter(|v| !v.is_empty());
        match name {
            "ROOT_PASSWORD" => found.root_password = value().map(Secret::new),
            "ROOT_PASSWORD_FILE" => found.root_password_file = value(),
            "USER" => found.user = value(),
            "PASSWORD" => found.password = value().map(Secret::new),
            "PASSWORD_FILE" => found.password_file = value(),
            "VERSION" | "MAJOR" | "SHELL_VERSION" => found.is_server_image = true,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(value: serde_json::Value) -> Seen {
        describe(serde_json::from_value(value).unwrap(), "").unwrap()
    }

    fn postgres(path: &str, args: &[&str]) -> Seen {
        inspected(serde_json::json!({
            "Id": "abc", "Name": "/shop-db", "Path": path, "Args": args, "Image": "sha256:1",
            "State": {"Status": "running", "Pid": 77},
            "Config": {"Image": "postgres:17", "ExposedPorts": {"5432/tcp": {}},
                "Env": ["PGDATA=/data", "POSTGRES_USER=shop", "POSTGRES_PASSWORD=x"]},
        }))
    }

    #[test]
    fn a_server_is_told_from_its_tools_by_the_command() {
        for (path, args, server) in [
            ("docker-entrypoint.sh", &["postgres"][..], true),
            (
                "docker-entrypoint.sh",
                &["postgres", "-c", "fsync=off"],
                true,
            ),
            ("docker-entrypoint.sh", &["-c", "fsync=off"], true),
            ("/usr/bin/postgres-entrypoint", &["postgres"], true),
            ("postgres", &["-D", "/data"], true),
            (
                "/opt/bitnami/scripts/postgresql/entrypoint.sh",
                &["/opt/bitnami/scripts/postgresql/run.sh"],
                true,
            ),
            ("docker-entrypoint.sh", &["psql", "postgres://db/"], false),
            ("docker-entrypoint.sh", &["bash"], false),
            ("sleep", &["1000"], false),
            ("sh", &["-c", "pg_dump postgres"], false),
        ] {
            assert_eq!(
                postgres(path, args).means_to_run_postgres(),
                server,
                "{path} {args:?}"
            );
        }
    }

    #[test]
    fn labels_are_those_that_people_set() {
        let seen = inspected(serde_json::json!({
            "Id": "abc", "Config": {"Labels": {
                "com.docker.compose.project": "shop", "com.docker.compose.config-hash": "123",
                "io.podman.compose.version": "1", "tier": "gold", "rule": "x".repeat(500),
            }},
        }));
        assert_eq!(seen.container.project, "shop");
        let labels: Vec<_> = seen.container.labels.into_iter().collect();
        assert_eq!(labels, [("tier".to_owned(), "gold".to_owned())]);
    }

    #[test]
    fn ports_tell_published_from_exposed() {
        let seen = inspected(serde_json::json!({
            "Id": "abc", "Config": {"ExposedPorts": {"5432/tcp": {}, "9000/udp": {}}},
            "HostConfig": {"PortBindings": {"5432/tcp": [{"HostIp": "", "HostPort": "15432"}]}},
            "NetworkSettings": {"Ports": {"5432/tcp": [{"HostIp": "0.0.0.0", "HostPort": "15432"}], "9000/udp": null}},
        }));
        let shown: Vec<_> = seen
            .container
            .ports
            .iter()
            .map(|p| {
                (
                    p.container_port,
                    p.protocol.as_str(),
                    p.host_ip.as_str(),
                    p.host_port,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [(5432, "tcp", "0.0.0.0", 15432), (9000, "udp", "", 0)]
        );
    }

    #[test]
    fn the_zero_time_is_never() {
        assert_eq!(time("0001-01-01T00:00:00Z"), None);
        assert!(time("2026-11-21T00:16:22.102767406Z").is_some());
    }

    #[test]
    fn a_password_of_the_environment_stays_hidden() {
        let seen = postgres("docker-entrypoint.sh", &["postgres"]);
        assert_eq!(seen.environment.user.as_deref(), Some("shop"));
        assert!(!format!("{:?}", seen.environment).contains('x'), "{seen:?}");
    }
}
