//! `same-identifier`: two servers that write, on copies of one data directory.
//!
//! What one of them has been told the other does not know; whoever meets the wrong one loses rows. A standby has the
//! identifier of its primary, and is none: it does not write. Of PostgreSQL only.

use std::collections::BTreeMap;

use super::{Detector, Evidence, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0111", "same-identifier");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

fn look(facts: &Facts) -> Vec<Seen> {
    let mut by_identifier: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (host, name, health) in facts.healthy() {
        // The nodes of a MariaDB cluster are copies of each other, and all of them write.
        let writes = host.connected && !health.in_recovery && health.mariadb.is_none();
        if writes && !health.system_identifier.is_empty() {
            let servers = by_identifier.entry(&health.system_identifier);
            servers.or_default().push(name);
        }
    }
    by_identifier
        .into_iter()
        .filter(|(_, servers)| servers.len() > 1)
        .map(|(identifier, mut servers)| {
            servers.sort();
            Seen {
                kind: KIND,
                key: identifier.to_owned(),
                severity: Severity::Critical,
                subject: servers.first().cloned().unwrap_or_default(),
                message: format!(
                    "{} write on copies of one data directory: what one is told the others do not know",
                    servers.join(" and ")
                ),
                evidence: vec![Evidence::new("system identifier", identifier)],
                advice: format!(
                    "find out which one the applications use, and stop the other; a copy that shall live is made with: ctl copy database {} …",
                    servers.first().map_or("", String::as_str)
                ),
            }
        })
        .collect()
}
