//! The session table: which host is connected, and the tasks that somebody waits for.
//!
//! The table only notes what happened; whoever waits for a task ([`super::waiter`]) draws the
//! conclusions. Locks are held for a look and never over an await.

mod host;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::clock::SharedClock;
use holdfast_proto::{
    check::ScheduledCheck,
    guard::Protection,
    link::{ControllerMessage, Hello, RegisteredInstance},
    names::HostName,
    task::TaskEvent,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::host::HostTasks;
pub(super) use self::host::{Stage, Watched, is_outside_jobs};

/// Outcomes that nobody asked for are kept this long: a controller that restarted claims its jobs well within.
const ORPHAN_PATIENCE: TimeDelta = TimeDelta::hours(1);

/// Why a session was ended from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndReason {
    #[error("a newer session of the same host took its place")]
    Replaced,
    #[error("the host was removed")]
    Revoked,
    #[error("the agent does not take messages as fast as they come")]
    Slow,
    #[error("the controller is shutting down")]
    Shutdown,
    #[error("the agent has not been heard of for three heartbeats")]
    Silent,
    #[error("the agent said what makes no sense")]
    Nonsense,
    #[error("the connection was lost")]
    Lost,
}

/// One open session of one agent process.
#[derive(Debug)]
pub struct Session {
    id: u64,
    host: HostName,
    run_id: String,
    /// Tasks that the agent named in its hello, with their epochs.
    tasks: HashMap<String, u64>,
    outbox: mpsc::Sender<ControllerMessage>,
    /// The lists that the agent was given last.
    shown: Mutex<Lists>,
    over: CancellationToken,
    reason: OnceLock<EndReason>,
}

/// What an agent is told as a whole, whenever it changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lists {
    pub registered: Vec<RegisteredInstance>,
    pub checks: Vec<ScheduledCheck>,
    /// For the guard; none: as it was.
    pub protections: Option<Vec<Protection>>,
}

impl Session {
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.host
    }

    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Whether the agent said, when it connected, that it runs the task or holds its outcome.
    #[must_use]
    pub fn knew(&self, task_id: &str) -> bool {
        self.tasks.contains_key(task_id)
    }

    /// Gives the agent what changed against the lists that it was given last.
    pub fn show(&self, lists: Lists) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.registered != lists.registered {
            self.push(ControllerMessage::Registered(lists.registered.clone()));
        }
        if shown.checks != lists.checks {
            self.push(ControllerMessage::Checks(lists.checks.clone()));
        }
        if let Some(protections) = &lists.protections
            && shown.protections.as_ref() != Some(protections)
        {
            self.push(ControllerMessage::Protections(protections.clone()));
        }
        let protections = lists.protections.clone().or(shown.protections.take());
        *shown = Lists {
            protections,
            ..lists
        };
    }

    /// Puts a message into the agent's queue; a full queue ends the session instead of growing.
    pub fn push(&self, message: ControllerMessage) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outbox.try_send(message) {
            self.end(EndReason::Slow);
        }
    }

    /// As [`Self::push`], but waits for room: for whoever can wait.
    pub(super) async fn deliver(&self, message: ControllerMessage) {
        tokio::select! {
            _ = self.outbox.send(message) => {}
            () = self.over.cancelled() => {}
        }
    }

    /// Ends the session; the first reason stays.
    pub fn end(&self, reason: EndReason) {
        let _ = self.reason.set(reason);
        self.over.cancel();
    }

    /// Resolves when this side ended the session.
    pub async fn ended(&self) -> EndReason {
        self.over.cancelled().await;
        self.reason.get().copied().unwrap_or(EndReason::Shutdown)
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }
}

/// Cheap to clone; all clones see the same sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hosts: Mutex<HashMap<HostName, Host>>,
    clock: SharedClock,
    next_session: AtomicU64,
}

#[derive(Debug)]
struct Host {
    session: watch::Sender<Option<Arc<Session>>>,
    tasks: HostTasks,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            session: watch::Sender::new(None),
            tasks: HostTasks::default(),
        }
    }
}

