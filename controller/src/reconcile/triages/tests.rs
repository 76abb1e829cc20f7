//! When somebody looks, what counts as sure, and what is never looked at.

use async_trait::async_trait;
use holdfast_chassis::clock::ManualClock;
use holdfast_proto::{
    fleet::Engine,
    link::StartTask,
    names::HostName,
    task::{DataEvidence, FailureKind, TaskFailure, TriagedData},
};

use super::*;
use crate::{
    data_store::{advance, observe},
    detect::tests::facts,
    dispatch::ProgressSink,
};

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn found(verdict: DataVerdict, code: &str) -> DataTriage {
    DataTriage {
        path: "/volumes/shop_data".to_owned(),
        engine: Engine::Postgres,
        version: "17".to_owned(),
        system_identifier: "7".to_owned(),
        running: false,
        verdict,
        evidence: vec![DataEvidence {
            code: code.to_owned(),
            verdict,
            what: format!("{code} was seen"),
        }],
        runbook: String::new(),
        next: String::new(),
    }
}

/// Answers every look with the next of its script; then it cannot tell.
#[derive(Debug)]
struct Scripted(Mutex<Vec<DataTriage>>);

#[async_trait]
impl Dispatch for Scripted {
    async fn run(
        &self,
        _: &HostName,
        task: StartTask,
        _: ProgressSink,
    ) -> Result<TaskResult, TaskFailure> {
        let TaskSpec::TriageData(spec) = task.spec else {
            panic!("{task:?}");
        };
        assert_eq!(
            (&*spec.instance, &*spec.shown),
            ("shop-db", "web-1/shop-db")
        );
        let mut answers = self.0.lock().unwrap();
        if answers.is_empty() {
            return Err(TaskFailure {
                kind: FailureKind::Unavailable,
                message: "the agent is away".to_owned(),
                advice: String::new(),
                retryable: true,
            });
        }
        let directories = vec![answers.remove(0)];
        Ok(TaskResult::TriagedData(TriagedData { directories }))
    }

    async fn cancel(&self, _: &HostName, _: &str, _: u64) {}

    async fn forget(&self, _: &HostName, _: &str) {}
}

/// The healthy host, with its server down.
fn down_hosts() -> Vec<HostFacts> {
    let mut hosts = facts().hosts;
    let instance = &mut hosts[0].instances[0];
    instance.health = None;
    instance.down_reason = "no answer".to_owned();
    hosts[0].containers[0].state = ContainerState::Exited;
    hosts
}

fn triages(script: &[DataTriage]) -> (Triages, ManualClock) {
    let clock = ManualClock::at(now());
    let dispatch = Arc::new(Scripted(Mutex::new(script.to_vec())));
    let triages = Triages::new(dispatch, Fleet::default(), clock.shared());
    (triages, clock)
}

/// Asks, and waits until the answer is there.
async fn kept_up(triages: &Triages, hosts: &[HostFacts]) -> Vec<Triaged> {
    let mut rung = triages.fleet.changes();
    let before = triages.keep_up(hosts, &[], &BTreeSet::new());
    if !triages.lock().values().any(|look| look.is_under_way) {
        return before;
    }
    rung.changed().await.unwrap();
    triages.keep_up(hosts, &[], &BTreeSet::new())
}

