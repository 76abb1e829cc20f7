//! Which names an incident is about: what else happened to them belongs into its timeline.

use std::collections::BTreeSet;

use super::{About, Incident, Services};
use crate::detect::Finding;

/// "web-1/shop-db" concerns also "web-1/shop-db/shop"; "web-1" everything there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concern(BTreeSet<String>);

impl Concern {
    #[must_use]
    pub fn of(incident: &Incident, findings: &[Finding], services: &Services) -> Self {
        let mut names = BTreeSet::from([of_subject(&incident.lead.subject)]);
        for finding in findings {
            names.insert(of_subject(&finding.subject));
            if let About::Service(service) = About::of(finding, services) {
                names.extend(services.names(service));
            }
        }
        Self(names)
    }

    /// Whether what has this name is one of those.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let mut names = self.0.iter();
        names.any(|known| {
            let rest = name.strip_prefix(known.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// As jobs lock them: "instance:web-1/shop-db".
    #[must_use]
    pub fn covers_resource(&self, resource: &str) -> bool {
        let named = resource.split_once(':');
        named.is_some_and(|(_, name)| self.covers(name))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The instance of a database, else what is named.
fn of_subject(subject: &str) -> String {
    let mut parts = subject.splitn(3, '/');
    match (parts.next(), parts.next()) {
        (Some(host), Some(name)) => format!("{host}/{name}"),
        _ => subject.to_owned(),
    }
}
