//! The instances under watch: what was found, what the last look said, when the next is due.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use holdfast_proto::{
    fleet::{DataPlace, Engine, Instance},
    link::RegisteredInstance,
    task::ProbedInstance,
};
use tokio::sync::oneshot;

use super::instances::{Instances, Standing as Table};
use crate::engine::{
    discover::{Found, Standing},
    postgres::{probe::Probed, route::Route},
    server::Memory,
};

/// First look again at something that is about to come up.
const SOON: Duration = Duration::from_millis(250);
const SOON_AT_MOST: Duration = Duration::from_secs(5);
/// First look again at a server that is down for another reason.
const LATER: Duration = Duration::from_secs(1);
/// How long a server outside containers is shown as gone.
const GONE_FOR: Duration = Duration::from_secs(24 * 3600);

/// What is looked at.
#[derive(Debug, Clone)]
pub enum Subject {
    Found(Box<Found>),
    Registered(RegisteredInstance),
    /// A server outside containers that has ended.
    Gone {
        engine: Engine,
        reason: String,
        since: Instant,
    },
}

/// Told when the look that was asked for is done.
pub type Asker = oneshot::Sender<ProbedInstance>;

#[derive(Debug)]
struct Watch {
    subject: Subject,
    /// Unset until the first look is done.
    instance: Option<Instance>,
    due: Option<Instant>,
    looking: bool,
    /// What was looked at is no more what is there: the result will not count.
    outdated: bool,
    failures: u32,
    memory: Memory,
    /// That worked the last time.
    route: Option<Route>,
    askers: Vec<Asker>,
    /// Those whom the look that is under way will tell; who asked after it began waits for the next.
    answering: Vec<Asker>,
}

/// All of them, by name.
#[derive(Debug)]
pub struct Watched {
    all: BTreeMap<String, Watch>,
    interval: Duration,
    table: Instances,
}

/// A look to take now.
#[derive(Debug)]
pub struct Look {
    pub name: String,
    pub subject: Subject,
    pub memory: Memory,
    /// That worked the last time.
    pub route: Option<Route>,
}

/// What came of a look.
#[derive(Debug)]
pub struct Looked {
    pub name: String,
    pub probed: Probed,
    /// Where its data lie, as far as its container and its files tell.
    pub data: Option<DataPlace>,
    pub memory: Memory,
}

impl Watched {
    /// Looks at each instance every `interval`; `table` always tells where they are.
    #[must_use]
    pub fn new(interval: Duration, table: Instances) -> Self {
        Self {
            all: BTreeMap::new(),
            interval,
            table,
        }
    }

    /// Takes over what was found and what is registered; what is new or different is due at once.
    pub fn reconcile(
        &mut self,
        found: Vec<Found>,
        registered: &[RegisteredInstance],
        now: Instant,
    ) {
        let mut subjects: BTreeMap<String, Subject> = registered
            .iter()
            .map(|r| (r.name.clone(), Subject::Registered(r.clone())))
            .collect();
        for found in found {
            subjects.insert(found.name.clone(), Subject::Found(Box::new(found)));
        }
        for (name, watch) in &self.all {
            if let Some(gone) = watch.gone(now).filter(|_| !subjects.contains_key(name)) {
                subjects.insert(name.clone(), gone);
            }
        }
        let table = &self.table;
        self.all.retain(|name, _| {
            let stays = subjects.contains_key(name);
            if !stays {
                table.remove(name);
            }
            stays
        });
        for (name, subject) in subjects {
            match self.all.get_mut(&name) {
                Some(watch) if watch.subject.is_same(&subject) => watch.subject = subject,
                Some(watch) => {
                    watch.subject = subject;
                    watch.outdated = watch.looking;
                    // It may be another server under the same name.
                    watch.memory = Memory::default();
                    watch.failures = 0;
                    watch.due = Some(now);
                }
                None => {
                    let waiting = "it was found this moment and is being looked at";
                    self.table.set(&name, Table::Down(waiting.to_owned()));
                    self.all.insert(name, Watch::new(subject, now));
                }
            }
        }
    }

    /// The looks that are due, each marked as under way.
    pub fn start_due(&mut self, now: Instant) -> Vec<Look> {
        let due = self
            .all
            .iter_mut()
            .filter(|(_, watch)| !watch.looking && watch.due.is_some_and(|due| due <= now));
        due.map(|(name, watch)| {
            watch.looking = true;
            watch.outdated = false;
            watch.answering.append(&mut watch.askers);
            Look {
                name: name.clone(),
                subject: watch.subject.clone(),
                memory: std::mem::take(&mut watch.memory),
                route: watch.route.clone(),
            }
        })
        .collect()
    }

