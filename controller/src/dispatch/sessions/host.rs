//! The tasks of one host: those waited for, outcomes nobody took yet, and what the agent is owed.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    link::{ControllerMessage, StartTask},
    task::{FailureKind, TaskFailure, TaskResult},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Session, forget};
use crate::dispatch::ProgressSink;

/// More outcomes are not kept in memory: the agent tells one again when it is asked to join the task.
const MOST_ORPHANS: usize = 64;
/// More tasks of one agent are not noted; those that are left out are kept by the agent until it is restarted.
const MOST_NAMED: usize = 4096;
/// More is not remembered: an agent that misses a `ForgetTask` keeps one outcome for an hour longer.
const MOST_OWED: usize = 1024;

pub type Outcome = Result<TaskResult, TaskFailure>;

/// Where a task stands, as its waiters see it.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// No agent has said yet that it has it.
    Pending,
    /// By the agent process of this run id.
    Accepted {
        run_id: String,
    },
    Ended(Outcome),
    /// Somebody asked for the same task with a higher epoch.
    Superseded,
}

/// A waiter's view of its task.
#[derive(Debug)]
pub struct Watched {
    pub stage: watch::Receiver<Stage>,
    pub cancel: CancellationToken,
    ticket: u64,
}

struct Awaited {
    epoch: u64,
    stage: watch::Sender<Stage>,
    cancel: CancellationToken,
    sinks: Vec<(u64, ProgressSink)>,
}

/// A task of the agent that nobody waits for.
struct Orphan {
    /// Unset while it runs, or when the agent only named it: joining it tells the outcome again.
    outcome: Option<Outcome>,
    since: DateTime<Utc>,
}

#[derive(Default)]
pub struct HostTasks {
    awaited: HashMap<String, Awaited>,
    orphans: HashMap<String, Orphan>,
    /// Outcomes that are stored for good: said to the agent until its hello no longer names them.
    forgotten: VecDeque<String>,
    /// Tasks that must end: likewise.
    cancelled: VecDeque<(String, u64)>,
    next_ticket: u64,
}

impl std::fmt::Debug for HostTasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostTasks")
            .field("awaited", &self.awaited.keys())
            .field("orphans", &self.orphans.keys())
            .finish_non_exhaustive()
    }
}

impl HostTasks {
    /// Begins to wait for a task. `None` when somebody waits for it with a higher epoch.
    pub fn enter(&mut self, task: &StartTask, progress: ProgressSink) -> Option<Watched> {
        let id = &task.task_id;
        self.forgotten.retain(|known| known != id);
        self.cancelled.retain(|(known, _)| known != id);
        if let Some(other) = self.awaited.get(id) {
            if other.epoch > task.epoch {
                return None;
            }
            if other.epoch < task.epoch {
                other.stage.send_replace(Stage::Superseded);
                self.awaited.remove(id);
            }
        }
        let kept = self.orphans.remove(id);
        let awaited = self.awaited.entry(id.clone()).or_insert_with(|| Awaited {
            epoch: task.epoch,
            stage: watch::Sender::new(
                kept.and_then(|orphan| orphan.outcome)
                    .map_or(Stage::Pending, Stage::Ended),
            ),
            cancel: CancellationToken::new(),
            sinks: Vec::new(),
        });
        self.next_ticket += 1;
        awaited.sinks.push((self.next_ticket, progress));
        Some(Watched {
            stage: awaited.stage.subscribe(),
            cancel: awaited.cancel.clone(),
            ticket: self.next_ticket,
        })
    }

    /// Stops waiting. An outcome that came and was not taken is kept.
    pub fn leave(&mut self, task_id: &str, watched: &Watched, taken: bool, now: DateTime<Utc>) {
        let Some(awaited) = self.awaited.get_mut(task_id) else {
            return;
        };
        awaited
            .sinks
            .retain(|(ticket, _)| *ticket != watched.ticket);
        let is_last = awaited.sinks.is_empty();
        if !is_last {
            return;
        }
        let Some(awaited) = self.awaited.remove(task_id) else {
            return;
        };
        if let (false, Stage::Ended(outcome)) = (taken, awaited.stage.borrow().clone()) {
            self.keep(task_id, outcome, now);
        }
    }

    pub fn sinks(&self, task_id: &str) -> Vec<ProgressSink> {
        let awaited = self.awaited.get(task_id);
        awaited.map_or_else(Vec::new, |awaited| {
            awaited.sinks.iter().map(|(_, sink)| sink.clone()).collect()
        })
    }

    pub fn accepted(&mut self, task_id: &str, epoch: u64, run_id: &str) {
        let Some(awaited) = self.awaited.get(task_id) else {
            return;
        };
        if epoch > awaited.epoch {
            return;
        }
        awaited.stage.send_if_modified(|stage| {
            let open = matches!(stage, Stage::Pending | Stage::Accepted { .. });
            if open {
                *stage = Stage::Accepted {
                    run_id: run_id.to_owned(),
                };
            }
            open
        });
    }

