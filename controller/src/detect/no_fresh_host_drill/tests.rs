use super::*;
use crate::{catalog::DrillOf, policy::file::read};

fn now() -> DateTime<Utc> {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

fn rebuilt(days: i64, verdict: Option<Verdict>) -> Drill {
    let at = now() - TimeDelta::days(days);
    Drill {
        id: 7,
        job: 9,
        of: DrillOf::Rebuild {
            host: "web-1".parse().unwrap(),
            on: "lab-1".parse().unwrap(),
        },
        started_at: at,
        ended: verdict.map(|verdict| DrillEnded {
            at,
            verdict,
            broken: String::new(),
            reason: "web-1/cache: there is no backup of it".to_owned(),
            took: None,
            rpo: None,
        }),
    }
}

/// With backups for so many days, and these drills, newest first.
fn seen(days: i64, drills: &[Drill]) -> Option<Seen> {
    let host = HostStanding {
        host: "web-1".parse().unwrap(),
        plan: read("").unwrap().hosts.plan,
        place: "web-1".parse().unwrap(),
        since: Some(now() - TimeDelta::days(days)),
        drills: drills.to_vec(),
        runs: vec![],
        work: vec![],
    };
    judge(&host, Work::Rebuild, now())
}

#[test]
fn a_host_that_was_never_rebuilt_is_told_when_the_first_one_is_overdue() {
    assert_eq!(seen(10, &[]), None);
    let never = seen(11, &[]).unwrap();
    assert_eq!(never.message, "there was never a rebuild of web-1");
    assert!(never.advice.contains("ctl drill run --kind rebuild web-1"));
    assert_eq!(never.key, "web-1 rebuild");
    // One that runs has shown nothing yet.
    assert!(seen(11, &[rebuilt(0, None)]).is_some());
}

#[test]
fn the_last_one_counts_and_not_a_better_one_before() {
    let good = rebuilt(30, Some(Verdict::Proven));
    for (verdict, severity, says) in [
        (Verdict::Damaged, Severity::Critical, "found damage"),
        (
            Verdict::Incomplete,
            Severity::Warning,
            "without a backup: web-1/cache",
        ),
        (
            Verdict::CouldNotRun,
            Severity::Warning,
            "came to no verdict",
        ),
    ] {
        let found = seen(300, &[rebuilt(3, Some(verdict)), good.clone()]).unwrap();
        assert_eq!(found.severity, severity);
        assert!(found.message.contains(says), "{}", found.message);
        assert!(
            found.advice.contains("ctl drill show 7"),
            "{}",
            found.advice
        );
    }
    assert_eq!(
        seen(300, &[good, rebuilt(60, Some(Verdict::Damaged))]),
        None
    );
}

#[test]
fn two_quarters_without_one_are_told() {
    // Quarters begin on 1 July and 1 October, each with a week's jitter.
    assert_eq!(seen(400, &[rebuilt(130, Some(Verdict::Proven))]), None);
    let old = seen(400, &[rebuilt(150, Some(Verdict::Proven))]).unwrap();
    assert!(
        old.message.contains("the last two of its schedule"),
        "{}",
        old.message
    );
    assert_eq!(old.severity, Severity::Warning);
}
