//! The containers that use a database, by the `hooks` of its policy: stopped while another takes its place.

use holdfast_proto::fleet::Container;
use serde::{Deserialize, Serialize};

use crate::{job::copy_database::preflight::PreflightLine, policy::Hooks};

const QUESTION: &str = "what uses the database can be stopped";

/// Names of containers on the target's host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependents {
    /// In this order.
    pub stop: Vec<String>,
    /// In this order.
    pub start: Vec<String>,
    /// What the policy names and cannot be stopped.
    pub left_alone: Vec<LeftAlone>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftAlone {
    pub name: String,
    /// "is no container of web-1".
    pub why: String,
}

impl Dependents {
    /// What the hooks mean on this host: a container of that name, else the service of that name in the compose
    /// project of `server`, the container of the database's server.
    #[must_use]
    pub fn among<'a>(
        hooks: &Hooks,
        host: &str,
        server: &str,
        containers: impl Iterator<Item = &'a Container> + Clone,
    ) -> Self {
        let own = containers.clone().find(|one| one.name == server);
        let project = own.map(|own| own.project.as_str()).unwrap_or_default();
        let find = |name: &str| {
            let by_name = containers.clone().find(|one| one.name == name);
            by_name.or_else(|| {
                let mut services = containers.clone();
                services.find(|one| {
                    !project.is_empty() && one.project == project && one.service == name
                })
            })
        };
        let mut found = Self::default();
        for name in &hooks.stop {
            let why = match find(name) {
                Some(container) if container.name != server => {
                    // By its name and by its service: once.
                    if !found.stop.contains(&container.name) {
                        found.stop.push(container.name.clone());
                    }
                    continue;
                }
                Some(_) => "is the server of the database itself".to_owned(),
                None => format!("is no container of {host}"),
            };
            let name = name.clone();
            found.left_alone.push(LeftAlone { name, why });
        }
        // What was not stopped is not started either.
        let start = hooks.start.iter().filter_map(|name| find(name));
        let start = start.map(|container| container.name.clone());
        for name in start.filter(|name| found.stop.contains(name)) {
            if !found.start.contains(&name) {
                found.start.push(name);
            }
        }
        found
    }

    #[must_use]
    pub fn are_none(&self) -> bool {
        self.stop.is_empty()
    }
}

pub fn ask(dependents: &Dependents, lines: &mut Vec<PreflightLine>) {
    let Dependents {
        stop,
        start,
        left_alone,
    } = dependents;
    if !stop.is_empty() {
        let detail = format!(
            "{} will be stopped for the exchange, and started again: {}",
            stop.join(", "),
            start.join(", ")
        );
        lines.push(PreflightLine::passed(QUESTION, detail));
    }
    lines.extend(left_alone.iter().map(|LeftAlone { name, why }| {
        PreflightLine::warning(
            QUESTION,
            format!("{name} {why}"),
            "correct the hooks of its policy (ctl apply), or stop it yourself",
        )
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::fleet::{ContainerHealth, ContainerState};

    use crate::job::copy_database::preflight::PreflightVerdict;

    fn hooks(stop: &[&str], start: &[&str]) -> Hooks {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Hooks {
            stop: owned(stop),
            start: owned(start),
        }
    }

    fn of(name: &str, project: &str, service: &str) -> Container {
        Container {
            config_hash: String::new(),
            working_directory: String::new(),
            restart_count: 0,
            name: name.to_owned(),
            project: project.to_owned(),
            service: service.to_owned(),
            id: name.to_owned(),
            image: String::new(),
            image_digest: String::new(),
            state: ContainerState::Running,
            health: ContainerHealth::None,
            ports: Vec::new(),
            mounts: Vec::new(),
            created_at: None,
            started_at: None,
            exit_code: 0,
            labels: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a_hook_is_a_container_or_a_service_of_the_servers_project() {
        let containers = [
            of("shop-db-1", "shop", "db"),
            of("shop-web-1", "shop", "web"),
            of("crm-worker-1", "crm", "worker"),
            of("proxy", "", ""),
        ];
        let hooks = hooks(&["proxy", "web", "worker"], &["worker", "web", "proxy"]);
        let found = Dependents::among(&hooks, "web-1", "shop-db-1", containers.iter());
        assert_eq!(found.stop, ["proxy", "shop-web-1"]);
        assert_eq!(found.start, ["shop-web-1", "proxy"]);
        let [left] = &found.left_alone[..] else {
            panic!("{found:?}");
        };
        assert_eq!(
            (left.name.as_str(), left.why.as_str()),
            ("worker", "is no container of web-1")
        );
        let mut lines = Vec::new();
        ask(&found, &mut lines);
        let verdicts: Vec<_> = lines.iter().map(|line| line.verdict).collect();
        assert_eq!(
            verdicts,
            [PreflightVerdict::Passed, PreflightVerdict::Warning]
        );
    }

    #[test]
    fn the_server_itself_is_never_stopped() {
        let containers = [of("shop-db-1", "shop", "db"), of("plain", "", "")];
        let stops = hooks(&["db", "plain"], &["plain", "db"]);
        let found = Dependents::among(&stops, "web-1", "shop-db-1", containers.iter());
        assert_eq!(found.stop, ["plain"]);
        assert!(found.left_alone[0].why.contains("the server"), "{found:?}");
        let twice = hooks(&["plain", "plain"], &["plain", "plain"]);
        let found = Dependents::among(&twice, "web-1", "shop-db-1", containers.iter());
        assert_eq!(
            (found.stop, found.start),
            (vec!["plain".to_owned()], vec!["plain".to_owned()])
        );
        // Without a project a service's name means nothing.
        let found = Dependents::among(
            &hooks(&["", "db"], &[]),
            "web-1",
            "plain",
            containers.iter(),
        );
        assert!(found.are_none() && found.left_alone.len() == 2, "{found:?}");
    }
}