#[tokio::test(start_paused = true)]
async fn what_looks_damaged_is_looked_at_twice_before_anybody_is_told() {
    let lost = found(DataVerdict::DataLost, "control-file-missing");
    let (looked, _) = triages(&[lost.clone(), lost.clone()]);
    let told = kept_up(&looked, &down_hosts()).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].found, lost);

    // A moment in the middle of something.
    let (looked, clock) = triages(&[
        lost.clone(),
        found(DataVerdict::NeedsRecovery, "not-stopped-in-order"),
    ]);
    let told = kept_up(&looked, &down_hosts()).await;
    assert_eq!(told[0].found.verdict, DataVerdict::NeedsRecovery);
    clock.advance(Duration::from_mins(10));
    assert_eq!(kept_up(&looked, &down_hosts()).await, told, "it stays well");

    // Something else each time is not sure yet.
    let (looked, _) = triages(&[lost, found(DataVerdict::DataLost, "folder-missing")]);
    assert_eq!(kept_up(&looked, &down_hosts()).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_again_is_forgotten_and_one_that_cannot_be_seen_is_not() {
    let lost = found(DataVerdict::DataLost, "control-file-missing");
    let (looked, clock) = triages(&[lost.clone(), lost]);
    let told = kept_up(&looked, &down_hosts()).await;
    assert_eq!(told.len(), 1);
    // Nor is what was certain when its agent cannot tell.
    clock.advance(Duration::from_mins(10));
    assert_eq!(kept_up(&looked, &down_hosts()).await, told);
    let mut away = down_hosts();
    away[0].connected = false;
    assert_eq!(kept_up(&looked, &away).await, told);
    assert_eq!(kept_up(&looked, &facts().hosts).await, []);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_could_not_tell_is_asked_again_later() {
    let (looked, clock) = triages(&[]);
    assert_eq!(kept_up(&looked, &down_hosts()).await, []);
    let asked = |looked: &Triages| looked.lock().values().next().unwrap().asked_at;
    assert_eq!(asked(&looked), now());
    clock.advance(Duration::from_secs(119));
    let _ = kept_up(&looked, &down_hosts()).await;
    assert_eq!(asked(&looked), now());
    clock.advance(Duration::from_secs(1));
    let _ = kept_up(&looked, &down_hosts()).await;
    assert_eq!(asked(&looked), now() + TimeDelta::seconds(120));
}

fn known() -> Known {
    let observed = observe(&facts().hosts, &[]).remove(0);
    advance(None, &observed, now()).unwrap().known
}

#[test]
fn what_is_being_set_up_or_worked_on_is_not_looked_at() {
    let hosts = down_hosts();
    let mut container = hosts[0].containers[0].clone();
    let mut may = |state, age: i64, known: Option<&Known>| {
        container.state = state;
        container.started_at = Some(now() - TimeDelta::seconds(age));
        may_be_looked_at(Some(&container), known, now())
    };
    assert!(may(ContainerState::Exited, 1, None));
    assert!(!may(ContainerState::Created, 100, Some(&known())));
    assert!(!may(ContainerState::Running, 29, None), "its first start");
    assert!(may(ContainerState::Running, 30, None));
    assert!(
        may(ContainerState::Running, 1, Some(&known())),
        "it had data"
    );
    let mut swapped = known();
    swapped.swapped = advance(Some(&known()), &on_another_volume(), now())
        .unwrap()
        .known
        .swapped;
    assert!(!may(ContainerState::Running, 1, Some(&swapped)), "new data");

    let name: InstanceName = "web-1/shop-db".parse().unwrap();
    let held = |resource: &str| is_held(&name, Some(&known()), &[resource.to_owned()].into());
    assert!(held("instance:web-1/shop-db") && held("volume:web-1/shop_data"));
    assert!(!held("instance:web-1/shop-db2") && !held("volume:web-2/shop_data"));
}

fn on_another_volume() -> crate::data_store::Observed {
    let mut one = observe(&facts().hosts, &[]).remove(0);
    one.store.system_identifier = "8".to_owned();
    one
}

#[test]
fn one_that_restarts_all_the_time_is_looked_at_now_and_then() {
    let look = Look {
        asked_at: now(),
        started_at: Some(now()),
        looks: 1,
        is_under_way: false,
        certain: Some(found(DataVerdict::Sound, "control-file")),
        doubtful: None,
    };
    let due = |looks: u32, started: i64, seconds: i64| {
        let look = Look {
            looks,
            ..look.clone()
        };
        let (started, now) = (
            now() + TimeDelta::seconds(started),
            now() + TimeDelta::seconds(seconds),
        );
        is_due(Some(&look), Some(started), now)
    };
    assert!(!due(1, 0, 600) && !due(1, 1, 1) && due(1, 1, 2));
    assert!(!due(3, 1, 7) && due(3, 1, 8));
    assert!(!due(99, 1, 119) && due(99, 1, 120));
    assert!(due(1, 0, WELL_FOR.num_seconds()));
    let under_way = Look {
        is_under_way: true,
        ..look.clone()
    };
    assert!(!is_due(Some(&under_way), None, now() + TimeDelta::days(1)));
}
