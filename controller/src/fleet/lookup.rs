//! Finding what an operator named, and the nearest name when there is nothing of that name: pure.

use holdfast_proto::{
    fleet::{Container, Instance, Volume},
    names::{DatabaseName, HostName, InstanceName},
};

use super::state::HostState;

/// What was named is not known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error("there is no host {name:?}")]
    Host {
        name: String,
        nearest: Option<String>,
    },
    #[error("host {host} has no instance {name:?}")]
    Instance {
        host: HostName,
        name: String,
        nearest: Option<String>,
    },
    #[error("instance {instance} has no database {name:?}")]
    Database {
        instance: InstanceName,
        name: String,
        nearest: Option<String>,
    },
    #[error("host {host} has no volume {name:?}")]
    Volume {
        host: HostName,
        name: String,
        nearest: Option<String>,
    },
    #[error("host {host} has no container {name:?}")]
    Container {
        host: HostName,
        name: String,
        nearest: Option<String>,
    },
}

impl LookupError {
    /// What to type instead, or where to look.
    #[must_use]
    pub fn advice(&self) -> String {
        let (nearest, list) = match self {
            Self::Host { nearest, .. } => (nearest.clone(), "ctl host list".to_owned()),
            Self::Instance { host, nearest, .. } => (
                nearest.as_ref().map(|near| format!("{host}/{near}")),
                format!("ctl instance list {host}"),
            ),
            Self::Database {
                instance, nearest, ..
            } => (
                nearest.as_ref().map(|near| format!("{instance}/{near}")),
                format!("ctl database list {}", instance.host),
            ),
            Self::Volume { host, nearest, .. } => (
                nearest.as_ref().map(|near| format!("{host}/{near}")),
                format!("ctl volume list {host}"),
            ),
            Self::Container { host, nearest, .. } => {
                (nearest.clone(), format!("ctl container list {host}"))
            }
        };
        match nearest {
            Some(near) => format!("did you mean {near}? `{list}` shows what there is"),
            None => format!("`{list}` shows what there is"),
        }
    }
}

impl HostState {
    /// # Errors
    /// [`LookupError::Instance`] with the nearest name.
    pub fn instance(&self, name: &str) -> Result<&Instance, LookupError> {
        let instances = &self.report.instances;
        instances.get(name).ok_or_else(|| LookupError::Instance {
            host: self.name.clone(),
            name: name.to_owned(),
            nearest: nearest(name, instances.keys()),
        })
    }

    /// # Errors
    /// [`LookupError::Volume`] with the nearest name.
    pub fn volume(&self, name: &str) -> Result<&Volume, LookupError> {
        let volumes = &self.report.volumes;
        volumes.get(name).ok_or_else(|| LookupError::Volume {
            host: self.name.clone(),
            name: name.to_owned(),
            nearest: nearest(name, volumes.keys()),
        })
    }

    /// # Errors
    /// [`LookupError::Container`] with the nearest name.
    pub fn container(&self, name: &str) -> Result<&Container, LookupError> {
        let mut containers = self.report.containers.values();
        containers
            .find(|c| c.name == name)
            .ok_or_else(|| LookupError::Container {
                host: self.name.clone(),
                name: name.to_owned(),
                nearest: nearest(name, self.report.containers.values().map(|c| &c.name)),
            })
    }

    /// The instance that holds the named database.
    ///
    /// An instance that is down has no list of databases: it is given as it is, and whoever asks
    /// for the database there hears from the agent why it cannot be had.
    ///
    /// # Errors
    /// [`LookupError`] with the nearest name when the instance, or the database on an instance that is up, is not there.
    pub fn holding(&self, name: &DatabaseName) -> Result<&Instance, LookupError> {
        let instance = self.instance(&name.instance)?;
        let Some(health) = instance.health.as_ref().filter(|_| instance.is_up()) else {
            return Ok(instance);
        };
        if health.databases.iter().any(|d| d.name == name.database) {
            return Ok(instance);
        }
        Err(LookupError::Database {
            instance: name.instance_name(),
            name: name.database.clone(),
            nearest: nearest(&name.database, health.databases.iter().map(|d| &d.name)),
        })
    }
}

/// The known name most like the given one, when one is like it at all.
pub fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = impl AsRef<str> + 'a>,
) -> Option<String> {
    const ALIKE: f64 = 0.75;
    known
        .into_iter()
        .map(|known| {
            let known = known.as_ref();
            (strsim::jaro_winkler(name, known), known.to_owned())
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use holdfast_proto::fleet::{Database, Engine, InstanceHealth};

    use super::*;

    fn host() -> HostState {
        let mut host = HostState::unseen("web-1".parse().unwrap(), None);
        let database = |name: &str| Database {
            name: name.to_owned(),
            owner: "postgres".to_owned(),
            size_bytes: 1,
            encoding: "UTF8".to_owned(),
            collation: "C".to_owned(),
            allows_connections: true,
            is_template: false,
        };
        let health = InstanceHealth {
            version: "17.2".to_owned(),
            version_num: 170_002,
            system_identifier: String::new(),
            in_recovery: false,
            started_at: None,
            connections_used: 1,
            connections_max: 100,
            long_queries: Vec::new(),
            longest_query_seconds: 0.0,
            archiver: holdfast_proto::fleet::Archiver::default(),
            slots: Vec::new(),
            transaction_id_age: 0,
            checksums_on: true,
            checksum_failures: 0,
            disk_total_bytes: 0,
            disk_free_bytes: 0,
            data_directory: String::new(),
            databases: vec![database("shop"), database("postgres")],
            mariadb: None,
            untold: Vec::new(),
        };
        for (name, health) in [("shop-db", Some(health)), ("crm-db", None)] {
            let instance = Instance {
                data: None,
                name: name.to_owned(),
                engine: Engine::Postgres,
                container: name.to_owned(),
                reached_by: String::new(),
                down_reason: if health.is_some() { "" } else { "refused" }.to_owned(),
                health,
                registered: false,
            };
            host.report.instances.insert(name.to_owned(), instance);
        }
        host
    }

    #[test]
    fn a_mistyped_instance_suggests_the_nearest() {
        let error = host().instance("shopdb").unwrap_err();
        assert_eq!(error.to_string(), "host web-1 has no instance \"shopdb\"");
        assert_eq!(
            error.advice(),
            "did you mean web-1/shop-db? `ctl instance list web-1` shows what there is"
        );
    }

    #[test]
    fn a_mistyped_database_suggests_the_nearest() {
        let error = host()
            .holding(&"web-1/shop-db/shpo".parse().unwrap())
            .unwrap_err();
        assert!(
            error
                .advice()
                .starts_with("did you mean web-1/shop-db/shop?")
        );
    }

    #[test]
    fn a_database_of_an_instance_that_is_down_is_not_called_absent() {
        let host = host();
        let found = host.holding(&"web-1/crm-db/anything".parse().unwrap());
        assert_eq!(found.unwrap().name, "crm-db");
    }

    #[test]
    fn nothing_alike_suggests_nothing() {
        assert_eq!(nearest("zzz", ["shop", "crm"]), None);
        assert_eq!(
            nearest("web-11", ["web-1", "db-1"]),
            Some("web-1".to_owned())
        );
    }
}
