//! `schedule-late`: something is due and cannot begin.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Detector, Facts, Kind, Seen, Severity, kind};
use crate::schedule::{Verdict, Work};

pub const KIND: Kind = kind!("HF0506", "schedule-late");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};

/// What takes hours itself holds up others of its kind for hours.
fn patience(work: Work) -> TimeDelta {
    match work {
        Work::Backup => TimeDelta::hours(1),
        Work::Drill => TimeDelta::days(1),
        Work::Rebuild | Work::Offsite => TimeDelta::days(3),
    }
}

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let of_databases = facts.protection.iter().flat_map(|one| &one.work);
    let of_hosts = facts.whole_hosts.iter().flat_map(|one| &one.work);
    of_databases
        .chain(of_hosts)
        .filter_map(|decision| {
            let (slot, by) = match &decision.verdict {
                Verdict::Held { slot, by } => (*slot, by.as_str()),
                Verdict::Start { slot, .. } => (*slot, "no controller has started it"),
                Verdict::Running { .. } | Verdict::Next { .. } | Verdict::Never => return None,
            };
            let late = now - slot;
            let (subject, work) = (decision.of.to_string(), decision.work);
            (late > patience(work)).then(|| Seen {
                kind: KIND,
                evidence: vec![],
                key: format!("{subject} {work}"),
                severity: Severity::Warning,
                message: format!(
                    "the {} of {subject} is due since {}: {by}",
                    work.title(),
                    slot.format("%F %H:%M UTC")
                ),
                advice: format!("ctl policy show {subject}"),
                subject,
            })
        })
        .collect()
}