impl Sessions {
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self {
            inner: Arc::new(Inner {
                hosts: Mutex::default(),
                clock,
                next_session: AtomicU64::new(1),
            }),
        }
    }

    /// The host's session from now on; an older one of the same host ends.
    ///
    /// Whatever must reach the agent before its tasks has to be in the outbox already, the lists
    /// `shown` among it. `note` is
    /// called before anybody else sees the session, and in one order with that of [`Self::detach`].
    pub fn attach(
        &self,
        host: &HostName,
        hello: &Hello,
        outbox: mpsc::Sender<ControllerMessage>,
        shown: Lists,
        note: impl FnOnce(),
    ) -> Arc<Session> {
        let session = Arc::new(Session {
            id: self.inner.next_session.fetch_add(1, Ordering::Relaxed),
            host: host.clone(),
            run_id: hello.run_id.clone(),
            tasks: hello
                .tasks
                .iter()
                .map(|task| (task.task_id.clone(), task.epoch))
                .collect(),
            outbox,
            shown: Mutex::new(shown),
            over: CancellationToken::new(),
            reason: OnceLock::new(),
        });
        let mut hosts = self.lock();
        let entry = hosts.entry(host.clone()).or_default();
        for message in entry.tasks.owed_to(&session, self.inner.clock.now()) {
            session.push(message);
        }
        note();
        if let Some(older) = entry.session.send_replace(Some(Arc::clone(&session))) {
            older.end(EndReason::Replaced);
        }
        session
    }

    /// The session is over. When it was the host's current one, `note` is called: the host is away now.
    pub fn detach(&self, session: &Session, note: impl FnOnce()) -> bool {
        let hosts = self.lock();
        let Some(entry) = hosts.get(&session.host) else {
            return false;
        };
        let was_current = entry.session.send_if_modified(|current| {
            let is_current = current.as_ref().is_some_and(|c| c.id == session.id);
            if is_current {
                *current = None;
            }
            is_current
        });
        if was_current {
            note();
        }
        was_current
    }

    /// The open session of a host.
    #[must_use]
    pub fn current(&self, host: &HostName) -> Option<Arc<Session>> {
        let hosts = self.lock();
        hosts.get(host).and_then(|e| e.session.borrow().clone())
    }

    /// Every open session.
    #[must_use]
    pub fn open(&self) -> Vec<Arc<Session>> {
        let hosts = self.lock();
        let open = hosts.values().filter_map(|e| e.session.borrow().clone());
        open.collect()
    }

    /// Ends the session of a host, when there is one. Says whether there was.
    pub fn end(&self, host: &HostName, reason: EndReason) -> bool {
        let current = self.current(host);
        if let Some(session) = &current {
            session.end(reason);
        }
        current.is_some()
    }

    /// What the agent told of a task.
    pub fn event(&self, session: &Session, task_id: &str, epoch: u64, event: TaskEvent) {
        let now = self.inner.clock.now();
        let (sinks, progress) = {
            let mut hosts = self.lock();
            let Some(entry) = hosts.get_mut(&session.host) else {
                return;
            };
            match event {
                TaskEvent::Progress(progress) => (entry.tasks.sinks(task_id), progress),
                TaskEvent::Accepted { joined } => {
                    tracing::debug!(host = %session.host, task_id, joined, "task accepted");
                    entry.tasks.accepted(task_id, epoch, &session.run_id);
                    return;
                }
                TaskEvent::Ended(outcome) => {
                    if entry.tasks.ended(task_id, epoch, outcome, now) {
                        session.push(forget(task_id));
                    }
                    return;
                }
            }
        };
        for sink in sinks {
            sink(progress.clone());
        }
    }

    /// Lets go of outcomes that nobody has asked for in an hour, and tells their agents so.
    pub fn forget_stale(&self) {
        let before = self.inner.clock.now() - ORPHAN_PATIENCE;
        let mut hosts = self.lock();
        for entry in hosts.values_mut() {
            let session = entry.session.borrow().clone();
            entry.tasks.forget_orphans(before, session.as_deref());
        }
    }

    /// Tasks that the agent has, running or ended, although nobody asked for them yet.
    #[must_use]
    pub fn orphans(&self, host: &HostName) -> usize {
        self.lock().get(host).map_or(0, |e| e.tasks.orphans())
    }

    pub(super) fn watch_session(&self, host: &HostName) -> watch::Receiver<Option<Arc<Session>>> {
        let mut hosts = self.lock();
        hosts.entry(host.clone()).or_default().session.subscribe()
    }

    pub(super) fn with_tasks<R>(
        &self,
        host: &HostName,
        act: impl FnOnce(&mut HostTasks, Option<&Session>) -> R,
    ) -> R {
        let mut hosts = self.lock();
        let entry = hosts.entry(host.clone()).or_default();
        let session = entry.session.borrow().clone();
        act(&mut entry.tasks, session.as_deref())
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostName, Host>> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.inner
            .hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(task_id: &str) -> ControllerMessage {
    ControllerMessage::ForgetTask {
        task_id: task_id.to_owned(),
    }
}
