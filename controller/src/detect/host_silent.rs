//! `host-silent`: an enrolled host has no session, and has had none for a while.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Detector, Facts, HostFacts, Kind, Seen, Severity, kind};

pub const KIND: Kind = kind!("HF0401", "host-silent");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};

/// An agent that is restarted is back sooner.
const GRACE: TimeDelta = TimeDelta::seconds(45);
/// Time to run the command that enrolment printed.
const FIRST_CONNECT: TimeDelta = TimeDelta::hours(1);

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let silent = facts.hosts.iter().filter(|host| !host.connected);
    silent.filter_map(|host| judge(host, now)).collect()
}

fn judge(host: &HostFacts, now: DateTime<Utc>) -> Option<Seen> {
    let (severity, message, advice) = match (host.last_seen_at, host.enrolled_at) {
        (Some(seen), _) if now - seen > GRACE => (
            Severity::Critical,
            format!(
                "{} was last heard of {} UTC",
                host.name,
                seen.format("%F %H:%M:%S")
            ),
            "look whether the host is up and its agent runs (`systemctl status holdfast-agent`)",
        ),
        (None, Some(enrolled)) if now - enrolled > FIRST_CONNECT => (
            Severity::Warning,
            format!("{} is enrolled and has never connected", host.name),
            "run the agent on it, or `ctl host remove` it",
        ),
        _ => return None,
    };
    Some(Seen {
        kind: KIND,
        evidence: vec![],
        key: host.name.to_string(),
        severity,
        subject: host.name.to_string(),
        message,
        advice: advice.to_owned(),
    })
}
