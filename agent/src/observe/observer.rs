//! The observer: engine events, listings, the process table and probes, joined into reports.
//!
//! Events are hints, the listing is the truth. Everything that may wait (the engine, servers)
//! runs beside this loop, so that nothing that hangs holds the rest up.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use holdfast_chassis::{clock::SharedClock, retry::Policy};
use holdfast_proto::{
    fleet::{EngineEvent, HostSnapshot},
    link::RegisteredInstance,
    task::ProbedInstance,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    events::{self, Position, Signal, Touched},
    instances::Instances,
    listing::Listing,
    look::look,
    reports::Reports,
    volumes,
    watched::{Looked, Watched},
};
use crate::{
    container::{ContainerEngine, EngineError, sandbox},
    engine::{discover, mariadb, postgres::processes, server::Server},
};

/// Events that come close together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(30);
/// The first report waits this long for servers that do not answer.
const FIRST_REPORT: Duration = Duration::from_secs(3);
const RESCAN_FIRST: Duration = Duration::from_millis(250);
const RESCAN_AT_MOST: Duration = Duration::from_secs(5);
const PROC: &str = "/proc";

/// What the observer is made of.
#[derive(Debug)]
pub struct Parts {
    pub engine: ContainerEngine,
    pub credentials: PathBuf,
    pub clock: SharedClock,
    /// Between full listings, and between looks at each server.
    pub interval: Duration,
    pub reports: Reports,
    pub instances: Instances,
    pub registered: watch::Receiver<Vec<RegisteredInstance>>,
    pub asked: mpsc::Receiver<Ask>,
}

/// Somebody wants to know about one instance now.
#[derive(Debug)]
pub struct Ask {
    pub instance: String,
    pub answer: oneshot::Sender<ProbedInstance>,
}

struct Observer {
    parts: Parts,
    listing: Listing,
    listed: bool,
    engine_error: String,
    watched: Watched,
    started: Instant,
    reported: bool,
    /// Heard, waiting for the listing that shows what they did …
    events: Vec<EngineEvent>,
    /// … which is under way …
    covered: Vec<EngineEvent>,
    /// … and done.
    shown: Vec<EngineEvent>,
    touched: BTreeSet<String>,
    volumes_touched: bool,
    all_touched: bool,
    flush_at: Option<Instant>,
    rescan_at: Option<Instant>,
    rescans: u32,
    listings: JoinSet<(Listing, Result<(), EngineError>)>,
    looks: JoinSet<Looked>,
}

/// Observes until `shutdown`.
pub async fn run(parts: Parts, shutdown: CancellationToken) {
    let (send, mut signals) = mpsc::channel(256);
    let stream = follow_for_ever(parts.engine.clone(), parts.clock.clone(), send);
    let mut following = JoinSet::new();
    following.spawn(stream);
    let mut observer = Observer::new(parts);
    let mut tick = interval(observer.parts.interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let wake = observer.next_wake();
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(signal) = signals.recv() => observer.hear(signal),
            Some(Ok((listing, result))) = observer.listings.join_next() => {
                observer.take_listing(listing, result).await;
            }
            Some(Ok(looked)) = observer.looks.join_next() => observer.take_look(looked),
            Some(ask) = observer.parts.asked.recv() => observer.answer(ask).await,
            Ok(()) = observer.parts.registered.changed() => observer.discover().await,
            _ = tick.tick() => {
                observer.all_touched = true;
                observer.start_listing();
            }
            () = sleep_until(wake.into()) => observer.wake().await,
        }
        observer.start_looks();
        observer.report();
    }
}

impl Observer {
    fn new(parts: Parts) -> Self {
        let watched = Watched::new(parts.interval, parts.instances.clone());
        Self {
            parts,
            watched,
            listing: Listing::default(),
            listed: false,
            engine_error: String::new(),
            started: Instant::now(),
            reported: false,
            events: Vec::new(),
            covered: Vec::new(),
            shown: Vec::new(),
            touched: BTreeSet::new(),
            volumes_touched: false,
            all_touched: true,
            flush_at: None,
            rescan_at: None,
            rescans: 0,
            listings: JoinSet::new(),
            looks: JoinSet::new(),
        }
    }