    /// The task ended. True: nobody will ask for the outcome, the agent may forget it now.
    pub fn ended(
        &mut self,
        task_id: &str,
        epoch: u64,
        outcome: Outcome,
        now: DateTime<Utc>,
    ) -> bool {
        self.cancelled.retain(|(known, _)| known != task_id);
        if let Some(awaited) = self.awaited.get(task_id) {
            // The fence's answer to an older request says nothing about this one.
            if !(epoch < awaited.epoch && is_refusal(&outcome)) {
                awaited.stage.send_if_modified(|stage| {
                    let open = matches!(stage, Stage::Pending | Stage::Accepted { .. });
                    if open {
                        *stage = Stage::Ended(outcome);
                    }
                    open
                });
            }
            return false;
        }
        if self.forgotten.iter().any(|known| known == task_id) || is_outside_jobs(task_id) {
            return true;
        }
        self.keep(task_id, outcome, now);
        false
    }

    /// Marks the task as to be ended, for its waiters and for the agent whenever it is there.
    pub fn cancel(&mut self, task_id: &str, epoch: u64) {
        if let Some(awaited) = self.awaited.get(task_id) {
            awaited.cancel.cancel();
        }
        self.owe_cancel(task_id, epoch);
    }

    pub fn owe_cancel(&mut self, task_id: &str, epoch: u64) {
        if !self.cancelled.iter().any(|(known, _)| known == task_id) {
            self.cancelled.push_back((task_id.to_owned(), epoch));
            if self.cancelled.len() > MOST_OWED {
                self.cancelled.pop_front();
            }
        }
    }

    /// What a new session's agent did not hear yet; what its hello does not name is settled.
    pub fn owed_to(&mut self, session: &Session, now: DateTime<Utc>) -> Vec<ControllerMessage> {
        self.forgotten.retain(|id| session.knew(id));
        self.cancelled.retain(|(id, _)| session.knew(id));
        self.note_named(session, now);
        let cancels = self
            .cancelled
            .iter()
            .map(|(id, epoch)| ControllerMessage::CancelTask {
                task_id: id.clone(),
                epoch: *epoch,
            });
        let forgets = self.forgotten.iter().map(|id| forget(id));
        cancels.chain(forgets).collect()
    }

    /// Nobody needs the outcome any more: neither this table nor the agent keeps it.
    pub fn forget(&mut self, task_id: &str, session: Option<&Session>) {
        self.orphans.remove(task_id);
        self.owe_forget(task_id);
        if let Some(session) = session {
            session.push(forget(task_id));
        }
    }

    /// Notes the tasks that the agent has and nobody waits for. Those of no job nobody will ever ask for.
    fn note_named(&mut self, session: &Session, now: DateTime<Utc>) {
        self.orphans
            .retain(|id, orphan| orphan.outcome.is_some() || session.knew(id));
        for (id, epoch) in session.tasks.iter().take(MOST_NAMED) {
            let is_settled = self.forgotten.contains(id) || self.awaited.contains_key(id);
            if is_outside_jobs(id) && !is_settled {
                self.owe_cancel(id, *epoch);
                self.owe_forget(id);
            } else if !is_settled {
                let named = Orphan {
                    outcome: None,
                    since: now,
                };
                self.orphans.entry(id.clone()).or_insert(named);
            }
        }
    }

    /// Lets go of outcomes kept since before then.
    pub fn forget_orphans(&mut self, before: DateTime<Utc>, session: Option<&Session>) {
        let stale = self.orphans.iter().filter(|(_, o)| o.since < before);
        let stale: Vec<_> = stale.map(|(id, _)| id.clone()).collect();
        for id in stale {
            self.forget(&id, session);
        }
    }

    pub fn orphans(&self) -> usize {
        self.orphans.len()
    }

    fn keep(&mut self, task_id: &str, outcome: Outcome, now: DateTime<Utc>) {
        let kept = self.orphans.values_mut().filter(|o| o.outcome.is_some());
        let kept: Vec<_> = kept.collect();
        if kept.len() >= MOST_ORPHANS
            && let Some(oldest) = kept.into_iter().min_by_key(|o| o.since)
        {
            oldest.outcome = None;
        }
        let orphan = Orphan {
            outcome: Some(outcome),
            since: now,
        };
        self.orphans.insert(task_id.to_owned(), orphan);
    }

    fn owe_forget(&mut self, task_id: &str) {
        self.forgotten.push_back(task_id.to_owned());
        if self.forgotten.len() > MOST_OWED {
            self.forgotten.pop_front();
        }
    }
}

/// Tasks of no job have ids that nobody makes twice.
pub fn is_outside_jobs(task_id: &str) -> bool {
    task_id.starts_with("0/")
}

fn is_refusal(outcome: &Outcome) -> bool {
    matches!(outcome, Err(failure) if failure.kind == FailureKind::Refused)
}
