//! The session table against agents played by the tests: a channel each.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::clock::Clock;
use holdfast_proto::{
    link::{Hello, TaskState},
    task::{FailureKind, MeasureVolume, MeasuredVolume, TaskEvent, TaskPhase, TaskSpec},
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    sessions::{EndReason, Lists, Session},
    *,
};

/// Longer than any test.
const PATIENCE: Duration = Duration::from_secs(300);
const IMPATIENCE: Duration = Duration::from_millis(50);
const TASK: &str = "7/transfer.send/do/1";

#[derive(Debug)]
struct TestClock(Mutex<DateTime<Utc>>);

impl TestClock {
    fn advance(&self, by: TimeDelta) {
        let mut now = self.0.lock().unwrap();
        *now += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

struct Table {
    sessions: Sessions,
    dispatch: SessionDispatch,
    clock: Arc<TestClock>,
}

struct Agent {
    session: Arc<Session>,
    inbox: mpsc::Receiver<ControllerMessage>,
}

type Outcome = Result<TaskResult, TaskFailure>;

impl Table {
    fn new() -> Self {
        Self::waiting_for(PATIENCE)
    }

    fn waiting_for(host_patience: Duration) -> Self {
        let clock = Arc::new(TestClock(Mutex::new(DateTime::UNIX_EPOCH)));
        let sessions = Sessions::new(clock.clone());
        Self {
            dispatch: SessionDispatch::new(sessions.clone(), host_patience),
            sessions,
            clock,
        }
    }

    fn connect(&self, run_id: &str, tasks: &[(&str, u64)]) -> Agent {
        let hello = Hello {
            host: host().to_string(),
            agent_version: "0.1.0".to_owned(),
            run_id: run_id.to_owned(),
            started_at: DateTime::UNIX_EPOCH,
            peer_addresses: Vec::new(),
            operating_system: String::new(),
            kernel: String::new(),
            cpus: 2,
            memory_bytes: 0,
            tasks: tasks
                .iter()
                .map(|(id, epoch)| TaskState {
                    task_id: (*id).to_owned(),
                    epoch: *epoch,
                })
                .collect(),
        };
        let (outbox, inbox) = mpsc::channel(8);
        Agent {
            session: self
                .sessions
                .attach(&host(), &hello, outbox, Lists::default(), || {}),
            inbox,
        }
    }

    fn run(&self, task_id: &str, epoch: u64) -> JoinHandle<Outcome> {
        let dispatch = self.dispatch.clone();
        let task = task(task_id, epoch);
        tokio::spawn(async move { dispatch.run(&host(), task, Arc::new(|_| {})).await })
    }

    fn tell(&self, agent: &Agent, epoch: u64, event: TaskEvent) {
        self.sessions.event(&agent.session, TASK, epoch, event);
    }
}

impl Agent {
    async fn hears(&mut self) -> ControllerMessage {
        let next = tokio::time::timeout(Duration::from_secs(5), self.inbox.recv());
        next.await.expect("heard nothing").expect("session over")
    }

    async fn is_told_to_start(&mut self, epoch: u64) {
        match self.hears().await {
            ControllerMessage::StartTask(start) => {
                assert_eq!((start.task_id.as_str(), start.epoch), (TASK, epoch));
            }
            other => panic!("expected StartTask, got {other:?}"),
        }
    }

    async fn is_told_to_forget(&mut self) {
        let task_id = TASK.to_owned();
        assert_eq!(
            self.hears().await,
            ControllerMessage::ForgetTask { task_id }
        );
    }

    fn hears_nothing(&mut self) {
        assert!(self.inbox.try_recv().is_err());
    }
}

fn host() -> HostName {
    "web-1".parse().unwrap()
}

fn task(task_id: &str, epoch: u64) -> StartTask {
    StartTask {
        task_id: task_id.to_owned(),
        job: 7,
        epoch,
        spec: TaskSpec::MeasureVolume(MeasureVolume {
            volume: "data".to_owned(),
        }),
        traceparent: String::new(),
    }
}

fn done(bytes: u64) -> Outcome {
    Ok(TaskResult::MeasuredVolume(MeasuredVolume {
        bytes,
        files: 1,
    }))
}

fn refused() -> Outcome {
    Err(TaskFailure {
        kind: FailureKind::Refused,
        message: "an older epoch".to_owned(),
        advice: String::new(),
        retryable: false,
    })
}

fn kind(outcome: Outcome) -> (FailureKind, bool) {
    let failure = outcome.unwrap_err();
    (failure.kind, failure.retryable)
}

const ACCEPTED: TaskEvent = TaskEvent::Accepted { joined: false };

#[tokio::test]
async fn a_task_runs_reports_and_is_forgotten_when_its_outcome_is_stored() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let (seen, mut progress) = mpsc::unbounded_channel();
    let dispatch = table.dispatch.clone();
    let run = tokio::spawn(async move {
        let sink: ProgressSink = Arc::new(move |p: TaskProgress| {
            seen.send(p.bytes_done).unwrap();
        });
        dispatch.run(&host(), task(TASK, 1), sink).await
    });
    agent.is_told_to_start(1).await;
    table.tell(&agent, 1, ACCEPTED);
    let at = TaskProgress {
        phase: TaskPhase::Data,
        bytes_done: 42,
        bytes_total: 100,
        rows_done: 1,
        items_done: 0,
        items_total: 1,
        current: String::new(),
        verified_rows: 0,
        path: None,
    };
    table.tell(&agent, 1, TaskEvent::Progress(at));
    assert_eq!(progress.recv().await, Some(42));
    agent.hears_nothing();
    table.tell(&agent, 1, TaskEvent::Ended(done(5)));
    assert_eq!(run.await.unwrap(), done(5));
    agent.hears_nothing();
    table.dispatch.forget(&host(), TASK).await;
    agent.is_told_to_forget().await;
}

#[tokio::test]
async fn a_host_that_is_not_connected_is_waited_for() {
    let table = Table::new();
    let run = table.run(TASK, 1);
    tokio::task::yield_now().await;
    assert!(!run.is_finished());
    let mut agent = table.connect("run-a", &[]);
    agent.is_told_to_start(1).await;
    table.tell(&agent, 1, TaskEvent::Ended(done(1)));
    assert_eq!(run.await.unwrap(), done(1));
}

#[tokio::test]
async fn a_host_that_stays_away_ends_the_task_after_the_patience() {
    let table = Table::waiting_for(IMPATIENCE);
    let began = tokio::time::Instant::now();
    let outcome = table.run(TASK, 1).await.unwrap();
    assert!(began.elapsed() >= IMPATIENCE);
    let failure = outcome.clone().unwrap_err();
    assert_eq!(
        failure.message,
        "host web-1 has not been connected for 50ms"
    );
    assert_eq!(kind(outcome), (FailureKind::Unavailable, true));
}

#[tokio::test]
async fn after_a_lost_connection_the_same_process_is_asked_again_and_joins() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let run = table.run(TASK, 1);
    agent.is_told_to_start(1).await;
    table.tell(&agent, 1, ACCEPTED);
    assert!(table.sessions.detach(&agent.session, || {}));
    let mut again = table.connect("run-a", &[(TASK, 1)]);
    again.is_told_to_start(1).await;
    table.tell(&again, 1, TaskEvent::Accepted { joined: true });
    table.tell(&again, 1, TaskEvent::Ended(done(9)));
    assert_eq!(run.await.unwrap(), done(9));
}

