//! Waiting for one task: what to do next is a pure decision, doing it is thin.

use std::{sync::Arc, time::Duration};

use holdfast_proto::{
    link::{ControllerMessage, StartTask},
    names::HostName,
    task::{FailureKind, TaskFailure, TaskResult},
};
use tokio::{sync::watch, time::Instant};

use super::{
    ProgressSink,
    sessions::{Session, Sessions, Stage, Watched, is_outside_jobs},
};

type Outcome = Result<TaskResult, TaskFailure>;

/// What a waiter does next.
#[derive(Debug, PartialEq)]
enum Move {
    /// The agent's own outcome.
    Take(Outcome),
    /// It ends without one.
    GiveUp(TaskFailure),
    /// Say to the agent of this session: start, or join.
    Start,
    /// The host is not connected.
    AwaitHost,
    AwaitNews,
}

/// One wait for one task; leaving it tells the table.
struct Waiter<'a> {
    sessions: &'a Sessions,
    host: &'a HostName,
    task: &'a StartTask,
    watched: Watched,
    taken: bool,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let (id, now) = (&self.task.task_id, self.sessions.now());
        self.sessions.with_tasks(self.host, |tasks, session| {
            tasks.leave(id, &self.watched, self.taken, now);
            // Nobody can come back for a task of no job: it need not be kept, nor go on.
            match (is_outside_jobs(id), self.taken) {
                (true, true) => tasks.forget(id, session),
                (true, false) => {
                    tasks.cancel(id, self.task.epoch);
                    push_cancel(session, self.task);
                }
                (false, _) => {}
            }
        });
    }
}

/// Runs the task to its end; see [`super::Dispatch::run`].
pub(super) async fn run(
    sessions: &Sessions,
    host_patience: Duration,
    host: &HostName,
    task: &StartTask,
    progress: ProgressSink,
) -> Outcome {
    let entered = sessions.with_tasks(host, |tasks, _| tasks.enter(task, progress));
    let watched = entered.ok_or_else(|| superseded(task))?;
    let mut waiter = Waiter {
        sessions,
        host,
        task,
        watched,
        taken: false,
    };
    let outcome = wait(&mut waiter, host_patience).await;
    if let Move::Take(outcome) = outcome {
        waiter.taken = true;
        return outcome;
    }
    match outcome {
        Move::GiveUp(failure) => Err(failure),
        _ => Err(away(host, host_patience)),
    }
}

/// Until there is nothing more to wait for; `AwaitHost` when the patience is over.
async fn wait(waiter: &mut Waiter<'_>, patience: Duration) -> Move {
    let mut session_watch = waiter.sessions.watch_session(waiter.host);
    let mut told: Option<Arc<Session>> = None;
    let mut away_until: Option<Instant> = None;
    loop {
        let session = session_watch.borrow_and_update().clone();
        let stage = waiter.watched.stage.borrow_and_update().clone();
        let cancelled = waiter.watched.cancel.is_cancelled();
        let next = decide(
            waiter.host,
            waiter.task,
            &stage,
            session.as_ref(),
            told.as_ref(),
            cancelled,
        );
        match (next, session) {
            (Move::Start, Some(session)) => {
                start(&session, waiter.task, cancelled).await;
                told = Some(session);
                away_until = None;
            }
            (Move::AwaitHost, _) => {
                let deadline = *away_until.get_or_insert_with(|| Instant::now() + patience);
                if !news_before(waiter, &mut session_watch, cancelled, deadline).await {
                    abandon(waiter, told.is_some());
                    return Move::AwaitHost;
                }
            }
            (Move::AwaitNews, _) => {
                away_until = None;
                news(waiter, &mut session_watch, cancelled).await;
            }
            (end, _) => return end,
        }
    }
}

