//! `check-suspicious` and `check-could-not-run`: a user-count check is not ok.

use holdfast_proto::check::CheckVerdict;

use super::{Facts, Seen, Severity};
use crate::check::{Check, CheckRun};

pub const SUSPICIOUS: &str = "check-suspicious";
pub const COULD_NOT_RUN: &str = "check-could-not-run";

pub fn look(facts: &Facts) -> Vec<Seen> {
    let checks = facts.checks.iter();
    checks
        .filter_map(|state| finding(&state.check, state.last.as_ref()))
        .collect()
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