#[tokio::test]
async fn a_task_dies_with_the_process_that_had_accepted_it() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let run = table.run(TASK, 1);
    agent.is_told_to_start(1).await;
    table.tell(&agent, 1, ACCEPTED);
    table.sessions.detach(&agent.session, || {});
    let mut other = table.connect("run-b", &[]);
    let outcome = run.await.unwrap();
    assert!(
        outcome
            .as_ref()
            .unwrap_err()
            .message
            .contains("the agent on web-1 was restarted")
    );
    assert_eq!(kind(outcome), (FailureKind::Unavailable, true));
    other.hears_nothing();
}

#[tokio::test]
async fn a_task_that_no_process_had_accepted_is_started_in_the_new_one() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let run = table.run(TASK, 1);
    agent.is_told_to_start(1).await;
    table.sessions.detach(&agent.session, || {});
    let mut other = table.connect("run-b", &[]);
    other.is_told_to_start(1).await;
    table.tell(&other, 1, TaskEvent::Ended(done(2)));
    assert_eq!(run.await.unwrap(), done(2));
}

#[tokio::test]
async fn a_newer_session_ends_the_older_and_gets_the_tasks() {
    let table = Table::new();
    let mut older = table.connect("run-a", &[]);
    let run = table.run(TASK, 1);
    older.is_told_to_start(1).await;
    table.tell(&older, 1, ACCEPTED);
    let mut newer = table.connect("run-a", &[(TASK, 1)]);
    assert_eq!(older.session.ended().await, EndReason::Replaced);
    newer.is_told_to_start(1).await;
    // The older one's end must not make the host look gone.
    assert!(!table.sessions.detach(&older.session, || {}));
    assert!(table.sessions.current(&host()).is_some());
    table.tell(&newer, 1, TaskEvent::Ended(done(3)));
    assert_eq!(run.await.unwrap(), done(3));
}

