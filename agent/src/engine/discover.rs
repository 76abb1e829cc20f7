//! Which database instances a host has: a pure match of containers with running servers.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::fleet::{ContainerState, Engine};

use super::{
    postgres::processes::{Mode, Namespaces},
    server::Server,
};
use crate::observe::containers::Seen;

/// How long a fresh container may take until its server process shows up.
const STARTING: TimeDelta = TimeDelta::seconds(120);

/// A container and where its first process lives.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub seen: Seen,
    pub namespaces: Option<Namespaces>,
}

/// An instance, before anybody has tried to connect.
#[derive(Debug, Clone)]
pub struct Found {
    pub name: String,
    pub engine: Engine,
    pub container: Option<Seen>,
    pub standing: Standing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A server runs.
    Running(Server),
    /// It is there but not for us now, or nothing runs.
    Down {
        reason: String,
        /// The container's last words would explain more.
        ask_logs: bool,
        /// It may come up within seconds: look again soon.
        soon: bool,
    },
}

/// Matches servers with containers; `own` are the namespaces of this process.
///
/// Instances are named after their container; `name:port` when one container runs several, and
/// `local:port` outside containers. Servers in foreign containers (of an engine that we do not
/// watch) are left out.
#[must_use]
pub fn instances(
    containers: &[Candidate],
    servers: &[Server],
    own: &Namespaces,
    now: DateTime<Utc>,
) -> Vec<Found> {
    let mut found = Vec::new();
    let mut homes: BTreeMap<usize, Vec<&Server>> = BTreeMap::new();
    for server in servers {
        match containers.iter().position(|c| lives_in(server, c)) {
            Some(home) => homes.entry(home).or_default().push(server),
            None if server.namespaces().pid == own.pid => found.push(Found {
                name: format!("local:{}", server.port()),
                engine: server.engine(),
                container: None,
                standing: standing(server),
            }),
            None => {}
        }
    }
    for (index, candidate) in containers.iter().enumerate() {
        let seen = &candidate.seen;
        match homes.get(&index).map(Vec::as_slice).unwrap_or_default() {
            [] => found.extend(seen.means_to_run().map(|engine| Found {
                name: seen.container.name.clone(),
                engine,
                container: Some(seen.clone()),
                standing: absent(seen, engine, now),
            })),
            [server] => found.push(Found {
                name: seen.container.name.clone(),
                engine: server.engine(),
                container: Some(seen.clone()),
                standing: running_in(seen, server),
            }),
            several => found.extend(several.iter().map(|server| Found {
                name: format!("{}:{}", seen.container.name, server.port()),
                engine: server.engine(),
                container: Some(seen.clone()),
                standing: running_in(seen, server),
            })),
        }
    }
    let mut taken = std::collections::BTreeSet::new();
    found.retain(|f| taken.insert(f.name.clone()));
    found
}

fn lives_in(server: &Server, candidate: &Candidate) -> bool {
    if let Some(namespaces) = &candidate.namespaces {
        return server.namespaces().mount == namespaces.mount;
    }
    candidate.seen.init_pid.is_some() && server.cgroup_container() == candidate.seen.container.id
}

fn running_in(seen: &Seen, server: &Server) -> Standing {
    if seen.container.state == ContainerState::Paused {
        return down("the container is paused");
    }
    standing(server)
}

fn standing(server: &Server) -> Standing {
    match server.mode() {
        Mode::Serving => Standing::Running(server.clone()),
        Mode::Initialising => Standing::Down {
            reason: "starting up: the image's entrypoint sets the data directory up".to_owned(),
            ask_logs: false,
            soon: true,
        },
        // initdb runs one too, and a server follows within a second.
        Mode::SingleUser => Standing::Down {
            reason: "the server runs in single-user mode: it is being made or repaired".to_owned(),
            ask_logs: false,
            soon: true,
        },
    }
}

/// Why no server runs in a container that is made for one.
fn absent(seen: &Seen, engine: Engine, now: DateTime<Utc>) -> Standing {
    let container = &seen.container;
    match container.state {
        ContainerState::Created => down("the container was created and never started"),
        ContainerState::Removing => down("the container is being removed"),
        ContainerState::Paused => down("the container is paused"),
        ContainerState::Exited | ContainerState::Dead => Standing::Down {
            reason: format!("the container exited with code {}", container.exit_code),
            ask_logs: container.exit_code != 0,
            soon: false,
        },
        ContainerState::Restarting => Standing::Down {
            reason: format!(
                "the container restarts again and again, last exit code {}",
                container.exit_code
            ),
            ask_logs: true,
            soon: true,
        },
        ContainerState::Running => {
            let young = container
                .started_at
                .is_some_and(|started| now - started < STARTING);
            Standing::Down {
                reason: if young {
                    "starting up: no server process yet".to_owned()
                } else {
                    format!("the container runs, but no {} server in it", engine.label())
                },
                ask_logs: !young,
                soon: young,
            }
        }
    }
}

