//! `clock-skew`: a host's clock is not ours: schedules, certificates and the times of its events are wrong there.

use chrono::TimeDelta;

use super::{Detector, Evidence, Facts, HostFacts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0404", "clock-skew");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

/// A heartbeat on a slow line loses less.
const WARN: TimeDelta = TimeDelta::seconds(30);
/// A certificate that was made just now would not be valid there.
const CRITICAL: TimeDelta = TimeDelta::minutes(5);

fn look(facts: &Facts) -> Vec<Seen> {
    let connected = facts.hosts.iter().filter(|host| host.connected);
    connected.filter_map(judge).collect()
}

fn judge(host: &HostFacts) -> Option<Seen> {
    let skew = host.clock_ahead.abs();
    let severity = if skew >= CRITICAL {
        Severity::Critical
    } else if skew >= WARN {
        Severity::Warning
    } else {
        return None;
    };
    let way = if host.clock_ahead > TimeDelta::zero() {
        "ahead of"
    } else {
        "behind"
    };
    // Whole minutes do not change with each heartbeat.
    let told = match skew.num_minutes() {
        0 => "half a minute or more".to_owned(),
        minutes => format!("{minutes} min"),
    };
    Some(Seen {
        kind: KIND,
        key: host.name.to_string(),
        severity,
        subject: host.name.to_string(),
        message: format!(
            "the clock of {} is {told} {way} the controller's",
            host.name
        ),
        evidence: vec![Evidence::new("severe from", "5 min")],
        advice: format!(
            "on {}: timedatectl, then systemctl restart systemd-timesyncd (or chronyd); and see whether the \
             controller's own clock is right",
            host.name
        ),
    })
}