#[tokio::test]
async fn an_outcome_that_nobody_waited_for_is_kept_until_asked() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[(TASK, 1)]);
    table.tell(&agent, 1, TaskEvent::Ended(done(4)));
    assert_eq!(table.sessions.orphans(&host()), 1);
    agent.hears_nothing();
    assert_eq!(table.run(TASK, 2).await.unwrap(), done(4));
    assert_eq!(table.sessions.orphans(&host()), 0);
    agent.hears_nothing();
}

#[tokio::test]
async fn an_outcome_that_was_taken_and_not_stored_is_asked_for_again() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    for epoch in [1, 2] {
        let run = table.run(TASK, epoch);
        agent.is_told_to_start(epoch).await;
        table.tell(&agent, epoch, TaskEvent::Ended(done(5)));
        assert_eq!(run.await.unwrap(), done(5));
    }
}

#[tokio::test]
async fn an_outcome_that_nobody_asks_for_is_forgotten_in_time() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[(TASK, 1)]);
    table.tell(&agent, 1, TaskEvent::Ended(done(4)));
    table.clock.advance(TimeDelta::minutes(59));
    table.sessions.forget_stale();
    agent.hears_nothing();
    table.clock.advance(TimeDelta::minutes(2));
    table.sessions.forget_stale();
    agent.is_told_to_forget().await;
    assert_eq!(table.sessions.orphans(&host()), 0);
}

#[tokio::test]
async fn an_outcome_that_comes_while_its_waiter_is_gone_is_kept_for_the_next() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let run = table.run(TASK, 1);
    agent.is_told_to_start(1).await;
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    table.tell(&agent, 1, TaskEvent::Ended(done(6)));
    assert_eq!(table.run(TASK, 2).await.unwrap(), done(6));
}

#[tokio::test]
async fn a_missed_forget_is_said_again_to_the_next_session() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let run = table.run(TASK, 1);
    agent.is_told_to_start(1).await;
    table.tell(&agent, 1, TaskEvent::Ended(done(1)));
    table.sessions.detach(&agent.session, || {});
    run.await.unwrap().unwrap();
    table.dispatch.forget(&host(), TASK).await;
    let mut again = table.connect("run-a", &[(TASK, 1)]);
    again.is_told_to_forget().await;
    // Settled: a hello that no longer names it ends the matter.
    let mut third = table.connect("run-a", &[]);
    third.hears_nothing();
}

#[tokio::test]
async fn cancel_reaches_the_agent_and_the_run_ends_with_its_answer() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let run = table.run(TASK, 3);
    agent.is_told_to_start(3).await;
    table.tell(&agent, 3, ACCEPTED);
    table.dispatch.cancel(&host(), TASK, 3).await;
    let cancel = ControllerMessage::CancelTask {
        task_id: TASK.to_owned(),
        epoch: 3,
    };
    assert_eq!(agent.hears().await, cancel);
    let cancelled = Err(TaskFailure {
        kind: FailureKind::Cancelled,
        message: "cancelled".to_owned(),
        advice: String::new(),
        retryable: false,
    });
    table.tell(&agent, 3, TaskEvent::Ended(cancelled));
    assert_eq!(kind(run.await.unwrap()), (FailureKind::Cancelled, false));
}

#[tokio::test]
async fn an_agent_that_is_shut_down_has_not_cancelled_the_job() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let run = table.run(TASK, 1);
    agent.is_told_to_start(1).await;
    let cancelled = Err(TaskFailure {
        kind: FailureKind::Cancelled,
        message: "cancelled".to_owned(),
        advice: String::new(),
        retryable: false,
    });
    table.tell(&agent, 1, TaskEvent::Ended(cancelled));
    assert_eq!(kind(run.await.unwrap()), (FailureKind::Unavailable, true));
}

