//! Which routes to a MariaDB or MySQL are tried, in which order, and as whom.
//!
//! The socket first, then the container's address, then its published port; each as every account whose
//! credentials are known here: what the operator stored on this host, else what the container was given.

use std::path::PathBuf;

use holdfast_proto::link::{RegisteredInstance, TlsMode};

use super::processes::Mariadbd;
use crate::{
    credentials::Credentials,
    engine::postgres::{
        access::{Access, first_line, published},
        route::{Route, Target},
        socket::UnixSocket,
    },
    observe::{
        containers::Seen,
        instances::{ContainerRef, LocalAddress},
    },
    secret::Secret,
};

/// Who we are to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Login {
    user: String,
    password: Option<Secret>,
}

/// Of a server that runs on this host.
#[must_use]
pub fn to_server(
    name: &str,
    container: Option<&Seen>,
    server: &Mariadbd,
    credentials: &Credentials,
) -> Access {
    let logins = logins(name, container, server.pid, credentials);
    let mut targets = Vec::new();
    if let Some(path) = &server.socket {
        let socket = UnixSocket {
            root: PathBuf::from(format!("/proc/{}/root", server.pid)),
            directory: PathBuf::from(path),
            owner: None,
        };
        targets.push((format!("socket {path}"), Target::Unix(socket), server.port));
    }
    if server.listens {
        let mut tcp = |address: &str, port: u16| {
            let target = Target::Tcp(address.to_owned());
            targets.push((format!("tcp {address}:{port}"), target, port));
        };
        match container {
            Some(seen) => {
                for address in &seen.addresses {
                    tcp(address, server.port);
                }
                for (address, port) in published(seen, server.port) {
                    tcp(&address, port);
                }
            }
            None => tcp("127.0.0.1", server.port),
        }
    }
    let routes = targets.iter().flat_map(|(how, target, port)| {
        logins.iter().map(|login| Route {
            how: how.clone(),
            target: target.clone(),
            port: *port,
            user: login.user.clone(),
            password: login.password.clone(),
            tls: TlsMode::Prefer,
        })
    });
    Access {
        name: name.to_owned(),
        routes: routes.collect(),
        databases: Vec::new(),
        container: container.map(|seen| ContainerRef {
            id: seen.container.id.clone(),
            name: seen.container.name.clone(),
            image: seen.container.image.clone(),
            image_digest: seen.container.image_digest.clone(),
        }),
        server_pid: Some(server.pid),
        data_directory: server.data_directory.clone(),
        local: LocalAddress {
            socket_directory: server.socket.clone(),
            port: server.port,
        },
    }
}

/// Of a server that an operator registered by its address.
#[must_use]
pub fn to_registered(registered: &RegisteredInstance, credentials: &Credentials) -> Access {
    let mut access = Access::to_registered(registered, credentials);
    access.databases.clear();
    access
}

/// The stored one alone when there is one: somebody meant it.
fn logins(name: &str, container: Option<&Seen>, pid: i32, credentials: &Credentials) -> Vec<Login> {
    let root = |password: Option<Secret>| Login {
        user: "root".to_owned(),
        password,
    };
    if let Some(stored) = credentials.of(name) {
        return vec![Login {
            user: stored.user.clone().unwrap_or_else(|| "root".to_owned()),
            password: Some(stored.password.clone()),
        }];
    }
    let mut logins = Vec::new();
    let inside = |path: &Option<String>| {
        let line = path.as_ref().and_then(|p| first_line(pid, p));
        line.map(Secret::new)
    };
    let environment = container.map(|seen| &seen.mariadb);
    if let Some(known) = environment {
        let password = known.root_password.clone();
        let password = password.or_else(|| inside(&known.root_password_file));
        logins.extend(password.map(|password| root(Some(password))));
    }
    // Root of the operating system is root of the server where that is asked for; else there may be no password.
    logins.push(root(None));
    if let Some(known) = environment
        && let Some(user) = &known.user
    {
        let password = known.password.clone();
        logins.push(Login {
            user: user.clone(),
            password: password.or_else(|| inside(&known.password_file)),
        });
    }
    logins
}

#[cfg(test)]
mod tests {
    use holdfast_proto::fleet::Engine;
    use serde_json::json;

    use super::*;
    use crate::{
        credentials::Credential,
        engine::postgres::processes::{Mode, Namespaces},
        observe::containers,
    };

    fn server() -> Mariadbd {
        Mariadbd {
            // Our own root stands in for the container's.
            pid: i32::try_from(std::process::id()).unwrap(),
            uid: 999,
            engine: Engine::Mariadb,
            namespaces: Namespaces::default(),
            cgroup_container: String::new(),
            data_directory: "/var/lib/mysql".to_owned(),
            port: 3306,
            socket: Some("/run/mysqld/mysqld.sock".to_owned()),
            listens: true,
            started: 1,
            mode: Mode::Serving,
        }
    }

    fn seen(environment: &[String]) -> Seen {
        let inspected = json!({
            "Id": "abc", "Name": "/shop-db", "Image": "sha256:1",
            "State": {"Status": "running", "Pid": 77},
            "Config": {"Image": "mariadb:11", "Env": environment},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
                "Ports": {"3306/tcp": [{"HostIp": "0.0.0.0", "HostPort": "13306"}]}},
        });
        containers::describe(serde_json::from_value(inspected).unwrap(), "").unwrap()
    }

    fn ways(
        environment: &[String],
        credentials: &Credentials,
    ) -> Vec<(String, String, Option<String>)> {
        let seen = seen(environment);
        let access = to_server("shop-db", Some(&seen), &server(), credentials);
        let routes = access.routes.into_iter();
        routes
            .map(|r| (r.how, r.user, r.password.map(|p| p.expose().to_owned())))
            .collect()
    }

    #[test]
    fn every_way_as_every_account_that_is_known_here() {
        let environment = [
            "MARIADB_ROOT_PASSWORD=deep",
            "MARIADB_USER=app",
            "MARIADB_PASSWORD=plain",
        ];
        let ways = ways(&environment.map(str::to_owned), &Credentials::default());
        let hows: Vec<_> = ways.iter().map(|(how, ..)| how.as_str()).collect();
        assert_eq!(
            [hows[0], hows[3], hows[6]],
            [
                "socket /run/mysqld/mysqld.sock",
                "tcp 172.17.0.2:3306",
                "tcp 127.0.0.1:13306"
            ]
        );
        let who: Vec<_> = ways[..3]
            .iter()
            .map(|(_, user, p)| (user.as_str(), p.as_deref()))
            .collect();
        assert_eq!(
            who,
            [
                ("root", Some("deep")),
                ("root", None),
                ("app", Some("plain"))
            ]
        );
    }

    #[test]
    fn a_file_may_hold_the_password_and_a_stored_one_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "filed\n").unwrap();
        let environment = [format!("MYSQL_ROOT_PASSWORD_FILE={}", path.display())];
        let known = ways(&environment, &Credentials::default());
        assert_eq!(known[0].2.as_deref(), Some("filed"));
        let mut credentials = Credentials::default();
        let password = Secret::new("stored".to_owned());
        credentials.set(
            "shop-db",
            Credential {
                user: Some("ann".to_owned()),
                password,
            },
        );
        let stored = ways(&environment, &credentials);
        assert_eq!(stored.len(), 3);
        assert!(
            stored
                .iter()
                .all(|(_, user, p)| user == "ann" && p.as_deref() == Some("stored"))
        );
    }
}
