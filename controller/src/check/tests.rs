//! Checks on the real catalog, with an agent that answers from a script.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use holdfast_proto::{
    check::{CheckLimits, CheckOutcome, CheckVerdict},
    link::StartTask,
    names::HostName,
    task::{FailureKind, TaskFailure, TaskResult, TaskSpec},
};

use super::{NewCheck, RecordError, SetError, record, set, trim};
use crate::{
    catalog::testing::TestCatalog,
    dispatch::{Dispatch, ProgressSink},
};

#[derive(Debug)]
struct Scripted {
    answer: Mutex<Result<TaskResult, TaskFailure>>,
    asked: Mutex<Vec<StartTask>>,
}

#[async_trait]
impl Dispatch for Scripted {
    async fn run(
        &self,
        _: &HostName,
        task: StartTask,
        _: ProgressSink,
    ) -> Result<TaskResult, TaskFailure> {
        self.asked.lock().unwrap().push(task);
        self.answer.lock().unwrap().clone()
    }

    async fn cancel(&self, _: &HostName, _: &str, _: u64) {}

    async fn forget(&self, _: &HostName, _: &str) {}
}

fn answering(outcome: CheckOutcome) -> Scripted {
    Scripted {
        answer: Mutex::new(Ok(TaskResult::CheckOutcome(outcome))),
        asked: Mutex::default(),
    }
}

fn counted(count: i64) -> CheckOutcome {
    outcome_at(Utc::now(), count)
}

fn outcome_at(at: DateTime<Utc>, count: i64) -> CheckOutcome {
    CheckOutcome {
        // As precise as the catalog keeps it.
        at: at.trunc_subsecs(6),
        count: Some(count),
        newest: None,
        error: String::new(),
    }
}

fn new_check() -> NewCheck {
    NewCheck {
        database: "web-1/shop-db/shop".parse().unwrap(),
        name: "users".to_owned(),
        count_sql: "select count(*) from users".to_owned(),
        newest_sql: String::new(),
        limits: CheckLimits {
            min: Some(10),
            max_drop_percent: Some(10.0),
            ..CheckLimits::default()
        },
        every: Duration::from_mins(1),
        timeout: Duration::from_secs(10),
    }
}

fn host() -> HostName {
    "web-1".parse().unwrap()
}

#[tokio::test]
async fn a_check_is_kept_only_after_it_has_run() {
    let catalog = TestCatalog::new().await;
    let broken = CheckOutcome {
        count: None,
        error: "relation \"users\" does not exist".to_owned(),
        ..counted(0)
    };
    let refused = set(&catalog, &answering(broken), new_check(), "operator/alice").await;
    assert!(
        matches!(refused, Err(SetError::DoesNotRun { .. })),
        "{refused:?}"
    );
    let away = Scripted {
        answer: Mutex::new(Err(TaskFailure {
            kind: FailureKind::Unavailable,
            message: "web-1 is away".to_owned(),
            advice: "look at it".to_owned(),
            retryable: true,
        })),
        asked: Mutex::default(),
    };
    let refused = set(&catalog, &away, new_check(), "operator/alice").await;
    assert_eq!(refused.unwrap_err().advice(), "look at it");
    assert_eq!(catalog.checks().await.unwrap(), []);

    let agent = answering(counted(14));
    let (state, replaced) = set(&catalog, &agent, new_check(), "operator/alice")
        .await
        .unwrap();
    assert!(!replaced);
    assert_eq!(state.last.as_ref().unwrap().verdict, CheckVerdict::Ok);
    assert_eq!(
        catalog.check_states().await.unwrap(),
        std::slice::from_ref(&state)
    );
    let asked = agent.asked.lock().unwrap().clone();
    assert!(matches!(&asked[0].spec, TaskSpec::RunCheck(run) if run.target.database == "shop"));
    assert!(
        asked[0].task_id.starts_with("0/run-check-"),
        "{}",
        asked[0].task_id
    );

    let scheduled = catalog.scheduled_checks(&host()).await.unwrap();
    assert_eq!(scheduled.len(), 1);
    assert_eq!(scheduled[0].id, state.check.id);
    let elsewhere = catalog.scheduled_checks(&"web-2".parse().unwrap()).await;
    assert_eq!(elsewhere.unwrap(), []);
}

#[tokio::test]
async fn setting_it_again_replaces_it_and_keeps_its_history() {
    let catalog = TestCatalog::new().await;
    let agent = answering(counted(14));
    let (first, _) = set(&catalog, &agent, new_check(), "operator/alice")
        .await
        .unwrap();
    let mut changed = new_check();
    changed.limits.min = Some(20);
    let (second, replaced) = set(&catalog, &agent, changed, "operator/bob")
        .await
        .unwrap();
    assert!(replaced);
    assert_eq!(second.check.id, first.check.id);
    assert_eq!(second.last.unwrap().verdict, CheckVerdict::Suspicious);
    assert_eq!(
        catalog.check_runs(first.check.id, 10).await.unwrap().len(),
        2
    );
    let database = &first.check.database;
    assert!(catalog.remove_check(database, "users").await.unwrap());
    assert!(!catalog.remove_check(database, "users").await.unwrap());
    assert_eq!(catalog.check_runs(first.check.id, 10).await.unwrap(), []);
}

