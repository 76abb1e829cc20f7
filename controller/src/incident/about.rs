//! What a finding is about, and so which findings belong together.

use std::{collections::BTreeMap, fmt};

use crate::detect::Finding;

/// Findings about the same are one incident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A database service whose data are known, whatever it is called now.
    Service(u64),
    /// Something on a host of which no more is known than its name.
    Thing {
        host: String,
        name: String,
    },
    Host(String),
    /// What protects a host: its backups, their proofs, their repository.
    Backups(String),
    /// The controller's own work.
    Controller,
}

/// The services that instances and volumes belong to or belonged to, by host and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services(BTreeMap<(String, String), u64>);

impl About {
    /// What a [`About::Thing`] begins with when it is displayed.
    pub(super) const THING: &str = "instance ";

    /// By the chapter of its code, and by its subject.
    #[must_use]
    pub fn of(finding: &Finding, services: &Services) -> Self {
        let mut parts = finding.subject.splitn(3, '/');
        let host = parts.next().unwrap_or_default().to_owned();
        let name = parts.next().filter(|name| !name.is_empty());
        match (finding.code.get(..4).unwrap_or_default(), name) {
            // A disk is its host's, whoever lies on it.
            ("HF04", _) => Self::Host(host),
            ("HF05", _) | ("HF06", None) if is_host(&host) => Self::Backups(host),
            ("HF05" | "HF06", _) => Self::Controller,
            (_, None) => Self::Host(host),
            (_, Some(name)) => match services.of(&host, name) {
                Some(service) => Self::Service(service),
                None => Self::Thing {
                    name: name.to_owned(),
                    host,
                },
            },
        }
    }
}

impl About {
    /// The service that an incident is about, by what it displays as.
    #[must_use]
    pub fn service_of(about: &str) -> Option<u64> {
        about.strip_prefix("service ")?.parse().ok()
    }
}

/// Rather than "job 12".
fn is_host(subject: &str) -> bool {
    !subject.contains(' ')
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(id) => write!(f, "service {id}"),
            Self::Thing { host, name } => write!(f, "{}{host}/{name}", Self::THING),
            Self::Host(host) => write!(f, "host {host}"),
            Self::Backups(host) => write!(f, "backups {host}"),
            Self::Controller => f.write_str("controller"),
        }
    }
}

impl Services {
    /// The service that had this instance or volume last.
    #[must_use]
    pub fn of(&self, host: &str, name: &str) -> Option<u64> {
        let key = (host.to_owned(), name.to_owned());
        self.0.get(&key).copied()
    }

    /// Every name that the service has or had on its host: "web-1/shop-db", "web-1/shop_data".
    #[must_use]
    pub fn names(&self, service: u64) -> Vec<String> {
        let all = self.0.iter();
        let own = all.filter(|(_, id)| **id == service);
        own.map(|((host, name), _)| format!("{host}/{name}"))
            .collect()
    }
}

impl FromIterator<(String, String, u64)> for Services {
    fn from_iter<I: IntoIterator<Item = (String, String, u64)>>(rows: I) -> Self {
        let rows = rows.into_iter();
        Self(rows.map(|(host, name, id)| ((host, name), id)).collect())
    }
}