#[tokio::test]
async fn what_an_agent_names_and_nobody_asks_for_is_forgotten_in_time() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[(TASK, 1)]);
    assert_eq!(table.sessions.orphans(&host()), 1);
    table.clock.advance(TimeDelta::minutes(61));
    table.sessions.forget_stale();
    agent.is_told_to_forget().await;
    assert_eq!(table.sessions.orphans(&host()), 0);
}

#[tokio::test]
async fn a_task_of_no_job_that_outlived_its_controller_is_ended_and_forgotten() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[("0/measure-1/do/1", 0)]);
    assert!(matches!(
        agent.hears().await,
        ControllerMessage::CancelTask { .. }
    ));
    assert!(matches!(
        agent.hears().await,
        ControllerMessage::ForgetTask { .. }
    ));
}

#[tokio::test]
async fn cancel_of_a_task_that_was_never_sent_ends_it_at_once() {
    let table = Table::new();
    let run = table.run(TASK, 1);
    tokio::task::yield_now().await;
    table.dispatch.cancel(&host(), TASK, 1).await;
    assert_eq!(kind(run.await.unwrap()), (FailureKind::Cancelled, false));
}

#[tokio::test]
async fn cancel_while_the_host_is_away_reaches_it_when_it_is_back() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let run = table.run(TASK, 1);
    agent.is_told_to_start(1).await;
    table.tell(&agent, 1, ACCEPTED);
    table.sessions.detach(&agent.session, || {});
    table.dispatch.cancel(&host(), TASK, 1).await;
    let mut again = table.connect("run-a", &[(TASK, 1)]);
    let cancel = ControllerMessage::CancelTask {
        task_id: TASK.to_owned(),
        epoch: 1,
    };
    assert_eq!(again.hears().await, cancel);
    again.is_told_to_start(1).await;
    assert_eq!(again.hears().await, cancel);
    table.tell(&again, 1, TaskEvent::Ended(done(1)));
    // It had ended before the request came: what happened is what is told.
    assert_eq!(run.await.unwrap(), done(1));
}

#[tokio::test]
async fn what_was_given_up_because_its_host_was_away_is_ended_when_the_host_is_back() {
    let table = Table::waiting_for(IMPATIENCE);
    let mut agent = table.connect("run-a", &[]);
    let run = table.run(TASK, 1);
    agent.is_told_to_start(1).await;
    table.tell(&agent, 1, ACCEPTED);
    table.sessions.detach(&agent.session, || {});
    assert_eq!(kind(run.await.unwrap()), (FailureKind::Unavailable, true));
    let mut again = table.connect("run-a", &[(TASK, 1)]);
    assert!(matches!(
        again.hears().await,
        ControllerMessage::CancelTask { .. }
    ));
}

#[tokio::test]
async fn a_newer_epoch_takes_the_task_over() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let older = table.run(TASK, 1);
    agent.is_told_to_start(1).await;
    let newer = table.run(TASK, 2);
    agent.is_told_to_start(2).await;
    assert_eq!(kind(older.await.unwrap()), (FailureKind::Refused, false));
    // The fence's answer to the older request is not the newer one's outcome …
    table.tell(&agent, 1, TaskEvent::Ended(refused()));
    // … and an older request is not even sent.
    let late = table.run(TASK, 1).await.unwrap();
    assert_eq!(kind(late), (FailureKind::Refused, false));
    table.tell(&agent, 2, TaskEvent::Ended(done(8)));
    assert_eq!(newer.await.unwrap(), done(8));
}

#[tokio::test]
async fn a_task_of_no_job_ends_with_whoever_wanted_it() {
    let table = Table::new();
    let mut agent = table.connect("run-a", &[]);
    let run = table.run("0/measure-1/do/1", 0);
    assert!(matches!(
        agent.hears().await,
        ControllerMessage::StartTask(_)
    ));
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    assert!(matches!(
        agent.hears().await,
        ControllerMessage::CancelTask { .. }
    ));
    // Its outcome is of no use to anybody.
    let ended = TaskEvent::Ended(done(1));
    table
        .sessions
        .event(&agent.session, "0/measure-1/do/1", 0, ended);
    assert!(matches!(
        agent.hears().await,
        ControllerMessage::ForgetTask { .. }
    ));
}

#[tokio::test]
async fn a_slow_agent_loses_its_session_instead_of_growing_the_queue() {
    let table = Table::new();
    let agent = table.connect("run-a", &[]);
    for sequence in 0..9 {
        agent
            .session
            .push(ControllerMessage::HeartbeatAck { sequence });
    }
    assert_eq!(agent.session.ended().await, EndReason::Slow);
}
