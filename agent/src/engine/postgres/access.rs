//! Which routes to a server are tried, in which order, and as whom.
//!
//! The socket first (stock images ask no password there), then the container's address, then its
//! published port. Credentials are what the operator stored on this host, else what the
//! container itself was given.

use std::{io::Read, path::PathBuf};

use holdfast_proto::{
    fleet::Engine,
    link::{RegisteredInstance, TlsMode},
};
use rustix::fs::{Mode, OFlags};

use super::{
    processes::Postmaster,
    route::{Route, Target},
    socket::{UnixSocket, open_inside},
};
use crate::{
    credentials::Credentials,
    observe::{
        containers::Seen,
        instances::{ContainerRef, LocalAddress, Located},
    },
    secret::Secret,
};

/// The controller's private PostgreSQL lets the owner of its processes in under this name only.
const CATALOG_ROLE: &str = "holdfast";

/// A server and every way to try; [`Access::located`] settles on one.
#[derive(Debug, Clone)]
pub struct Access {
    pub name: String,
    pub routes: Vec<Route>,
    /// Databases to try for a look at the server.
    pub databases: Vec<String>,
    pub container: Option<ContainerRef>,
    pub server_pid: Option<i32>,
    pub data_directory: String,
    pub local: LocalAddress,
}

/// Who we are to a server.
#[derive(Debug, Clone)]
struct Login {
    user: String,
    password: Option<Secret>,
}

impl Access {
    /// Of a server that runs on this host.
    #[must_use]
    pub fn to_server(
        name: &str,
        container: Option<&Seen>,
        server: &Postmaster,
        credentials: &Credentials,
    ) -> Self {
        let login = login(name, container, server.pid, credentials);
        let mut routes = Vec::new();
        let mut add = |how: String, target: Target, port: u16, user: &str| {
            routes.push(Route {
                how,
                target,
                port,
                user: user.to_owned(),
                password: login.password.clone(),
                tls: TlsMode::Prefer,
            });
        };
        if let Some(directory) = &server.socket_directory {
            let socket = UnixSocket {
                root: PathBuf::from(format!("/proc/{}/root", server.pid)),
                directory: PathBuf::from(directory),
                owner: Some(server.uid),
            };
            let how = format!("socket {directory}");
            let target = Target::Unix(socket);
            add(how.clone(), target.clone(), server.port, &login.user);
            if container.is_none() && credentials.of(name).is_none() {
                add(how, target, server.port, CATALOG_ROLE);
            }
        }
        let mut tcp = |address: &str, port: u16| {
            let how = format!("tcp {address}:{port}");
            add(how, Target::Tcp(address.to_owned()), port, &login.user);
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
        let environment = container.map(|seen| &seen.environment);
        let database = environment.and_then(|e| e.database.clone());
        Self {
            name: name.to_owned(),
            databases: databases(["postgres"], database.or(Some(login.user.clone()))),
            routes,
            container: container.map(|seen| ContainerRef {
                id: seen.container.id.clone(),
                name: seen.container.name.clone(),
                image: seen.container.image.clone(),
                image_digest: seen.container.image_digest.clone(),
            }),
            server_pid: Some(server.pid),
            data_directory: server.data_directory.clone(),
            local: LocalAddress {
                socket_directory: server.socket_directory.clone(),
                port: server.port,
            },
        }
    }

    /// Of a server that an operator registered by its address.
    #[must_use]
    pub fn to_registered(registered: &RegisteredInstance, credentials: &Credentials) -> Self {
        let stored = credentials.of(&registered.name);
        let user = stored
            .and_then(|c| c.user.clone())
            .unwrap_or_else(|| registered.user.clone());
        Self {
            name: registered.name.clone(),
            routes: vec![Route {
                how: format!("tcp {}:{}", registered.address, registered.port),
                target: Target::Tcp(registered.address.clone()),
                port: registered.port,
                user,
                password: stored.map(|c| c.password.clone()),
                tls: registered.tls_mode,
            }],
            databases: databases([registered.database.as_str(), "postgres"], None),
            container: None,
            server_pid: None,
            data_directory: String::new(),
            local: LocalAddress {
                socket_directory: None,
                port: registered.port,
            },
        }
    }

    /// Tries the route that worked the last time first: it need not be found anew each time.
    pub fn prefer(&mut self, route: &Route) {
        let key = |r: &Route| (r.how.clone(), r.user.clone());
        self.routes.sort_by_key(|r| key(r) != key(route));
    }

    /// The server by the route that worked.
    #[must_use]
    pub fn located(&self, route: Route) -> Located {
        Located {
            name: self.name.clone(),
            engine: Engine::Postgres,
            route,
            container: self.container.clone(),
            server_pid: self.server_pid,
            data_directory: self.data_directory.clone(),
            local: self.local.clone(),
        }
    }
}

fn login(name: &str, container: Option<&Seen>, pid: i32, credentials: &Credentials) -> Login {
    let environment = container.map(|seen| &seen.environment);
    let inside = |path: &Option<String>| path.as_ref().and_then(|p| first_line(pid, p));
    let stored = credentials.of(name);
    let user = stored
        .and_then(|c| c.user.clone())
        .or_else(|| environment.and_then(|e| e.user.clone()))
        .or_else(|| environment.and_then(|e| inside(&e.user_file)));
    let password = stored
        .map(|c| c.password.clone())
        .or_else(|| environment.and_then(|e| e.password.clone()))
        .or_else(|| {
            environment
                .and_then(|e| inside(&e.password_file))
                .map(Secret::new)
        });
    Login {
        user: user.unwrap_or_else(|| "postgres".to_owned()),
        password,
    }
}

/// Content of a secret's file inside a container, without its end of line.
pub(crate) fn first_line(pid: i32, path: &str) -> Option<String> {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let place = open_inside(&root, std::path::Path::new(path)).ok()?;
    let opened = rustix::fs::open(
        format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&place)),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let mut text = String::new();
    std::fs::File::from(opened)
        .take(4096)
        .read_to_string(&mut text)
        .ok()?;
    let line = text.lines().next()?.to_owned();
    (!line.is_empty()).then_some(line)
}