    fn next_wake(&self) -> Instant {
        let first = (!self.reported).then(|| self.started + FIRST_REPORT);
        [
            self.flush_at,
            self.rescan_at,
            self.watched.next_due(),
            first,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or_else(|| Instant::now() + self.parts.interval)
    }

    fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::Opened => {
                self.all_touched = true;
                self.start_listing();
            }
            Signal::Lost(error) => self.lose_engine(&error),
            Signal::Event { event, touched } => {
                self.events.push(event);
                match touched {
                    Touched::Container(id) => {
                        self.touched.insert(id);
                    }
                    Touched::Volumes => self.volumes_touched = true,
                    Touched::Nothing => {}
                }
                let flush = Instant::now() + DEBOUNCE;
                self.flush_at.get_or_insert(flush);
            }
        }
    }

    async fn wake(&mut self) {
        let now = Instant::now();
        if self.flush_at.is_some_and(|at| at <= now) {
            self.start_listing();
        }
        if self.rescan_at.is_some_and(|at| at <= now) {
            self.rescan_at = None;
            self.discover().await;
        }
    }

    /// One listing at a time; what is touched meanwhile waits for the next.
    fn start_listing(&mut self) {
        let wanted = self.all_touched || self.volumes_touched || !self.touched.is_empty();
        self.flush_at = None;
        if !wanted {
            self.shown.append(&mut self.events);
        }
        if !wanted || !self.listings.is_empty() {
            return;
        }
        self.covered.append(&mut self.events);
        let engine = self.parts.engine.clone();
        let mut listing = self.listing.clone();
        let touched = std::mem::take(&mut self.touched);
        let volumes = std::mem::take(&mut self.volumes_touched);
        let all = std::mem::take(&mut self.all_touched);
        self.listings.spawn(async move {
            let result = if all {
                listing.refresh(&engine, &touched).await
            } else {
                listing.touch(&engine, &touched, volumes).await
            };
            (listing, result)
        });
    }

    async fn take_listing(&mut self, listing: Listing, result: Result<(), EngineError>) {
        match result {
            Ok(()) => {
                if !self.engine_error.is_empty() {
                    info!("the container engine answers again");
                    self.engine_error.clear();
                }
                self.listing = listing;
            }
            Err(error) => self.lose_engine(&error),
        }
        self.listed = true;
        self.shown.append(&mut self.covered);
        self.rescans = 0;
        self.discover().await;
        self.start_listing();
    }

    fn lose_engine(&mut self, error: &EngineError) {
        let reason = error.to_string();
        if self.engine_error != reason {
            warn!(%reason, "the container engine cannot be asked");
            self.engine_error = reason;
        }
        self.parts.engine.reset();
        self.listed = true;
    }

    /// Reads the process table and takes over what is there.
    async fn discover(&mut self) {
        let containers: Vec<_> = self.listing.containers.values().cloned().collect();
        let now = self.parts.clock.now();
        let found = tokio::task::spawn_blocking(move || {
            let proc = Path::new(PROC);
            let own = i32::try_from(std::process::id()).unwrap_or_default();
            let own = processes::namespaces(proc, own).unwrap_or_default();
            let candidates: Vec<_> = containers
                .into_iter()
                .map(|seen| discover::Candidate {
                    namespaces: seen
                        .init_pid
                        .and_then(|pid| processes::namespaces(proc, pid)),
                    seen,
                })
                .collect();
            let mut servers: Vec<_> = processes::scan(proc)?
                .into_iter()
                .map(Server::Postgres)
                .collect();
            servers.extend(
                mariadb::processes::scan(proc)?
                    .into_iter()
                    .map(Server::Mariadb),
            );
            Ok::<_, std::io::Error>(discover::instances(&candidates, &servers, &own, now))
        })
        .await;
        match found {
            Ok(Ok(found)) => {
                let registered = self.parts.registered.borrow_and_update().clone();
                self.watched.reconcile(found, &registered, Instant::now());
            }
            Ok(Err(error)) => warn!(%error, "the process table cannot be read"),
            Err(error) => warn!(%error, "reading the process table broke off"),
        }
        if self.watched.awaits_a_process() {
            let wait = (RESCAN_FIRST * 2u32.pow(self.rescans.min(8))).min(RESCAN_AT_MOST);
            self.rescans += 1;
            self.rescan_at = Some(Instant::now() + wait);
        }
    }

    fn start_looks(&mut self) {
        for due in self.watched.start_due(Instant::now()) {
            let engine = self.parts.engine.clone();
            let credentials = self.parts.credentials.clone();
            self.looks
                .spawn(async move { look(due, &engine, &credentials).await });
        }
    }

    fn take_look(&mut self, looked: Looked) {
        debug!(instance = %looked.name, "looked at");
        if self.watched.finish(looked, Instant::now()) {
            self.rescan_at.get_or_insert(Instant::now() + RESCAN_FIRST);
        }
    }

    async fn answer(&mut self, ask: Ask) {
        // Who waits for a server that comes up asks again and again.
        if self.parts.registered.has_changed().unwrap_or_default()
            || self.watched.awaits_a_process()
        {
            self.discover().await;
        }
        let now = Instant::now();
        if let Err(answer) = self.watched.ask(&ask.instance, ask.answer, now) {
            // Dropped: who asked learns that there is no such instance.
            drop(answer);
        }
    }

    /// Names of containers that are throwaway servers: found and reached like every other, and nobody's to protect.
    fn sandboxes(&self) -> BTreeSet<&str> {
        let containers = self.listing.containers.values().map(|seen| &seen.container);
        let of_jobs = containers.filter(|container| sandbox::is_one(&container.labels));
        of_jobs.map(|container| container.name.as_str()).collect()
    }

    fn report(&mut self) {
        let waited = self.started.elapsed() >= FIRST_REPORT;
        let complete = self.listed && self.watched.is_complete();
        if !(self.reported || waited || complete) {
            return;
        }
        self.reported = true;
        let events = std::mem::take(&mut self.shown);
        let mut volumes = self.listing.volumes.clone();
        let containers = self.listing.containers.values().map(|seen| &seen.container);
        let containers = containers.filter(|container| !sandbox::is_one(&container.labels));
        volumes.retain(|volume| !sandbox::is_one(&volume.labels));
        volumes::assign_users(&mut volumes, containers.clone());
        let sandboxes = self.sandboxes();
        let mut instances = self.watched.instances();
        instances.retain(|instance| !sandboxes.contains(instance.container.as_str()));
        let snapshot = HostSnapshot {
            containers: containers.cloned().collect(),
            volumes,
            instances,
            container_engine: self.listing.engine.clone(),
            engine_error: self.engine_error.clone(),
        };
        self.parts.reports.publish(snapshot, events);
    }
}

/// Keeps the stream of events open, with growing pauses while the engine is away.
async fn follow_for_ever(
    engine: ContainerEngine,
    clock: SharedClock,
    signals: mpsc::Sender<Signal>,
) {
    let policy = Policy::forever(Duration::from_millis(200), Duration::from_secs(5));
    let mut backoff = policy.backoff();
    let mut position = Position::at(clock.now());
    while !signals.is_closed() {
        let begun = Instant::now();
        if let Err(error) = events::follow(&engine, &mut position, &signals).await {
            let _ = signals.send(Signal::Lost(error)).await;
        }
        engine.reset();
        if begun.elapsed() > Duration::from_secs(30) {
            backoff.reset();
        }
        sleep(backoff.next().unwrap_or(Duration::from_secs(5))).await;
    }
}
