//! Every database server of the host, by name: where it is, and how to get in.
//!
//! Discovery writes this table, tasks read it. A task that names what is not here, or what is
//! down, learns exactly that.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use holdfast_proto::{
    fleet::Engine,
    task::{FailureKind, TaskFailure},
};

use crate::engine::postgres::route::Route;

/// A server and its ways in.
#[derive(Debug, Clone)]
pub struct Located {
    pub name: String,
    pub engine: Engine,
    pub route: Route,
    /// Unset when the server runs outside containers.
    pub container: Option<ContainerRef>,
    /// Of the postmaster in our process numbering; unset when it is not on this host.
    pub server_pid: Option<i32>,
    /// As the server sees it; empty when it is not on this host.
    pub data_directory: String,
    /// How tools that run beside the server reach it.
    pub local: LocalAddress,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    pub id: String,
    pub name: String,
    pub image: String,
    /// By content: the digest that it was pulled by, or its id.
    pub image_digest: String,
}

/// The server's own address, in the namespaces where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAddress {
    /// First of `unix_socket_directories`; unset when it has none.
    pub socket_directory: Option<String>,
    pub port: u16,
}

/// Whether a known server can be worked with now.
#[derive(Debug, Clone)]
pub enum Standing {
    Up(Box<Located>),
    /// Why not, as operators see it.
    Down(String),
}

/// The table; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Instances(Arc<RwLock<BTreeMap<String, Standing>>>);

impl Instances {
    /// Replaces the whole table.
    pub fn replace(&self, table: BTreeMap<String, Standing>) {
        *self.write() = table;
    }

    /// Adds or replaces one.
    pub fn set(&self, name: &str, standing: Standing) {
        self.write().insert(name.to_owned(), standing);
    }

    pub fn remove(&self, name: &str) {
        self.write().remove(name);
    }

    /// The server of that name, when it can be worked with.
    ///
    /// # Errors
    /// `Invalid` with the names that exist when there is none; `Unavailable` with the reason
    /// when it is down.
    pub fn locate(&self, name: &str) -> Result<Located, TaskFailure> {
        let table = self
            .0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match table.get(name) {
            Some(Standing::Up(located)) => Ok((**located).clone()),
            Some(Standing::Down(reason)) => Err(TaskFailure {
                kind: FailureKind::Unavailable,
                message: format!("instance {name} is down: {reason}"),
                advice: "bring the server up, then try again".to_owned(),
                retryable: true,
            }),
            None => Err(TaskFailure {
                kind: FailureKind::Invalid,
                message: format!("there is no instance {name:?} on this host"),
                advice: if table.is_empty() {
                    "no database server has been found here".to_owned()
                } else {
                    let names: Vec<_> = table.keys().map(String::as_str).collect();
                    format!("the instances here are: {}", names.join(", "))
                },
                retryable: false,
            }),
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Standing>> {
        self.0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_down_says_why_and_what_is_missing_says_what_there_is() {
        let instances = Instances::default();
        instances.replace(BTreeMap::from([(
            "shop-db".to_owned(),
            Standing::Down("container exited with code 1".to_owned()),
        )]));
        let down = instances.locate("shop-db").unwrap_err();
        assert_eq!(down.kind, FailureKind::Unavailable);
        assert!(down.retryable && down.message.contains("exited with code 1"));
        let missing = instances.locate("shopdb").unwrap_err();
        assert_eq!(missing.kind, FailureKind::Invalid);
        assert!(!missing.retryable && missing.advice.contains("shop-db"));
    }
}
