//! What one host reported last, and how a report changes it: pure.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{
    fleet::{Container, HostDelta, HostSnapshot, Instance, Volume},
    link::Hello,
    names::HostName,
};
use serde::{Deserialize, Serialize};

use super::recent::Recent;

type Time = DateTime<Utc>;

/// Everything that is known of a host without asking it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostState {
    pub name: HostName,
    /// A session is open now.
    pub connected: bool,
    pub enrolled_at: Option<Time>,
    /// Last sign of life; unset when it never connected.
    pub last_seen: Option<Time>,
    /// When the report below was changed last; unset before the first snapshot.
    pub reported_at: Option<Time>,
    /// What the agent said when it connected.
    pub facts: Option<HostFacts>,
    /// Resident memory of the agent, bytes; 0 before the first heartbeat.
    pub agent_rss_bytes: u64,
    /// How far the host's clock is ahead of ours, as its last heartbeat showed; on the way it loses a moment.
    #[serde(skip)]
    pub clock_ahead: TimeDelta,
    pub report: HostReport,
    /// Not kept in the catalog.
    #[serde(skip)]
    pub recent: Recent,
}

/// The lasting part of a `Hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    pub agent_version: String,
    pub run_id: String,
    pub started_at: Time,
    pub peer_addresses: Vec<String>,
    pub operating_system: String,
    pub kernel: String,
    pub cpus: u32,
    pub memory_bytes: u64,
}

/// What runs on a host, by the key that deltas use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// By the engine's full id.
    pub containers: BTreeMap<String, Container>,
    pub volumes: BTreeMap<String, Volume>,
    pub instances: BTreeMap<String, Instance>,
    /// As it last answered; empty when it never did.
    pub container_engine: String,
    /// Why the container engine could not be asked; empty when it could.
    pub engine_error: String,
}

impl HostState {
    /// A host that has been enrolled and never connected.
    #[must_use]
    pub fn unseen(name: HostName, enrolled_at: Option<Time>) -> Self {
        Self {
            name,
            connected: false,
            enrolled_at,
            last_seen: None,
            reported_at: None,
            facts: None,
            agent_rss_bytes: 0,
            clock_ahead: TimeDelta::zero(),
            report: HostReport::default(),
            recent: Recent::default(),
        }
    }
}

impl From<&Hello> for HostFacts {
    fn from(hello: &Hello) -> Self {
        Self {
            agent_version: hello.agent_version.clone(),
            run_id: hello.run_id.clone(),
            started_at: hello.started_at,
            peer_addresses: hello.peer_addresses.clone(),
            operating_system: hello.operating_system.clone(),
            kernel: hello.kernel.clone(),
            cpus: hello.cpus,
            memory_bytes: hello.memory_bytes,
        }
    }
}

impl From<HostSnapshot> for HostReport {
    fn from(snapshot: HostSnapshot) -> Self {
        Self {
            containers: by(snapshot.containers, |c| &c.id),
            volumes: by(snapshot.volumes, |v| &v.name),
            instances: by(snapshot.instances, |i| &i.name),
            container_engine: snapshot.container_engine,
            engine_error: snapshot.engine_error,
        }
    }
}

/// The report after a delta: what is gone is taken out first, so that a name which was removed and
/// came back within one delta stays. Its events are no part of the report: [`Recent`] takes them.
pub fn apply(report: &mut HostReport, delta: HostDelta) {
    for id in &delta.removed_containers {
        report.containers.remove(id);
    }
    for name in &delta.removed_volumes {
        report.volumes.remove(name);
    }
    for name in &delta.removed_instances {
        report.instances.remove(name);
    }
    report.containers.extend(by(delta.containers, |c| &c.id));
    report.volumes.extend(by(delta.volumes, |v| &v.name));
    report.instances.extend(by(delta.instances, |i| &i.name));
    report.container_engine = delta.container_engine;
    report.engine_error = delta.engine_error;
}

fn by<T>(items: Vec<T>, key: impl Fn(&T) -> &String) -> BTreeMap<String, T> {
    items
        .into_iter()
        .map(|item| (key(&item).clone(), item))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use holdfast_proto::fleet::Engine;
    use proptest::prelude::*;

    use super::*;

    fn volume(name: &str, driver: &str) -> Volume {
        Volume {
            device: String::new(),
            name: name.to_owned(),
            driver: driver.to_owned(),
            labels: BTreeMap::new(),
            created_at: None,
            mountpoint: String::new(),
            anonymous: false,
            used_by: Vec::new(),
        }
    }

    fn instance(name: &str, down_reason: &str) -> Instance {
        Instance {
            data: None,
            name: name.to_owned(),
            engine: Engine::Postgres,
            container: name.to_owned(),
            reached_by: String::new(),
            down_reason: down_reason.to_owned(),
            health: None,
            registered: false,
        }
    }

    #[test]
    fn a_delta_replaces_adds_and_removes() {
        let mut report = HostReport::from(HostSnapshot {
            volumes: vec![volume("a", "local"), volume("b", "local")],
            instances: vec![instance("db", "")],
            container_engine: String::new(),
            engine_error: "no socket".to_owned(),
            ..HostSnapshot::default()
        });
        apply(
            &mut report,
            HostDelta {
                volumes: vec![volume("b", "nfs"), volume("c", "local")],
                removed_volumes: vec!["a".to_owned()],
                instances: vec![instance("db", "connection refused")],
                container_engine: "podman 4.3.1".to_owned(),
                ..HostDelta::default()
            },
        );
        let drivers: Vec<_> = report
            .volumes
            .values()
            .map(|v| (v.name.as_str(), v.driver.as_str()))
            .collect();
        assert_eq!(drivers, [("b", "nfs"), ("c", "local")]);
        assert_eq!(report.instances["db"].down_reason, "connection refused");
        assert_eq!(report.container_engine, "podman 4.3.1");
        assert_eq!(report.engine_error, "");
    }

    #[test]
    fn a_volume_made_again_in_the_delta_that_removed_it_stays() {
        let mut report = HostReport::from(HostSnapshot {
            volumes: vec![volume("a", "local")],
            ..HostSnapshot::default()
        });
        apply(
            &mut report,
            HostDelta {
                volumes: vec![volume("a", "nfs")],
                removed_volumes: vec!["a".to_owned()],
                ..HostDelta::default()
            },
        );
        assert_eq!(report.volumes["a"].driver, "nfs");
    }

    proptest! {
        /// Applying the difference of any two reports to the first gives the second.
        #[test]
        fn differences_add_up(
            before in prop::collection::btree_map("[a-f]", "[xy]", 0..6),
            after in prop::collection::btree_map("[a-f]", "[xy]", 0..6),
        ) {
            let snapshot = |of: &BTreeMap<String, String>| HostSnapshot {
                volumes: of.iter().map(|(name, driver)| volume(name, driver)).collect(),
                ..HostSnapshot::default()
            };
            let kept: BTreeSet<_> = after.keys().collect();
            let delta = HostDelta {
                volumes: after
                    .iter()
                    .filter(|(name, driver)| before.get(*name) != Some(driver))
                    .map(|(name, driver)| volume(name, driver))
                    .collect(),
                removed_volumes: before.keys().filter(|n| !kept.contains(n)).cloned().collect(),
                ..HostDelta::default()
            };
            let mut report = HostReport::from(snapshot(&before));
            apply(&mut report, delta);
            prop_assert_eq!(report, HostReport::from(snapshot(&after)));
        }
    }
}
