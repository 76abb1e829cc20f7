//! Do the user-count checks of the source hold on the copy? Pure.
//!
//! The copy shows the source as it was at the snapshot; the source has moved on. So the check runs
//! on both, and its limits are asked of the copy's outcome as of the snapshot, with the source's
//! own outcome of now as the run before it (a fall is measured from there). A limit that the
//! source breaks as well is no fault of the copy: a faithful copy of a suspicious database holds,
//! and says so. What could not run on the copy holds only if the operator left data out.

use chrono::{DateTime, Utc};
use holdfast_proto::check::{CheckOutcome, CheckVerdict};

use super::proof::ProvenCheck;
use crate::check::{Check, Judgement, judge};

#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub check: ProvenCheck,
    /// False: the copy must not be published.
    pub holds: bool,
}

/// `source`: run on the source after the copy; `copy`: run on the copy. `partial`: tables or rows
/// were left out on request, so that counts mean less.
#[must_use]
pub fn hold(
    check: &Check,
    source: &CheckOutcome,
    copy: &CheckOutcome,
    snapshot_at: DateTime<Utc>,
    partial: bool,
) -> Held {
    let asks_newest = !check.newest_sql.is_empty();
    let reference = (source.error.is_empty() && source.count.is_some()).then_some(source);
    let on_copy = judge(&check.limits, asks_newest, reference, copy, snapshot_at);
    let on_source = judge(&check.limits, asks_newest, None, source, source.at);
    let excused = excuse(&on_copy, &on_source, partial);
    let mut reasons: Vec<_> = on_copy.reasons.iter().map(ToString::to_string).collect();
    reasons.extend(excused.map(str::to_owned));
    Held {
        holds: on_copy.verdict == CheckVerdict::Ok || excused.is_some(),
        check: ProvenCheck {
            name: check.name.clone(),
            verdict: on_copy.verdict,
            outcome: copy.clone(),
            reasons,
        },
    }
}

fn excuse(copy: &Judgement, source: &Judgement, partial: bool) -> Option<&'static str> {
    match copy.verdict {
        CheckVerdict::Ok => None,
        _ if partial => Some("not held against the copy: it was asked to leave data out"),
        CheckVerdict::CouldNotRun => None,
        CheckVerdict::Suspicious => copy
            .reasons
            .iter()
            .all(|reason| source.reasons.iter().any(|other| other.is_like(reason)))
            .then_some("not held against the copy: the source breaks the same limit"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use holdfast_proto::check::CheckLimits;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    fn check(limits: CheckLimits) -> Check {
        Check {
            id: 1,
            database: "web-1/shop-db/shop".parse().unwrap(),
            name: "users".to_owned(),
            count_sql: "select count(*) from users".to_owned(),
            newest_sql: "select max(created_at) from users".to_owned(),
            limits,
            every: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        }
    }

    fn outcome(count: i64, days_old: i64) -> CheckOutcome {
        CheckOutcome {
            at: now(),
            count: Some(count),
            newest: Some(now() - TimeDelta::days(days_old)),
            error: String::new(),
        }
    }

    fn limits() -> CheckLimits {
        CheckLimits {
            min: Some(10),
            max: None,
            max_drop_percent: Some(10.0),
            max_age: Some(Duration::from_hours(7 * 24)),
        }
    }

    fn verdict(source: &CheckOutcome, copy: &CheckOutcome, partial: bool) -> (bool, CheckVerdict) {
        let held = hold(&check(limits()), source, copy, now(), partial);
        (held.holds, held.check.verdict)
    }

    #[test]
    fn the_source_may_have_grown_within_the_limits() {
        let grown = (true, CheckVerdict::Ok);
        assert_eq!(verdict(&outcome(5100, 0), &outcome(5000, 0), false), grown);
        let lost = (false, CheckVerdict::Suspicious);
        assert_eq!(verdict(&outcome(5000, 0), &outcome(100, 0), false), lost);
    }

    #[test]
    fn a_faithful_copy_of_a_suspicious_source_holds_and_says_so() {
        let same = verdict(&outcome(5, 9), &outcome(5, 9), false);
        assert_eq!(same, (true, CheckVerdict::Suspicious));
        // Too few at the source does not excuse what is only old on the copy.
        let older = verdict(&outcome(5, 0), &outcome(5, 9), false);
        assert_eq!(older, (false, CheckVerdict::Suspicious));
    }

    #[test]
    fn what_could_not_run_on_the_copy_does_not_hold() {
        let broken = CheckOutcome {
            error: "permission denied".to_owned(),
            ..outcome(5000, 0)
        };
        let unrun = CheckVerdict::CouldNotRun;
        assert_eq!(verdict(&outcome(5000, 0), &broken, false), (false, unrun));
        assert_eq!(verdict(&broken, &broken, false), (false, unrun));
        assert_eq!(verdict(&outcome(5000, 0), &broken, true), (true, unrun));
        // The source is gone since: the copy is judged by the fixed limits.
        assert_eq!(
            verdict(&broken, &outcome(5000, 0), false),
            (true, CheckVerdict::Ok)
        );
        assert!(!verdict(&broken, &outcome(5, 0), false).0);
    }
}