    /// When the next look is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let idle = self.all.values().filter(|watch| !watch.looking);
        idle.filter_map(|watch| watch.due).min()
    }

    /// Something is about to come up that only the process table will show.
    #[must_use]
    pub fn awaits_a_process(&self) -> bool {
        self.all.values().any(|watch| {
            matches!(&watch.subject, Subject::Found(found)
                if matches!(found.standing, Standing::Down { soon: true, .. }))
        })
    }

    /// Every instance has been looked at once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.all.values().all(|watch| watch.instance.is_some())
    }

    #[must_use]
    pub fn instances(&self) -> Vec<Instance> {
        let seen = self.all.values();
        seen.filter_map(|watch| watch.instance.clone()).collect()
    }

    /// Looks at one now and tells the asker; gives the asker back when there is no such instance.
    ///
    /// # Errors
    /// The asker.
    pub fn ask(&mut self, name: &str, asker: Asker, now: Instant) -> Result<(), Asker> {
        let Some(watch) = self.all.get_mut(name) else {
            return Err(asker);
        };
        watch.askers.push(asker);
        watch.due = Some(now);
        Ok(())
    }

    /// Takes in a result. True when the process table should be read again: a server that was
    /// there does not answer.
    pub fn finish(&mut self, looked: Looked, now: Instant) -> bool {
        let Some(watch) = self.all.get_mut(&looked.name) else {
            return false;
        };
        watch.looking = false;
        if std::mem::take(&mut watch.outdated) {
            return false;
        }
        watch.memory = looked.memory;
        let (mut instance, standing, wait) =
            watch.judge(looked.name.clone(), looked.probed, self.interval);
        instance.data = looked.data;
        let down = matches!(standing, Table::Down(_));
        self.table.set(&looked.name, standing);
        watch.due = if watch.askers.is_empty() {
            wait.map(|wait| now + wait)
        } else {
            Some(now)
        };
        for asker in watch.answering.drain(..) {
            let _ = asker.send(ProbedInstance {
                up: !down,
                reached_by: instance.reached_by.clone(),
                down_reason: instance.down_reason.clone(),
            });
        }
        watch.instance = Some(instance);
        down && matches!(&watch.subject, Subject::Found(f) if matches!(f.standing, Standing::Running(_)))
    }
}

impl Watch {
    fn new(subject: Subject, now: Instant) -> Self {
        Self {
            subject,
            instance: None,
            due: Some(now),
            looking: false,
            outdated: false,
            failures: 0,
            memory: Memory::default(),
            route: None,
            askers: Vec::new(),
            answering: Vec::new(),
        }
    }

    /// What it becomes when it is found no more; `None` when it is simply forgotten.
    fn gone(&self, now: Instant) -> Option<Subject> {
        match &self.subject {
            Subject::Found(found) if found.container.is_none() => Some(Subject::Gone {
                engine: found.engine,
                reason: "the server process has ended".to_owned(),
                since: now,
            }),
            Subject::Gone { since, .. } if now.duration_since(*since) < GONE_FOR => {
                Some(self.subject.clone())
            }
            _ => None,
        }
    }

    fn judge(
        &mut self,
        name: String,
        probed: Probed,
        interval: Duration,
    ) -> (Instance, Table, Option<Duration>) {
        let mut instance = Instance {
            name,
            engine: self.subject.engine(),
            container: self.subject.container_name(),
            reached_by: String::new(),
            down_reason: String::new(),
            health: None,
            registered: matches!(self.subject, Subject::Registered(_)),
            data: None,
        };
        match probed {
            Probed::Up { located, health } => {
                self.failures = 0;
                instance.engine = located.engine;
                instance.reached_by.clone_from(&located.route.how);
                self.route = Some(located.route.clone());
                instance.health = Some(*health);
                (instance, Table::Up(located), Some(interval))
            }
            Probed::Down { reason, soon } => {
                instance.down_reason.clone_from(&reason);
                let wait = self.subject.may_come_back().then(|| {
                    let (first, most) = if soon {
                        (SOON, SOON_AT_MOST)
                    } else {
                        (LATER, interval)
                    };
                    (first * 2u32.pow(self.failures.min(10))).min(most)
                });
                self.failures += 1;
                (instance, Table::Down(reason), wait)
            }
        }
    }
}

impl Subject {
    fn engine(&self) -> Engine {
        match self {
            Self::Found(found) => found.engine,
            Self::Registered(registered) => registered.engine,
            Self::Gone { engine, .. } => *engine,
        }
    }

    fn container_name(&self) -> String {
        match self {
            Self::Found(found) => found
                .container
                .as_ref()
                .map(|seen| seen.container.name.clone())
                .unwrap_or_default(),
            Self::Registered(_) | Self::Gone { .. } => String::new(),
        }
    }

