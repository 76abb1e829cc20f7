//! When a host as a whole is drilled again: what counts as done, what as failed, and what holds it up.

use chrono::TimeDelta;

use super::*;
use crate::{
    catalog::{Applied, Backup, BackupKind, BackupState, DrillEnded, DrillOf},
    policy::file::read,
    schedule::{Verdict as Decided, Waits},
    standing::stand,
};

fn now() -> DateTime<Utc> {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

fn backup(state: BackupState, days: i64) -> Backup {
    let at = now() - TimeDelta::days(days);
    Backup {
        id: 1,
        database: "web-1/db/shop".parse().unwrap(),
        engine: Some(holdfast_proto::fleet::Engine::Postgres),
        kind: BackupKind::Full,
        state,
        pinned: false,
        taken_at: at,
        stored_at: at,
        proven_at: None,
        logical_bytes: 1,
        stored_bytes: 1,
        snapshot_id: "a".to_owned(),
        job: None,
        marked_at: None,
        removed_at: None,
        deletion: None,
    }
}

fn rebuilt(days: i64, verdict: Option<Verdict>) -> Drill {
    let started_at = now() - TimeDelta::days(days);
    let host: HostName = "web-1".parse().unwrap();
    Drill {
        id: 7,
        job: 9,
        of: DrillOf::Rebuild {
            on: host.clone(),
            host,
        },
        started_at,
        ended: verdict.map(|verdict| DrillEnded {
            at: started_at + TimeDelta::hours(1),
            verdict,
            broken: String::new(),
            reason: String::new(),
            took: None,
            rpo: None,
        }),
    }
}

/// A host with backups for a year, and policies for half of one.
fn gathered(file: &str) -> Gathered {
    Gathered {
        applied: Applied {
            version: 1,
            at: Some(now() - TimeDelta::days(180)),
            set: read(file).unwrap(),
        },
        known: vec![],
        backups: vec![backup(BackupState::Stored, 365)],
        runs: vec![],
        recoveries: vec![],
        readers: vec![],
        host_drills: vec![],
    }
}

fn facts(name: &str) -> HostFacts {
    HostFacts {
        name: name.parse().unwrap(),
        connected: true,
        enrolled_at: None,
        last_seen_at: None,
        clock_ahead: chrono::TimeDelta::zero(),
        engine_error: String::new(),
        containers: vec![],
        volumes: vec![],
        instances: vec![],
    }
}

/// Of the rebuild.
fn decided(gathered: &Gathered) -> Option<Decided> {
    let standing = stand(gathered, &[facts("web-1")], now());
    let mut work = standing.hosts[0].work.iter();
    let rebuild = work.find(|decision| decision.work == Work::Rebuild);
    rebuild.map(|decision| decision.verdict.clone())
}

#[test]
fn a_host_with_a_good_backup_is_due_and_one_without_has_nothing_to_drill() {
    let mut all = gathered("");
    let first = decided(&all);
    assert!(matches!(first, Some(Decided::Start { .. })), "{first:?}");
    all.backups = vec![backup(BackupState::Damaged, 365)];
    assert_eq!(decided(&all), None);
    all.backups = vec![backup(BackupState::Stored, -1)];
    assert_eq!(decided(&all), None, "of the future: nobody knows");
    assert_eq!(decided(&gathered("hosts: {rebuild: none}")), None);
}

#[test]
fn the_first_one_waits_some_days_from_when_policies_were_applied() {
    let mut all = gathered("hosts: {rebuild: yearly}");
    all.applied.at = Some(now());
    match decided(&all) {
        Some(Decided::Next { at, why }) => {
            assert_eq!(why, Waits::First);
            assert!(at - now() < TimeDelta::days(7), "{at}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_came_to_a_verdict_is_done_and_what_could_not_run_is_tried_again() {
    let after = |verdict| {
        let mut all = gathered("");
        all.host_drills = vec![rebuilt(10, Some(verdict))];
        decided(&all).unwrap()
    };
    for verdict in [Verdict::Proven, Verdict::Incomplete, Verdict::Damaged] {
        let Decided::Next { at, why } = after(verdict) else {
            panic!("{verdict:?}: {:?}", after(verdict));
        };
        assert_eq!((why, at > now()), (Waits::Schedule, true));
    }
    let again = after(Verdict::CouldNotRun);
    let after_failure = Waits::AfterFailures(1);
    assert!(
        matches!(&again, Decided::Start { why, .. } if *why == after_failure),
        "{again:?}"
    );
}

#[test]
fn one_that_runs_is_not_begun_again_and_its_scheduled_run_counts_once() {
    let mut all = gathered("");
    all.host_drills = vec![rebuilt(0, None)];
    assert!(matches!(decided(&all), Some(Decided::Running { .. })));
    // The job of an incomplete one has failed; the drill says that it was done.
    all.host_drills = vec![rebuilt(10, Some(Verdict::Incomplete))];
    all.runs = vec![ScheduledRun {
        id: 3,
        of: Scheduled::Host("web-1".parse().unwrap()),
        work: Work::Rebuild,
        slot: now() - TimeDelta::days(10),
        started_at: now() - TimeDelta::days(10),
        job: Some((9, crate::job::JobState::Failed)),
        ended_at: Some(now() - TimeDelta::days(10)),
        error: String::new(),
    }];
    let Some(Decided::Next { why, .. }) = decided(&all) else {
        panic!("{:?}", decided(&all));
    };
    assert_eq!(why, Waits::Schedule);
    // One that could not run has failed once, and not once more with its job.
    all.host_drills = vec![rebuilt(10, Some(Verdict::CouldNotRun))];
    let again = decided(&all);
    assert!(
        matches!(&again, Some(Decided::Start { why, .. }) if *why == Waits::AfterFailures(1)),
        "{again:?}"
    );
    // Its drill was never noted: it failed.
    all.host_drills.clear();
    let again = decided(&all);
    assert!(matches!(again, Some(Decided::Start { .. })), "{again:?}");
}

#[test]
fn the_host_that_it_is_rebuilt_on_holds_it_up_and_not_the_one_that_is_gone() {
    let all = gathered("hosts: {rebuild: {schedule: quarterly, on: lab-1}}");
    let held = decided(&all);
    assert!(
        matches!(&held, Some(Decided::Held { by, .. }) if by == "lab-1 is not connected"),
        "{held:?}"
    );
    let mut gone = facts("web-1");
    gone.connected = false;
    let standing = stand(&all, &[gone, facts("lab-1")], now());
    let work = &standing.hosts[0].work;
    assert_eq!(work.len(), 2);
    for decision in work {
        assert!(
            matches!(decision.verdict, Decided::Start { .. }),
            "{decision:?}"
        );
    }
}
