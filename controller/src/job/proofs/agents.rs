//! Scripted agents: they keep databases, outcomes and fences as real ones do, and fail on request.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use holdfast_proto::{
    link::StartTask,
    names::HostName,
    task::{FailureKind, TaskFailure, TaskResult},
};
use holdfast_repository::{Pace, Told};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::read_repository;

use crate::{
    detect::HostFacts,
    dispatch::{Dispatch, ProgressSink},
    job::{
        hosts::{Hosts, Standing},
        prune_repository::prune::Freed,
        shelf::{OutOfReach, ReadThrough, ReadWhole, Shelf},
    },
};

/// `host/instance/database` to what is in it.
pub type Databases = BTreeMap<String, String>;

/// Does a verb on the databases of a host. Each kind's proofs bring their own.
pub type Verbs = fn(&mut Databases, &HostName, &StartTask) -> Result<TaskResult, TaskFailure>;

/// What goes wrong, and where.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The task's step, part and direction: "transfer.send/do".
    pub at: String,
    /// The work is done all the same, and its outcome lost.
    pub after_work: bool,
    pub kind: FailureKind,
    pub retryable: bool,
    /// So many times.
    pub times: u32,
}

#[derive(Debug)]
pub struct Agents {
    verbs: Verbs,
    state: Mutex<State>,
    cancelled: Notify,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct State {
    databases: Databases,
    faults: Vec<Fault>,
    /// Tasks at this place hang until they are cancelled.
    hangs_at: Option<String>,
    /// By task id, until they may be forgotten.
    outcomes: HashMap<String, Result<TaskResult, TaskFailure>>,
    cancels: Vec<String>,
    /// Highest epoch seen of each job on each host.
    epochs: HashMap<(HostName, u64), u64>,
    /// Places of the tasks that were really worked on, in order.
    worked: Vec<String>,
}

impl State {
    fn take_fault(&mut self, place: &str) -> Option<Fault> {
        let mut faults = self.faults.iter_mut();
        let fault = faults.find(|fault| fault.at == place && fault.times > 0)?;
        fault.times -= 1;
        Some(fault.clone())
    }
}

impl Agents {
    pub fn new(verbs: Verbs, databases: Databases) -> Self {
        let state = State {
            databases,
            ..State::default()
        };
        Self {
            verbs,
            state: Mutex::new(state),
            cancelled: Notify::new(),
            standing: Mutex::new(connected()),
        }
    }

    /// All hosts, from now on.
    pub fn stand(&self, standing: Standing) {
        *self.standing.lock().unwrap() = standing;
    }

    pub fn databases(&self) -> Databases {
        self.state().databases.clone()
    }

    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub fn hang(&self, at: &str) {
        self.state().hangs_at = Some(at.to_owned());
    }

    /// The agents are new processes: they remember databases, nothing else.
    pub fn restart(&self) {
        let mut state = self.state();
        state.outcomes.clear();
        state.epochs.clear();
    }

    /// Where work was done, in order: "stage/do".
    pub fn worked(&self) -> Vec<String> {
        self.state().worked.clone()
    }

    /// Outcomes that nobody has told the agents to forget.
    pub fn unforgotten(&self) -> usize {
        self.state().outcomes.len()
    }

    /// Ids of the tasks that were told to end.
    pub fn cancels(&self) -> Vec<String> {
        self.state().cancels.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn fence(&self, host: &HostName, task: &StartTask) -> Result<(), TaskFailure> {
        let mut state = self.state();
        let highest = state.epochs.entry((host.clone(), task.job)).or_default();
        if task.epoch < *highest {
            return Err(failure(FailureKind::Refused, false, "an older epoch"));
        }
        *highest = task.epoch;
        Ok(())
    }

    fn work(&self, host: &HostName, task: &StartTask) -> Result<TaskResult, TaskFailure> {
        let mut state = self.state();
        if let Some(known) = state.outcomes.get(&task.task_id) {
            return known.clone();
        }
        let place = place(&task.task_id);
        state.worked.push(place.clone());
        let fault = state.take_fault(&place);
        let outcome = match fault {
            Some(fault) if !fault.after_work => Err(fault.failure()),
            Some(fault) => {
                let _ = (self.verbs)(&mut state.databases, host, task);
                Err(fault.failure())
            }
            // Every verb is repeated at once: the second run must change nothing and say the same.
            None => {
                let first = (self.verbs)(&mut state.databases, host, task);
                let databases = state.databases.clone();
                let second = (self.verbs)(&mut state.databases, host, task);
                assert_eq!(state.databases, databases, "{place} is not idempotent");
                assert_eq!(first.is_ok(), second.is_ok(), "{place} is not idempotent");
                first
            }
        };
        state.outcomes.insert(task.task_id.clone(), outcome.clone());
        outcome
    }

    /// What a step does with a repository itself; it fails like a task, and nobody has to remember its outcome.
    fn shelf_work<T: Default>(
        &self,
        place: &str,
        work: impl Fn(&mut Databases) -> T,
    ) -> Result<T, OutOfReach> {
        let mut state = self.state();
        state.worked.push(place.to_owned());
        let fault = state.take_fault(place);
        if fault.as_ref().is_none_or(|fault| fault.after_work) {
            work(&mut state.databases);
        }
        match fault {
            None => Ok(work(&mut state.databases)),
            Some(fault) => Err(OutOfReach {
                why: fault.failure().message,
                again: fault.retryable,
            }),
        }
    }

    async fn cancelled(&self, task_id: &str) {
        loop {
            let heard = self.cancelled.notified();
            if self.state().cancels.iter().any(|id| id == task_id) {
                return;
            }
            heard.await;
        }
    }
}

#[async_trait]
impl Dispatch for Agents {
    async fn run(
        &self,
        host: &HostName,
        task: StartTask,
        _: ProgressSink,
    ) -> Result<TaskResult, TaskFailure> {
        self.fence(host, &task)?;
        // As over a network: whoever waits may be gone before the answer is there.
        tokio::task::yield_now().await;
        let hangs = self.state().hangs_at.as_deref() == Some(place(&task.task_id).as_str());
        if hangs {
            self.cancelled(&task.task_id).await;
            return Err(failure(FailureKind::Cancelled, false, "cancelled"));
        }
        self.work(host, &task)
    }