#[tokio::test]
async fn nonsense_is_refused_before_anybody_is_asked() {
    let catalog = TestCatalog::new().await;
    let spoils: [fn(&mut NewCheck); 7] = [
        |check| check.name = "a b".to_owned(),
        |check| check.count_sql = " ".to_owned(),
        |check| check.limits.max = Some(9),
        |check| check.limits.max_drop_percent = Some(101.0),
        |check| check.limits.max_age = Some(Duration::from_secs(1)),
        |check| check.every = Duration::from_secs(1),
        |check| check.timeout = Duration::ZERO,
    ];
    for spoil in spoils {
        let agent = answering(counted(14));
        let mut check = new_check();
        spoil(&mut check);
        let refused = set(&catalog, &agent, check, "operator/alice").await;
        assert!(matches!(refused, Err(SetError::Invalid(_))), "{refused:?}");
        assert!(agent.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_fall_is_a_finding_at_once_and_stays_one_until_it_is_made_good() {
    let catalog = TestCatalog::new().await;
    let agent = answering(counted(5000));
    let (state, _) = set(&catalog, &agent, new_check(), "operator/alice")
        .await
        .unwrap();
    let id = state.check.id;
    let open = || async { catalog.findings(false).await.unwrap() };
    assert_eq!(open().await, []);
    // Measured from the last good run: the second time, too.
    for _ in 0..2 {
        let run = record(&catalog, &host(), id, counted(4000))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(run.verdict, CheckVerdict::Suspicious);
        let found = open().await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, "check-suspicious");
        assert!(
            found[0].message.contains("from 5000 to 4000"),
            "{}",
            found[0].message
        );
    }
    let broken = CheckOutcome {
        count: None,
        error: "timeout".to_owned(),
        ..counted(0)
    };
    record(&catalog, &host(), id, broken).await.unwrap();
    let kinds: Vec<_> = open()
        .await
        .into_iter()
        .map(|finding| finding.kind)
        .collect();
    assert_eq!(kinds, ["check-could-not-run"]);
    record(&catalog, &host(), id, counted(4999)).await.unwrap();
    assert_eq!(open().await, []);
    assert_eq!(catalog.findings(true).await.unwrap().len(), 2);
}

#[tokio::test]
async fn hosts_report_only_on_their_own_checks() {
    let catalog = TestCatalog::new().await;
    let agent = answering(counted(14));
    let (state, _) = set(&catalog, &agent, new_check(), "operator/alice")
        .await
        .unwrap();
    let id = state.check.id;
    let other: HostName = "web-2".parse().unwrap();
    let refused = record(&catalog, &other, id, counted(14)).await;
    assert!(
        matches!(refused, Err(RecordError::NotTheirs { .. })),
        "{refused:?}"
    );
    let empty = CheckOutcome {
        count: None,
        ..counted(0)
    };
    let refused = record(&catalog, &host(), id, empty).await;
    assert!(matches!(refused, Err(RecordError::Empty(_))), "{refused:?}");
    // Removed meanwhile: no error, nothing stored.
    assert!(
        record(&catalog, &host(), id + 1, counted(1))
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(catalog.check_runs(id, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn old_history_goes_but_never_the_last_good_run() {
    let catalog = TestCatalog::new().await;
    let old = Utc::now() - TimeDelta::days(91);
    let agent = answering(outcome_at(old, 5000));
    let (state, _) = set(&catalog, &agent, new_check(), "operator/alice")
        .await
        .unwrap();
    let id = state.check.id;
    record(&catalog, &host(), id, outcome_at(old, 4000))
        .await
        .unwrap();
    record(&catalog, &host(), id, counted(4000)).await.unwrap();
    let history = Utc::now() - TimeDelta::days(90);
    assert_eq!(trim(&catalog, history).await.unwrap(), 1);
    let left: Vec<_> = catalog.check_runs(id, 10).await.unwrap();
    let counts: Vec<_> = left.iter().map(|run| run.outcome.count).collect();
    assert_eq!(counts, [Some(4000), Some(5000)]);
    let last_ok = catalog.last_ok_outcome(id).await.unwrap();
    assert_eq!(last_ok.unwrap().count, Some(5000));
}

#[tokio::test]
async fn the_run_that_opened_an_incident_counts_as_its_lowest() {
    let catalog = TestCatalog::new().await;
    let at = |seconds| Utc::now() - TimeDelta::hours(1) + TimeDelta::seconds(seconds);
    let agent = answering(outcome_at(at(0), 14));
    let (state, _) = set(&catalog, &agent, new_check(), "operator/alice")
        .await
        .unwrap();
    for (seconds, count) in [(60, 13), (120, 1), (180, 2), (240, 13)] {
        let outcome = outcome_at(at(seconds), count);
        let recorded = record(&catalog, &host(), state.check.id, outcome).await;
        recorded.unwrap();
    }
    // It was seen a second after the check had run.
    let counted = catalog.counted_around(at(121), at(300)).await.unwrap();
    let [counted] = counted.as_slice() else {
        panic!("{counted:?}");
    };
    assert_eq!(counted.database, "web-1/shop-db/shop");
    assert_eq!(
        (counted.before, counted.lowest, counted.last),
        (Some(13), Some(1), Some(13))
    );
}
