//! Every call comes by here: memory decides, the engine is asked for the rest, and nothing takes longer than it may.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use holdfast_chassis::{clock::SharedClock, telemetry::Chain};
use holdfast_proto::guard::{GuardProcess, GuardedData};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use tracing::{info, warn};

use super::{
    ask,
    claims::Claims,
    decide::{Engine, Verdict, View, decide},
    facts::{Container, Facts, Mounted},
    journal::{self, Refused},
    paths::Paths,
    place,
    plugin::Read,
    refusal::Refusal,
    request::Request,
    target::Target,
    token::HEADER,
};
use crate::container::ContainerEngine;

/// Of one call, everything included; what could destroy is refused then.
const LONGEST: Duration = Duration::from_secs(3);
/// Of that for the engine's word.
const ENGINE_ANSWERS: Duration = Duration::from_secs(2);
/// A refusal is told before it is on the disk when that takes longer.
const JOURNAL_TAKES: Duration = Duration::from_secs(1);
/// Questions to the engine at once.
const QUESTIONS: usize = 8;

#[derive(Debug)]
pub struct Gate {
    paths: Paths,
    engine: ContainerEngine,
    token: String,
    clock: SharedClock,
    since: DateTime<Utc>,
    facts: Mutex<Loaded>,
    claims: Mutex<Claims>,
    questions: Semaphore,
    calls: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Loaded {
    /// Of the file that was read: inode, length, modification. A file that is replaced has another one.
    stamp: Option<(u64, u64, i64, i64)>,
    facts: Option<Arc<Facts>>,
    trouble: Option<String>,
}

impl Gate {
    #[must_use]
    pub fn new(paths: Paths, engine: ContainerEngine, token: String, clock: SharedClock) -> Self {
        Self {
            paths,
            engine,
            token,
            since: clock.now(),
            clock,
            facts: Mutex::default(),
            claims: Mutex::default(),
            questions: Semaphore::new(QUESTIONS),
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    #[must_use]
    pub fn standing(&self) -> GuardProcess {
        let facts = self.facts();
        let data = facts.iter().flat_map(|facts| &facts.data);
        GuardProcess {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since,
            calls: self.calls.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            data: data.map(GuardedData::from).collect(),
            told_at: facts.as_ref().map(|facts| facts.written_at),
            trouble: lock(&self.facts).trouble.clone().unwrap_or_default(),
        }
    }

    /// Before the engine does it.
    ///
    /// # Errors
    /// The refusal, which is in the journal then.
    pub async fn before(&self, read: &Read) -> Result<(), Refusal> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let request = Request::parse(read.call());
        if request == Request::Other || read.header(HEADER) == Some(&self.token) {
            return Ok(());
        }
        let judged = timeout(LONGEST, self.judge(&request, read.fingerprint())).await;
        let judged = judged.unwrap_or_else(|_| Err(Refusal::unchecked("what this call is about")));
        if let Err(refusal) = &judged {
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.note(refusal, read).await;
        }
        judged
    }

    /// After the engine has done it, or failed to.
    pub fn after(&self, read: &Read) {
        match Request::parse(read.call()) {
            Request::Create(_) => {
                let id = read.made();
                lock(&self.claims).created(read.fingerprint(), id.as_deref());
            }
            Request::Start { container } => {
                lock(&self.claims).started(&container, read.succeeded());
            }
            _ => {}
        }
    }

    async fn judge(&self, request: &Request, fingerprint: u128) -> Result<(), Refusal> {
        let facts = self.facts().unwrap_or_else(|| Arc::new(self.no_facts()));
        let facts = self.with_devices(facts);
        let mounts = resolved(request, &facts).await;
        let verdict = self.decide(&facts, Engine::NotAsked, request, &mounts, fingerprint);
        let verdict = match verdict {
            Verdict::Ask => {
                let containers = self.ask(&facts).await;
                let engine = containers.as_deref().map_or(Engine::Silent, Engine::Says);
                self.decide(&facts, engine, request, &mounts, fingerprint)
            }
            decided => decided,
        };
        match verdict {
            Verdict::Allow => Ok(()),
            Verdict::Deny(refusal) => Err(refusal),
            Verdict::Ask => Err(Refusal::unchecked("what this call is about")),
        }
    }

    /// Decides, and claims what passes, in one: nobody else comes in between.
    fn decide(
        &self,
        facts: &Facts,
        engine: Engine<'_>,
        request: &Request,
        mounts: &[Mounted],
        fingerprint: u128,
    ) -> Verdict {
        let now = self.clock.now();
        let mut claims = lock(&self.claims);
        claims.tidy(now);
        let view = View {
            facts,
            claims: &claims,
            engine,
            now,
        };
        let verdict = decide(view, request, mounts);
        if verdict != Verdict::Allow {
            return verdict;
        }
        match request {
            Request::Create(create) => {
                let all = view.all_mounts(create, mounts);
                let all = all.unwrap_or_else(|_| mounts.to_vec());
                claims.create(fingerprint, create, all, now);
            }
            Request::Start { container } => {
                for found in view.starting(container) {
                    if reaches_any(&found, facts) {
                        claims.start(&found, container, now);
                    }
                }
            }
            Request::CreateVolume {
                volume,
                device: Some(device),
            } => claims.device(volume, device.clone()),
            _ => {}
        }
        verdict
    }

    /// None: the engine did not answer in time.
    async fn ask(&self, facts: &Arc<Facts>) -> Option<Vec<Container>> {
        let asked = async {
            let _slot = self.questions.acquire().await.ok()?;
            match ask::containers(&self.engine).await {
                Ok(listed) => Some(listed),
                Err(error) => {
                    let error = Chain(&error);
                    warn!(%error, "the engine does not tell its containers");
                    None
                }
            }
        };
        let listed = timeout(ENGINE_ANSWERS, asked).await.ok().flatten()?;
        let facts = Arc::clone(facts);
        let read = move || {
            listed
                .into_iter()
                .map(|one| ask::read(one, &facts))
                .collect()
        };
        spawn_blocking(read).await.ok()
    }

    /// The newest that can be read. Costs a `stat`.
    fn facts(&self) -> Option<Arc<Facts>> {
        let path = self.paths.facts();
        let stamp = fs::metadata(&path).ok();
        let stamp =
            stamp.map(|found| (found.ino(), found.len(), found.mtime(), found.mtime_nsec()));
        let mut loaded = lock(&self.facts);
        if stamp.is_some() && stamp != loaded.stamp {
            loaded.stamp = stamp;
            match Facts::load(&path) {
                Ok(facts) => {
                    loaded.facts = facts.map(Arc::new);
                    loaded.trouble = None;
                }
                Err(error) => {
                    let error = Chain(&error).to_string();
                    warn!(%error, "the agent's facts cannot be read: older ones are used");
                    loaded.trouble = Some(error);
                }
            }
        }
        loaded.facts.clone()
    }

    fn no_facts(&self) -> Facts {
        Facts::none("HOST", self.clock.now())
    }

    /// With the volumes that were made since the facts were written.
    fn with_devices(&self, facts: Arc<Facts>) -> Arc<Facts> {
        let claims = lock(&self.claims);
        let new: Vec<(String, PathBuf)> = claims
            .devices()
            .filter(|(volume, _)| !facts.devices.contains_key(volume))
            .cloned()
            .collect();
        if new.is_empty() {
            return facts;
        }
        let mut facts = Arc::unwrap_or_clone(facts);
        facts.devices.extend(new);
        Arc::new(facts)
    }

    async fn note(&self, refusal: &Refusal, read: &Read) {
        let call = read.call();
        let refused = Refused {
            at: self.clock.now(),
            rule: refusal.rule,
            place: refusal.place.clone(),
            call: format!("{} {}", call.method, Target::parse(call.uri).path.join("/")),
            sentence: refusal.sentence.clone(),
        };
        info!(call = refused.call, "refused: {}", refused.sentence);
        let path = self.paths.refusals();
        let write = spawn_blocking(move || journal::append(&path, &refused));
        match timeout(JOURNAL_TAKES, write).await {
            Ok(Ok(Err(error))) => warn!(%error, "a refusal could not be kept"),
            Ok(_) => {}
            Err(_) => warn!("a refusal is not kept yet: the disk is slow"),
        }
    }
}

async fn resolved(request: &Request, facts: &Arc<Facts>) -> Vec<Mounted> {
    let facts = Arc::clone(facts);
    let resolve: Box<dyn FnOnce() -> Vec<Mounted> + Send> = match request {
        Request::Create(create) if !create.mounts.is_empty() => {
            let asked = create.mounts.clone();
            Box::new(move || place::resolve(&asked, &facts))
        }
        Request::CreateVolume {
            device: Some(device),
            ..
        } => {
            let device = device.clone();
            Box::new(move || {
                vec![Mounted {
                    volume: None,
                    path: Some(place::folder(&device, &facts)),
                    destination: PathBuf::new(),
                    read_only: false,
                }]
            })
        }
        _ => return Vec::new(),
    };
    spawn_blocking(resolve).await.unwrap_or_default()
}

fn reaches_any(container: &Container, facts: &Facts) -> bool {
    let mounts = || container.mounts.iter();
    let mut data = facts.data.iter();
    data.any(|data| mounts().any(|mount| place::reaches(mount, data, false)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
