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
fn first_line(pid: i32, path: &str) -> Option<String> {
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

fn published(seen: &Seen, port: u16) -> Vec<(String, u16)> {
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
    addresses.dedup();
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
