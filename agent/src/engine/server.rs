//! A server process of either engine, and what looks at the same server leave to each other.

use holdfast_proto::fleet::Engine;

use super::{
    mariadb::{self, processes::Mariadbd},
    postgres::{
        self,
        processes::{Mode, Namespaces, Postmaster},
    },
};

/// One running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    Postgres(Postmaster),
    /// MariaDB or MySQL.
    Mariadb(Mariadbd),
}

/// What earlier looks at the same server leave to the next.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    pub postgres: postgres::health::Memory,
    pub mariadb: mariadb::health::Memory,
}

impl Server {
    /// As far as its process tells; the server itself knows better.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::Mariadb(server) => server.engine,
        }
    }

    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        match self {
            Self::Postgres(server) => &server.namespaces,
            Self::Mariadb(server) => &server.namespaces,
        }
    }

    /// 64 hex digits from its control group; empty when there are none.
    #[must_use]
    pub fn cgroup_container(&self) -> &str {
        match self {
            Self::Postgres(server) => &server.cgroup_container,
            Self::Mariadb(server) => &server.cgroup_container,
        }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port,
            Self::Mariadb(server) => server.port,
        }
    }

    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::Postgres(server) => server.mode,
            Self::Mariadb(server) => server.mode,
        }
    }
}

#[cfg(test)]
impl Memory {
    /// Of a server that has been looked at.
    pub(crate) fn with_an_identifier() -> Self {
        Self {
            postgres: postgres::health::Memory::with_an_identifier(),
            ..Self::default()
        }
    }
}