fn decide(
    host: &HostName,
    task: &StartTask,
    stage: &Stage,
    session: Option<&Arc<Session>>,
    told: Option<&Arc<Session>>,
    cancelled: bool,
) -> Move {
    let accepted_by = match stage {
        Stage::Ended(Err(failure)) if failure.kind == FailureKind::Cancelled && !cancelled => {
            return Move::Take(Err(stopped(host, task)));
        }
        Stage::Ended(outcome) => return Move::Take(outcome.clone()),
        Stage::Superseded => return Move::GiveUp(superseded(task)),
        Stage::Accepted { run_id } => Some(run_id.as_str()),
        Stage::Pending => None,
    };
    let Some(session) = session else {
        return if cancelled && told.is_none() {
            Move::GiveUp(ended_by_request(task))
        } else {
            Move::AwaitHost
        };
    };
    if told.is_some_and(|told| Arc::ptr_eq(told, session)) {
        return Move::AwaitNews;
    }
    let has_it = session.knew(&task.task_id);
    if cancelled && !has_it {
        return Move::GiveUp(ended_by_request(task));
    }
    if accepted_by.is_some_and(|run_id| run_id != session.run_id()) && !has_it {
        return Move::GiveUp(restarted(host, task));
    }
    Move::Start
}

async fn start(session: &Session, task: &StartTask, cancelled: bool) {
    // Fails only when the session is over, and then the next one is waited for.
    session
        .deliver(ControllerMessage::StartTask(task.clone()))
        .await;
    if cancelled {
        push_cancel(Some(session), task);
    }
}

async fn news(
    waiter: &mut Waiter<'_>,
    session_watch: &mut watch::Receiver<Option<Arc<Session>>>,
    cancelled: bool,
) {
    // The senders live in the table as long as this waiter is in it.
    tokio::select! {
        _ = waiter.watched.stage.changed() => {}
        _ = session_watch.changed() => {}
        () = waiter.watched.cancel.cancelled(), if !cancelled => {}
    }
}

async fn news_before(
    waiter: &mut Waiter<'_>,
    session_watch: &mut watch::Receiver<Option<Arc<Session>>>,
    cancelled: bool,
    deadline: Instant,
) -> bool {
    let news = news(waiter, session_watch, cancelled);
    tokio::time::timeout_at(deadline, news).await.is_ok()
}

/// It may still run on a host that is away: it shall end when the host is back.
fn abandon(waiter: &Waiter<'_>, told: bool) {
    if told {
        waiter.sessions.with_tasks(waiter.host, |tasks, _| {
            tasks.owe_cancel(&waiter.task.task_id, waiter.task.epoch);
        });
    }
}

fn push_cancel(session: Option<&Session>, task: &StartTask) {
    if let Some(session) = session {
        session.push(ControllerMessage::CancelTask {
            task_id: task.task_id.clone(),
            epoch: task.epoch,
        });
    }
}

fn superseded(task: &StartTask) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Refused,
        message: format!(
            "task {} was taken over with a newer epoch than {}",
            task.task_id, task.epoch
        ),
        advice: String::new(),
        retryable: false,
    }
}

fn ended_by_request(task: &StartTask) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Cancelled,
        message: format!("task {} was cancelled", task.task_id),
        advice: String::new(),
        retryable: false,
    }
}

fn restarted(host: &HostName, task: &StartTask) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Unavailable,
        message: format!(
            "the agent on {host} was restarted while it ran task {}",
            task.task_id
        ),
        advice: format!("`journalctl -u holdfast-agent` on {host} says why"),
        retryable: true,
    }
}

/// Nobody here wanted its end: the agent ends its tasks when it is shut down itself.
fn stopped(host: &HostName, task: &StartTask) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Unavailable,
        message: format!(
            "the agent on {host} was shut down while it ran task {}",
            task.task_id
        ),
        advice: format!("start holdfast-agent on {host} again"),
        retryable: true,
    }
}

fn away(host: &HostName, patience: Duration) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Unavailable,
        message: format!(
            "host {host} has not been connected for {}",
            humantime::format_duration(patience)
        ),
        advice: format!("check that holdfast-agent runs on {host} and reaches the controller"),
        retryable: true,
    }
}
