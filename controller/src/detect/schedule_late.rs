//! `schedule-late`: something is due and cannot begin.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Facts, Seen, Severity};
use crate::schedule::Verdict;

pub const KIND: &str = "schedule-late";
const PATIENCE: TimeDelta = TimeDelta::hours(1);

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let databases = facts.protection.iter();
    databases
        .flat_map(|database| &database.work)
        .filter_map(|decision| {
            let (slot, by) = match &decision.verdict {
                Verdict::Held { slot, by } => (*slot, by.as_str()),
                Verdict::Start { slot, .. } => (*slot, "no controller has started it"),
                Verdict::Running { .. } | Verdict::Next { .. } | Verdict::Never => return None,
            };
            let late = now - slot;
            let (subject, work) = (decision.database.to_string(), decision.work);
            (late > PATIENCE).then(|| Seen {
                kind: KIND,
                key: format!("{subject} {work}"),
                severity: Severity::Warning,
                message: format!(
                    "the {work} of {subject} is due since {}: {by}",
                    slot.format("%F %H:%M UTC")
                ),
                advice: format!("ctl policy show {subject}"),
                subject,
            })
        })
        .collect()
}
