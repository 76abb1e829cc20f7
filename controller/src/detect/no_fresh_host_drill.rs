//! `no-fresh-host-drill`: nobody knows whether a host comes back as a whole, or whether its repository can be read to
//! the last byte; or the last drill that asked found that it does not.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::drill::Verdict;

use super::{Detector, Facts, Kind, Seen, Severity, kind};
use crate::{
    catalog::{Drill, DrillEnded},
    schedule::Work,
    standing::HostStanding,
};

const KIND: Kind = kind!("HF0504", "no-fresh-host-drill");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};
/// Of a drill that is due: it takes hours, and has a pause of a day after a failure.
const PATIENCE: TimeDelta = TimeDelta::days(3);

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let hosts = facts.whole_hosts.iter();
    hosts
        .flat_map(|host| Work::OF_HOSTS.map(|work| judge(host, work, now)))
        .flatten()
        .collect()
}

fn judge(host: &HostStanding, work: Work, now: DateTime<Utc>) -> Option<Seen> {
    let timing = host.plan.timing(work)?;
    let since = host.since?;
    let (title, name) = (work.title(), &host.host);
    let ended: Vec<_> = host
        .drills_of(work)
        .filter_map(|drill| Some((drill, drill.ended.as_ref()?)))
        .collect();
    let again = format!("ctl drill run --kind {work} {name}");
    let (severity, message, advice) = match ended.first() {
        Some((drill, end)) if end.verdict != Verdict::Proven => {
            let see = format!(
                "ctl drill show {}; with the cause removed: {again}",
                drill.id
            );
            (severity(end.verdict), told(title, drill, end), see)
        }
        Some((_, end)) => {
            let slot_of = format!("{name} {work}");
            let last = timing.latest(&slot_of, now - PATIENCE)?;
            let before = timing.latest(&slot_of, last - TimeDelta::seconds(1))?;
            if end.at >= before {
                return None;
            }
            let message = format!(
                "the last {title} that proved {name} was on {}: the last two of its schedule ({timing}) are missing",
                end.at.format("%F")
            );
            (Severity::Warning, message, see_why(host, &again))
        }
        None => {
            let patience = TimeDelta::from_std(HostStanding::first_within(work)).ok()? + PATIENCE;
            if now - since <= patience {
                return None;
            }
            let message = format!("there was never a {title} of {name}");
            (Severity::Warning, message, see_why(host, &again))
        }
    };
    Some(Seen {
        kind: KIND,
        evidence: vec![],
        key: format!("{name} {work}"),
        severity,
        subject: name.to_string(),
        message,
        advice,
    })
}

fn told(title: &str, drill: &Drill, end: &DrillEnded) -> String {
    let (host, day) = (drill.of.host(), end.at.format("%F"));
    let found = match end.verdict {
        Verdict::Damaged => "found damage",
        Verdict::Incomplete => "found something without a backup",
        Verdict::CouldNotRun | Verdict::Proven => "came to no verdict",
    };
    format!("the last {title} of {host} ({day}) {found}: {}", end.reason)
}

fn severity(verdict: Verdict) -> Severity {
    match verdict {
        Verdict::Damaged => Severity::Critical,
        Verdict::Incomplete | Verdict::CouldNotRun | Verdict::Proven => Severity::Warning,
    }
}

fn see_why(host: &HostStanding, again: &str) -> String {
    format!(
        "see why: ctl policy show {}; run one now: {again}",
        host.host
    )
}

#[cfg(test)]
mod tests;