pub(crate) fn published(seen: &Seen, port: u16) -> Vec<(String, u16)> {
    let everywhere = ["", "0.0.0.0", "::"];
    let mut addresses: Vec<_> = seen
        .container
        .ports
        .iter()
        .filter(|p| p.container_port == port && p.protocol == "tcp" && p.host_port != 0)
        .map(|p| {
            let address = if everywhere.contains(&p.host_ip.as_str()) {
                "127.0.0.1"
            } else {
                &p.host_ip
            };
            (address.to_owned(), p.host_port)
        })
        .collect();
    // Docker publishes on both families, and other addresses may stand between the two.
    let mut known = std::collections::BTreeSet::new();
    addresses.retain(|address| known.insert(address.clone()));
    addresses
}

fn databases<const N: usize>(first: [&str; N], then: Option<String>) -> Vec<String> {
    let mut all: Vec<String> = first.iter().map(|d| (*d).to_owned()).collect();
    all.extend(then);
    all.push("template1".to_owned());
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|d| !d.is_empty() && seen.insert(d.clone()));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        credentials::Credential,
        engine::postgres::processes::{Mode as ServerMode, Namespaces},
        observe::containers,
    };

    fn server(socket_directory: Option<&str>) -> Postmaster {
        Postmaster {
            // Our own root stands in for the container's.
            pid: i32::try_from(std::process::id()).unwrap(),
            uid: 999,
            namespaces: Namespaces {
                mount: "mnt".to_owned(),
                pid: "pid".to_owned(),
            },
            cgroup_container: String::new(),
            is_init: true,
            data_directory: "/data".to_owned(),
            port: 5432,
            socket_directory: socket_directory.map(str::to_owned),
            started: 1,
            mode: ServerMode::Serving,
        }
    }

    /// A running container of a server with this environment, host configuration and network.
    fn seen(environment: &[String], host: &Value, network: &Value) -> Seen {
        let inspected = json!({
            "Id": "abc", "Name": "/shop-db", "Image": "sha256:1",
            "State": {"Status": "running", "Pid": 77},
            "Config": {"Image": "postgres:17", "Env": environment},
            "HostConfig": host, "NetworkSettings": network,
        });
        containers::describe(serde_json::from_value(inspected).unwrap(), "").unwrap()
    }

    fn bridged() -> Value {
        let bindings = [
            ("0.0.0.0", "15432"),
            ("192.0.2.7", "6000"),
            ("::", "15432"),
            ("::1", "6001"),
        ];
        let bindings = bindings.map(|(ip, port)| json!({"HostIp": ip, "HostPort": port}));
        json!({
            "Networks": {
                "shop_default": {"IPAddress": "172.18.0.3"},
                "bridge": {"IPAddress": "172.17.0.2"},
                "unplugged": {"IPAddress": ""},
            },
            "Ports": {
                "5432/tcp": bindings,
                "5432/udp": [{"HostIp": "0.0.0.0", "HostPort": "7000"}],
                "9187/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9187"}],
            },
        })
    }

    fn stored(user: Option<&str>) -> Credentials {
        let mut credentials = Credentials::default();
        let credential = Credential {
            user: user.map(str::to_owned),
            password: Secret::new("stored".to_owned()),
        };
        credentials.set("shop-db", credential);
        credentials
    }

    fn ways(access: &Access) -> Vec<(&str, &str, Option<&str>)> {
        let routes = access.routes.iter();
        routes
            .map(|r| {
                let password = r.password.as_ref().map(Secret::expose);
                (r.how.as_str(), r.user.as_str(), password)
            })
            .collect()
    }

    fn to_container(seen: &Seen, socket: Option<&str>, credentials: &Credentials) -> Access {
        Access::to_server("shop-db", Some(seen), &server(socket), credentials)
    }

    #[test]
    fn socket_then_own_addresses_then_published_ports_each_once() {
        let seen = seen(&[], &json!({}), &bridged());
        let access = to_container(&seen, Some("/run/postgresql"), &Credentials::default());
        let hows: Vec<_> = ways(&access).into_iter().map(|(how, ..)| how).collect();
        assert_eq!(
            hows,
            [
                "socket /run/postgresql",
                "tcp 172.17.0.2:5432",
                "tcp 172.18.0.3:5432",
                "tcp 127.0.0.1:15432",
                "tcp 192.0.2.7:6000",
                "tcp ::1:6001",
            ]
        );
        let Target::Unix(socket) = &access.routes[0].target else {
            panic!("{:?} is no socket", access.routes[0])
        };
        let root = format!("/proc/{}/root", std::process::id());
        assert_eq!(socket.root, PathBuf::from(root));
        assert_eq!(socket.owner, Some(999));
        assert_eq!(
            access.routes[5].target,
            Target::Tcp("::1".to_owned()),
            "an address is not written as in a URL"
        );
        assert_eq!(access.routes[5].port, 6001);
        assert_eq!(access.databases, ["postgres", "template1"]);
    }

    #[test]
    fn a_server_on_the_hosts_network_is_at_the_hosts_own_address() {
        let host = json!({"NetworkMode": "host"});
        let network = json!({"Networks": {"host": {"IPAddress": ""}}});
        let seen = seen(&[], &host, &network);
        let access = to_container(&seen, Some("/tmp"), &Credentials::default());
        let hows: Vec<_> = ways(&access).into_iter().map(|(how, ..)| how).collect();
        assert_eq!(hows, ["socket /tmp", "tcp 127.0.0.1:5432"]);
    }

    #[test]
    fn a_server_without_a_socket_is_reached_by_tcp_alone() {
        let seen = seen(&[], &json!({}), &bridged());
        let access = to_container(&seen, None, &Credentials::default());
        assert_eq!(ways(&access)[0].0, "tcp 172.17.0.2:5432");
        assert_eq!(access.routes.len(), 5);
        assert_eq!(access.local.socket_directory, None);
    }

    #[test]
    fn a_server_outside_containers_may_be_the_controllers_own() {
        let alone = |credentials: &Credentials| {
            let access = Access::to_server("shop-db", None, &server(Some("/tmp")), credentials);
            let ways = ways(&access);
            ways.iter()
                .map(|(how, user, _)| format!("{how} {user}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            alone(&Credentials::default()),
            [
                "socket /tmp postgres",
                "socket /tmp holdfast",
                "tcp 127.0.0.1:5432 postgres"
            ]
        );
        assert_eq!(
            alone(&stored(Some("ann"))),
            ["socket /tmp ann", "tcp 127.0.0.1:5432 ann"]
        );
    }

    #[test]
    fn who_we_are_is_stored_here_or_stands_in_the_environment_or_in_a_file_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (user, password) = (file("user", "filed\n"), file("password", "p w\r\nmore"));
        let files = [
            format!("POSTGRES_USER_FILE={user}"),
            format!("POSTGRES_PASSWORD_FILE={password}"),
        ];
        let plain = [
            "POSTGRES_USER=shop".to_owned(),
            "POSTGRES_PASSWORD=plain".to_owned(),
            "POSTGRES_DB=orders".to_owned(),
        ];
        let (by_file, by_plain) = (files.to_vec(), plain.to_vec());
        let missing = vec!["POSTGRES_PASSWORD_FILE=/no/such/file".to_owned()];
        let nobody = Credentials::default();
        for (environment, credentials, expected) in [
            (vec![], &nobody, ("postgres", None)),
            (missing, &nobody, ("postgres", None)),
            (by_file, &nobody, ("filed", Some("p w"))),
            (by_plain.clone(), &nobody, ("shop", Some("plain"))),
            (
                [plain.to_vec(), files.to_vec()].concat(),
                &nobody,
                ("shop", Some("plain")),
            ),
            (by_plain.clone(), &stored(None), ("shop", Some("stored"))),
            (
                by_plain.clone(),
                &stored(Some("ann")),
                ("ann", Some("stored")),
            ),
        ] {
            let seen = seen(&environment, &json!({}), &bridged());
            let access = to_container(&seen, Some("/tmp"), credentials);
            for (how, user, password) in ways(&access) {
                assert_eq!((user, password), expected, "{how} with {environment:?}");
            }
        }
        let seen = seen(&by_plain, &json!({}), &bridged());
        let access = to_container(&seen, None, &nobody);
        assert_eq!(access.databases, ["postgres", "orders", "template1"]);
    }

    #[test]
    fn a_registered_server_is_where_the_operator_said_it_is() {
        let registered = RegisteredInstance {
            name: "shop-db".to_owned(),
            engine: Engine::Postgres,
            address: "db.internal".to_owned(),
            port: 6432,
            user: "watcher".to_owned(),
            database: "orders".to_owned(),
            tls_mode: TlsMode::Require,
        };
        let access = Access::to_registered(&registered, &Credentials::default());
        assert_eq!(
            ways(&access),
            [("tcp db.internal:6432", "watcher", None)],
            "no other way is tried"
        );
        assert_eq!(access.routes[0].tls, TlsMode::Require);
        assert_eq!(access.databases, ["orders", "postgres", "template1"]);
        let access = Access::to_registered(&registered, &stored(Some("ann")));
        assert_eq!(
            ways(&access),
            [("tcp db.internal:6432", "ann", Some("stored"))]
        );
    }

    #[test]
    fn the_way_that_worked_is_tried_first_and_the_others_keep_their_order() {
        let seen = seen(&[], &json!({}), &bridged());
        let mut access = to_container(&seen, Some("/tmp"), &Credentials::default());
        let worked = access.routes[3].clone();
        access.prefer(&worked);
        let hows: Vec<_> = ways(&access).into_iter().map(|(how, ..)| how).collect();
        assert_eq!(
            hows[..4],
            [
                "tcp 127.0.0.1:15432",
                "socket /tmp",
                "tcp 172.17.0.2:5432",
                "tcp 172.18.0.3:5432"
            ]
        );
    }
}
