//! `restart-loop`: a database server ends again and again, and the engine starts it again and again.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::fleet::ContainerState;

use super::{Detector, Evidence, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0202", "restart-loop");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};

/// A server that comes back after one crash is none.
const RESTARTS: u32 = 3;
/// Who has run for as long as this has come out of it; the engine's pauses grow up to a minute.
const STANDS_AFTER: TimeDelta = TimeDelta::minutes(2);

fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let hosts = facts.hosts.iter();
    let instances = hosts.flat_map(|host| host.instances.iter().map(move |one| (host, one)));
    instances
        .filter_map(|(host, instance)| {
            let container = host.container_of(instance)?;
            let young = container
                .started_at
                .is_some_and(|started| (now - started).abs() < STANDS_AFTER);
            let restarting = container.state == ContainerState::Restarting
                || (container.state == ContainerState::Running && young);
            if container.restart_count < RESTARTS || !restarting {
                return None;
            }
            let subject = format!("{}/{}", host.name, instance.name);
            let mut evidence = vec![Evidence::new(
                "last exit code",
                container.exit_code.to_string(),
            )];
            if !instance.down_reason.is_empty() {
                evidence.push(Evidence::new("last said", &instance.down_reason));
            }
            Some(Seen {
                kind: KIND,
                key: subject.clone(),
                severity: Severity::Critical,
                message: format!(
                    "the server of {subject} ends and is started again, {} times until now",
                    container.restart_count
                ),
                evidence,
                advice: format!(
                    "stop it before it does more harm (docker stop {} on {}), then look at its log",
                    container.name, host.name
                ),
                subject,
            })
        })
        .collect()
}
