//! `check-suspicious` and `check-could-not-run`: a user-count check is not ok.

use std::time::Duration;

use holdfast_proto::check::CheckVerdict;

use chrono::{DateTime, Utc};

use super::{Detector, Facts, Kind, Seen, Severity, kind};
use crate::check::{Check, CheckRun};

/// For an agent that is busy, and a report that is late.
const GRACE: Duration = Duration::from_secs(60);

pub const SUSPICIOUS: Kind = kind!("HF0301", "check-suspicious");
pub const COULD_NOT_RUN: Kind = kind!("HF0302", "check-could-not-run");
pub const DETECTOR: Detector = Detector {
    kinds: &[SUSPICIOUS, COULD_NOT_RUN],
    look: |moment| look(moment.before, moment.facts, moment.now),
};

pub fn look(before: &Facts, facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let checks = facts.checks.iter();
    checks
        .filter_map(|state| {
            let last = state.last.as_ref();
            finding(&state.check, last).or_else(|| {
                // What was not heard of a silent host may come when it is back.
                let heard = [before, facts]
                    .into_iter()
                    .all(|facts| facts.is_connected(&state.check.database.host));
                last.filter(|_| heard)
                    .and_then(|last| overdue(&state.check, last, now))
            })
        })
        .collect()
}

/// The last verdict of a check that does not run any more says nothing.
fn overdue(check: &Check, last: &CheckRun, now: DateTime<Utc>) -> Option<Seen> {
    let patience = check.every * 3 + check.timeout * 2 + GRACE;
    let silent = (now - last.outcome.at).to_std().ok()?;
    (silent > patience).then(|| Seen {
        kind: COULD_NOT_RUN,
        evidence: vec![],
        key: key(check),
        severity: Severity::Warning,
        subject: check.database.to_string(),
        message: format!(
            "check {} tells nothing: its last run was {} min ago",
            check.name,
            silent.as_secs() / 60
        ),
        advice: format!(
            "look whether the server answers: ctl instance show {}",
            check.database.instance_name()
        ),
    })
}

/// What the check's last run means.
#[must_use]
pub fn finding(check: &Check, last: Option<&CheckRun>) -> Option<Seen> {
    let run = last?;
    let (kind, severity, what) = match run.verdict {
        CheckVerdict::Ok => return None,
        CheckVerdict::Suspicious => (SUSPICIOUS, Severity::Critical, "is suspicious"),
        CheckVerdict::CouldNotRun => (COULD_NOT_RUN, Severity::Warning, "tells nothing"),
    };
    Some(Seen {
        kind,
        evidence: vec![],
        key: key(check),
        severity,
        subject: check.database.to_string(),
        message: format!("check {} {what}: {}", check.name, run.reasons.join("; ")),
        advice: format!("ctl check history {} {}", check.database, check.name),
    })
}

/// Two checks of one database are two findings.
#[must_use]
pub fn key(check: &Check) -> String {
    check.full_name()
}
