//! `instance-down`: a database server does not answer.
//!
//! One that is just coming up is not down: for a moment nothing is said, then that it takes long.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::fleet::{ContainerState, Instance};

use super::{Detector, Facts, HostFacts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0201", "instance-down");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};

/// A server with nothing to replay answers sooner.
const GRACE: TimeDelta = TimeDelta::seconds(30);
/// The set-up of an empty data directory, or the replay after a crash, ends sooner.
const START_TAKES: TimeDelta = TimeDelta::minutes(10);
/// As the agent says it, and PostgreSQL.
const STARTING: &str = "starting up";

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let instances = facts
        .hosts
        .iter()
        .flat_map(|host| host.instances.iter().map(move |instance| (host, instance)));
    instances
        .filter(|(_, instance)| !instance.is_up())
        .filter_map(|(host, instance)| judge(host, instance, now))
        .collect()
}

fn judge(host: &HostFacts, instance: &Instance, now: DateTime<Utc>) -> Option<Seen> {
    let severity = severity(&instance.down_reason, age(host, instance, now))?;
    let subject = format!("{}/{}", host.name, instance.name);
    let reason = match instance.down_reason.as_str() {
        "" => "it has not answered yet",
        reason => reason,
    };
    Some(Seen {
        kind: KIND,
        evidence: vec![],
        key: subject.clone(),
        severity,
        message: format!("{subject} does not answer: {reason}"),
        subject,
        advice: match instance.container.as_str() {
            "" => "look at the server's log".to_owned(),
            container => format!("look at `docker logs {container}` on {}", host.name),
        },
    })
}

/// None within the grace. `age`: since its container was made or started; none when it has none that runs or will.
fn severity(reason: &str, age: Option<TimeDelta>) -> Option<Severity> {
    match age {
        // The host's clock may be a little ahead of ours.
        Some(age) if age.abs() < GRACE => None,
        Some(age) if age.abs() >= START_TAKES => Some(Severity::Critical),
        _ if reason.contains(STARTING) => Some(Severity::Warning),
        _ => Some(Severity::Critical),
    }
}

/// Only what runs, or was never started, has a grace: a container that dies again and again has always just been started.
fn age(host: &HostFacts, instance: &Instance, now: DateTime<Utc>) -> Option<TimeDelta> {
    let mut containers = host.containers.iter();
    let container = containers.find(|container| container.name == instance.container)?;
    let since = match container.state {
        ContainerState::Running => container.started_at,
        // Made, and about to be started.
        ContainerState::Created => container.created_at,
        _ => None,
    };
    since.map(|since| now - since)
}