    /// The same thing in the same standing: the last look still holds.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Found(a), Self::Found(b)) => {
                let home = |found: &Found| {
                    found.container.as_ref().map(|seen| {
                        let c = &seen.container;
                        (c.id.clone(), c.name.clone(), c.started_at, c.exit_code)
                    })
                };
                a.standing == b.standing && home(a) == home(b)
            }
            (Self::Registered(a), Self::Registered(b)) => a == b,
            (Self::Gone { .. }, Self::Gone { .. }) => true,
            _ => false,
        }
    }

    /// Looking again can show something else without anything else having changed.
    fn may_come_back(&self) -> bool {
        match self {
            Self::Found(found) => matches!(found.standing, Standing::Running(_)),
            Self::Registered(_) => true,
            Self::Gone { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::{link::TlsMode, task::FailureKind};

    use super::*;

    fn registered(name: &str, port: u16) -> RegisteredInstance {
        RegisteredInstance {
            name: name.to_owned(),
            engine: Engine::Postgres,
            address: "db.internal".to_owned(),
            port,
            user: "holdfast".to_owned(),
            database: "postgres".to_owned(),
            tls_mode: TlsMode::Require,
        }
    }

    fn watched() -> (Watched, Instances) {
        let table = Instances::default();
        (Watched::new(Duration::from_secs(30), table.clone()), table)
    }

    fn down(name: &str, soon: bool) -> Looked {
        Looked {
            name: name.to_owned(),
            probed: Probed::Down {
                reason: "connection refused".to_owned(),
                soon,
            },
            data: None,
            memory: Memory::default(),
        }
    }

    #[test]
    fn a_new_instance_is_due_at_once_and_the_same_again_is_not() {
        let (mut watched, table) = watched();
        let now = Instant::now();
        watched.reconcile(Vec::new(), &[registered("rds", 5432)], now);
        assert_eq!(watched.start_due(now).len(), 1);
        assert!(watched.start_due(now).is_empty(), "it is under way");
        watched.finish(down("rds", false), now);
        watched.reconcile(Vec::new(), &[registered("rds", 5432)], now);
        assert!(watched.start_due(now).is_empty());
        watched.reconcile(Vec::new(), &[registered("rds", 5433)], now);
        assert_eq!(watched.start_due(now).len(), 1);
        let refused = table.locate("rds").unwrap_err();
        assert!(refused.message.contains("connection refused"), "{refused}");
        watched.reconcile(Vec::new(), &[], now);
        assert_eq!(table.locate("rds").unwrap_err().kind, FailureKind::Invalid);
    }

    #[test]
    fn looks_at_what_is_down_grow_rarer_up_to_the_interval() {
        let (mut watched, _) = watched();
        let mut now = Instant::now();
        watched.reconcile(Vec::new(), &[registered("rds", 5432)], now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(watched.start_due(now).len(), 1);
            watched.finish(down("rds", false), now);
            let due = watched.next_due().unwrap();
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_look_at_what_was_replaced_meanwhile_does_not_count() {
        let (mut watched, _) = watched();
        let now = Instant::now();
        watched.reconcile(Vec::new(), &[registered("rds", 5432)], now);
        assert_eq!(watched.start_due(now).len(), 1);
        watched.reconcile(Vec::new(), &[registered("rds", 5433)], now);
        watched.finish(down("rds", false), now);
        assert!(watched.instances().is_empty());
        assert_eq!(watched.start_due(now).len(), 1, "the new one is due");
    }

    #[tokio::test]
    async fn who_asks_is_told_and_who_asks_for_nothing_gets_the_asker_back() {
        let (mut watched, _) = watched();
        let now = Instant::now();
        let (asker, _) = oneshot::channel();
        assert!(watched.ask("rds", asker, now).is_err());
        watched.reconcile(Vec::new(), &[registered("rds", 5432)], now);
        let (asker, answer) = oneshot::channel();
        watched.ask("rds", asker, now).unwrap();
        assert_eq!(watched.start_due(now).len(), 1);
        watched.finish(down("rds", true), now);
        let answer = answer.await.unwrap();
        assert!(!answer.up && answer.down_reason == "connection refused");
    }

    #[tokio::test]
    async fn who_asks_during_a_look_is_told_by_the_next_which_follows_at_once() {
        let (mut watched, _) = watched();
        let now = Instant::now();
        watched.reconcile(Vec::new(), &[registered("rds", 5432)], now);
        assert_eq!(watched.start_due(now).len(), 1);
        let (asker, mut answer) = oneshot::channel();
        watched.ask("rds", asker, now).unwrap();
        watched.finish(down("rds", false), now);
        assert!(answer.try_recv().is_err(), "that look began before");
        assert_eq!(watched.start_due(now).len(), 1);
        watched.finish(down("rds", false), now);
        assert!(!answer.await.unwrap().up);
    }

    #[test]
    fn what_was_known_of_another_server_under_the_same_name_is_forgotten() {
        let (mut watched, _) = watched();
        let now = Instant::now();
        let known = || format!("{:?}", Memory::with_an_identifier());
        watched.reconcile(Vec::new(), &[registered("rds", 5432)], now);
        watched.start_due(now);
        let mut looked = down("rds", false);
        looked.memory = Memory::with_an_identifier();
        watched.finish(looked, now);
        let due = watched.next_due().unwrap();
        let look = watched.start_due(due).remove(0);
        assert_eq!(format!("{:?}", look.memory), known(), "the same server");
        watched.reconcile(Vec::new(), &[registered("rds", 5433)], due);
        let mut outdated = down("rds", false);
        outdated.memory = Memory::with_an_identifier();
        watched.finish(outdated, due);
        let look = watched.start_due(due).remove(0);
        assert_ne!(format!("{:?}", look.memory), known());
    }
}