fn down(reason: &str) -> Standing {
    Standing::Down {
        reason: reason.to_owned(),
        ask_logs: false,
        soon: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::postgres::processes::Postmaster;

    fn seen(name: &str, state: &str, exit_code: i64) -> Seen {
        crate::observe::containers::describe(
            serde_json::from_value(serde_json::json!({
                "Id": format!("id-{name}"), "Name": format!("/{name}"),
                "Path": "docker-entrypoint.sh", "Args": ["postgres"],
                "State": {"Status": state, "Pid": 100, "ExitCode": exit_code,
                    "StartedAt": "2026-11-21T00:00:00Z"},
                "Config": {"Env": ["PGDATA=/data"]},
            }))
            .unwrap(),
            "",
        )
        .unwrap()
    }

    fn namespaces(word: &str) -> Namespaces {
        Namespaces {
            mount: format!("mnt-{word}"),
            pid: format!("pid-{word}"),
        }
    }

    fn server(home: &str, port: u16) -> Server {
        Server::Postgres(postmaster(home, port))
    }

    fn postmaster(home: &str, port: u16) -> Postmaster {
        Postmaster {
            pid: i32::from(port),
            uid: 999,
            namespaces: namespaces(home),
            cgroup_container: String::new(),
            is_init: true,
            data_directory: "/data".to_owned(),
            port,
            socket_directory: None,
            started: 1,
            mode: Mode::Serving,
        }
    }

    fn candidate(name: &str, state: &str, exit_code: i64) -> Candidate {
        let seen = seen(name, state, exit_code);
        Candidate {
            namespaces: seen.init_pid.map(|_| namespaces(name)),
            seen,
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn look(containers: &[Candidate], servers: &[Server]) -> Vec<(String, Standing)> {
        let now = at("2026-11-21T01:00:00Z");
        instances(containers, servers, &namespaces("host"), now)
            .into_iter()
            .map(|f| (f.name, f.standing))
            .collect()
    }

    #[test]
    fn a_server_belongs_to_the_container_it_shares_a_namespace_with() {
        let found = look(
            &[candidate("shop-db", "running", 0)],
            &[server("shop-db", 5432)],
        );
        assert_eq!(found[0].0, "shop-db");
        assert!(matches!(found[0].1, Standing::Running(_)));
    }

    #[test]
    fn two_servers_in_one_container_are_told_apart_by_their_ports() {
        let servers = [server("both", 5432), server("both", 5433)];
        let names: Vec<_> = look(&[candidate("both", "running", 0)], &servers)
            .into_iter()
            .map(|f| f.0)
            .collect();
        assert_eq!(names, ["both:5432", "both:5433"]);
    }

    #[test]
    fn a_server_of_the_host_is_local_and_one_of_a_foreign_container_is_not_ours() {
        let names: Vec<_> = look(&[], &[server("host", 5432), server("foreign", 5433)])
            .into_iter()
            .map(|f| f.0)
            .collect();
        assert_eq!(names, ["local:5432"]);
    }

    #[test]
    fn why_nothing_runs_is_said_exactly() {
        for (state, code, words) in [
            ("exited", 1, "exited with code 1"),
            ("created", 0, "never started"),
            ("restarting", 137, "again and again"),
            ("running", 0, "no PostgreSQL server in it"),
        ] {
            let found = look(&[candidate("db", state, code)], &[]);
            let Standing::Down { reason, .. } = &found[0].1 else {
                panic!("{state} is not down")
            };
            assert!(reason.contains(words), "{state}: {reason}");
        }
    }

    #[test]
    fn a_fresh_container_is_starting_and_a_set_up_is_not_service() {
        let containers = [candidate("db", "running", 0)];
        let soon = at("2026-11-21T00:00:10Z");
        let found = instances(&containers, &[], &namespaces("host"), soon);
        assert!(matches!(
            found[0].standing,
            Standing::Down { soon: true, .. }
        ));
        for mode in [Mode::Initialising, Mode::SingleUser] {
            let setting_up = Server::Postgres(Postmaster {
                mode,
                ..postmaster("db", 5432)
            });
            let found = instances(&containers, &[setting_up], &namespaces("host"), soon);
            assert!(matches!(
                found[0].standing,
                Standing::Down { soon: true, .. }
            ));
        }
    }
}