    async fn cancel(&self, _: &HostName, task_id: &str, _: u64) {
        self.state().cancels.push(task_id.to_owned());
        self.cancelled.notify_waiters();
    }

    async fn forget(&self, _: &HostName, task_id: &str) {
        self.state().outcomes.remove(task_id);
    }
}

pub fn connected() -> Standing {
    Standing::Connected {
        peer_addresses: vec!["10.77.0.2:7444".to_owned()],
    }
}

impl Hosts for Agents {
    fn facts(&self, _: &HostName) -> Option<HostFacts> {
        None
    }

    fn standing(&self, _: &HostName) -> Standing {
        self.standing.lock().unwrap().clone()
    }
}

/// Where a repository is read whole: a fault with the kind `DataMismatch` is damage, any other a storage that is away.
pub const SHELF_READ: &str = "shelf.read";

/// Repositories that hold whatever is asked for. Their snapshots are in the world as `host/snapshot/name`.
#[async_trait]
impl Shelf for Agents {
    async fn holds(&self, _: &HostName, _: &str) -> Result<bool, OutOfReach> {
        Ok(true)
    }

    async fn snapshots(&self, host: &HostName) -> Result<BTreeSet<String>, OutOfReach> {
        self.shelf_work("remove.list/do", |world| {
            let prefix = format!("{host}/snapshot/");
            let names = world.keys().filter_map(|name| name.strip_prefix(&prefix));
            names.map(str::to_owned).collect()
        })
    }

    async fn forget(
        &self,
        host: &HostName,
        snapshots: &BTreeSet<String>,
    ) -> Result<(), OutOfReach> {
        self.shelf_work("remove.forget/do", |world| {
            for name in snapshots {
                world.remove(&format!("{host}/snapshot/{name}"));
            }
        })
    }

    async fn prune(&self, _: &HostName) -> Result<Freed, OutOfReach> {
        self.shelf_work("prune.prune/do", |_| Freed::default())
    }

    async fn read_whole(
        &self,
        host: &HostName,
        told: &Told,
        stop: &CancellationToken,
    ) -> Result<ReadWhole, OutOfReach> {
        told(Pace::default());
        let hangs = self.state().hangs_at.as_deref() == Some("read.read/do");
        if hangs {
            stop.cancelled().await;
            return Err(OutOfReach {
                why: "stopped".to_owned(),
                again: false,
            });
        }
        self.shelf_work("read.read/do", |world| read_repository::found(world, host))
    }

    async fn read_through(&self, _: &HostName, _: &str) -> Result<ReadThrough, OutOfReach> {
        let damage = match self.state().take_fault(SHELF_READ) {
            Some(fault) if fault.kind == FailureKind::DataMismatch => {
                vec![fault.failure().message]
            }
            Some(fault) => {
                return Err(OutOfReach {
                    why: fault.failure().message,
                    again: fault.retryable,
                });
            }
            None => vec![],
        };
        Ok(ReadThrough {
            entries: 3,
            bytes: 700,
            damage,
        })
    }
}

impl Fault {
    /// Once, and trying again cannot help.
    pub fn hopeless(at: &str, after_work: bool) -> Self {
        Self {
            at: at.to_owned(),
            after_work,
            kind: FailureKind::Conflict,
            retryable: false,
            times: 1,
        }
    }

    /// Once, as of bytes that are not those that were stored.
    pub fn damage(at: &str) -> Self {
        Self {
            kind: FailureKind::DataMismatch,
            ..Self::hopeless(at, false)
        }
    }

    /// So many times, as when a host is away.
    pub fn passing(at: &str, after_work: bool, times: u32) -> Self {
        Self {
            at: at.to_owned(),
            after_work,
            kind: FailureKind::Unavailable,
            retryable: true,
            times,
        }
    }

    fn failure(&self) -> TaskFailure {
        failure(self.kind, self.retryable, "scripted")
    }
}

pub fn failure(kind: FailureKind, retryable: bool, message: &str) -> TaskFailure {
    TaskFailure {
        kind,
        message: message.to_owned(),
        advice: String::new(),
        retryable,
    }
}

/// "7/transfer.send/do/2" is at "transfer.send/do".
fn place(task_id: &str) -> String {
    let parts: Vec<_> = task_id.split('/').collect();
    format!("{}/{}", parts[1], parts[2])
}
