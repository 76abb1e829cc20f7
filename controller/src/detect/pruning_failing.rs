//! `pruning-failing`: the daily pruning of a repository does not go through, and nothing that is removed frees space.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Detector, Facts, Kind, Seen, Severity, kind};
use crate::catalog::Pruning;

const KIND: Kind = kind!("HF0602", "pruning-failing");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};
/// Between the claim of the schedule and the job that it makes lies a moment.
const PATIENCE: TimeDelta = TimeDelta::minutes(5);
/// From then on the repository grows as if there were no retention.
const LONG: TimeDelta = TimeDelta::days(7);

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let prunings = facts.prunings.iter();
    prunings.filter_map(|pruning| judge(pruning, now)).collect()
}

fn judge(pruning: &Pruning, now: DateTime<Utc>) -> Option<Seen> {
    let tried = pruning.started_at?;
    let went_through = pruning.pruned_at.is_some_and(|pruned| pruned >= tried);
    // A try of the future is one from before a clock went back.
    if pruning.running || went_through || (now - tried).abs() < PATIENCE {
        return None;
    }
    let host = pruning.host.to_string();
    let last = pruning.pruned_at.map_or_else(
        || "it never went through".to_owned(),
        |at| format!("the last one went through {} UTC", at.format("%F %H:%M")),
    );
    let long = pruning.pruned_at.is_none_or(|at| now - at > LONG);
    Some(Seen {
        kind: KIND,
        evidence: vec![],
        key: host.clone(),
        severity: if long {
            Severity::Critical
        } else {
            Severity::Warning
        },
        message: format!(
            "the pruning of the repository of {host} that began {} UTC did not go through; {last}. Removed backups \
             still take their space",
            tried.format("%F %H:%M")
        ),
        advice: format!(
            "see why: ctl job list; then, with the cause removed: ctl repository prune {host}"
        ),
        subject: host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::hours(hours)
    }

    fn seen(started: i64, pruned: Option<i64>, running: bool, now: i64) -> Option<Severity> {
        let pruning = Pruning {
            host: "web-1".parse().unwrap(),
            started_at: Some(at(started)),
            pruned_at: pruned.map(at),
            marked_packs: 0,
            unfinished: true,
            running,
        };
        judge(&pruning, at(now)).map(|seen| seen.severity)
    }

    #[test]
    fn a_try_that_neither_runs_nor_went_through_is_told() {
        assert_eq!(seen(0, Some(1), false, 2), None);
        assert_eq!(seen(24, Some(1), true, 26), None);
        assert_eq!(seen(24, Some(1), false, 24), None, "it may just begin");
        assert_eq!(seen(24, Some(1), false, 25), Some(Severity::Warning));
        assert_eq!(seen(200, Some(1), false, 201), Some(Severity::Critical));
        assert_eq!(seen(0, None, false, 1), Some(Severity::Critical));
        // One by hand did it.
        assert_eq!(seen(24, Some(25), false, 26), None);
    }

    #[test]
    fn what_was_never_due_cannot_be_late() {
        let pruning = Pruning {
            host: "web-1".parse().unwrap(),
            started_at: None,
            pruned_at: None,
            marked_packs: 0,
            unfinished: false,
            running: false,
        };
        assert_eq!(judge(&pruning, at(0)), None);
    }
}
