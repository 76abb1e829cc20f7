//! One job in a world of its own: engines that come and go, a clock that jumps over pauses.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::clock::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    agents::{Agents, Databases, Verbs},
    back_up_database, copy, drill_backup,
    fuse::Moment,
    merge_rows, prune_repository, read_repository, rebuild_host, restore_database, volumes,
};
use crate::{
    catalog::testing::TestCatalog,
    job::{Engine, JobId, JobKind, JobSpec, JobState, JobSummary, Settings, Shelf},
};

/// Generous: the machine may be busy, and nothing here waits for time to pass.
const DEADLINE: Duration = Duration::from_secs(60);

/// One request, and what the world looks like before and after it.
#[derive(Debug, Clone)]
pub struct Sample {
    pub name: &'static str,
    pub spec: JobSpec,
    pub before: Databases,
    /// Just after success.
    pub after: fn(JobId) -> Databases,
    /// When the time of what was kept is over.
    pub swept: Databases,
    /// Just after an operator's undo.
    pub undone: fn(JobId) -> Databases,
    /// When the time of what that undo kept is over.
    pub forgotten: Databases,
}

/// All samples of all kinds. A kind without samples does not compile.
pub fn samples() -> Vec<(Verbs, Sample)> {
    JobKind::ALL
        .into_iter()
        .flat_map(|kind| -> Vec<(Verbs, Sample)> {
            match kind {
                JobKind::BackUpDatabase => {
                    let samples = back_up_database::samples().into_iter();
                    samples
                        .map(|sample| (back_up_database::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::RestoreDatabase => {
                    let samples = restore_database::samples().into_iter();
                    samples
                        .map(|sample| (restore_database::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::PruneRepository => {
                    let samples = prune_repository::samples().into_iter();
                    samples
                        .map(|sample| (prune_repository::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::DrillBackup => {
                    let samples = drill_backup::samples().into_iter();
                    samples
                        .map(|sample| (drill_backup::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::MergeRows => {
                    let samples = merge_rows::samples().into_iter();
                    samples
                        .map(|sample| (merge_rows::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::BackUpVolume => {
                    let samples = volumes::backups().into_iter();
                    samples
                        .map(|sample| (volumes::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::RestoreVolume => {
                    let samples = volumes::restores().into_iter();
                    samples
                        .map(|sample| (volumes::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::ReadRepository => {
                    let samples = read_repository::samples().into_iter();
                    samples
                        .map(|sample| (read_repository::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::RebuildHost => {
                    let samples = rebuild_host::samples().into_iter();
                    samples
                        .map(|sample| (rebuild_host::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::DrillVolume => {
                    let samples = volumes::drills().into_iter();
                    samples
                        .map(|sample| (volumes::verbs as Verbs, sample))
                        .collect()
                }
                JobKind::CopyDatabase => {
                    let samples = copy::samples().into_iter();
                    samples
                        .map(|sample| (copy::verbs as Verbs, sample))
                        .collect()
                }
            }
        })
        .collect()
}

/// Stands still until a proof moves it.
#[derive(Debug)]
pub struct JumpingClock(Mutex<DateTime<Utc>>);

impl JumpingClock {
    pub fn advance_to(&self, at: DateTime<Utc>) {
        let mut now = self.0.lock().unwrap();
        *now = at.max(*now);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

pub struct World {
    pub catalog: Arc<TestCatalog>,
    pub clock: Arc<JumpingClock>,
    pub agents: Arc<Agents>,
    /// The repositories; the agents' own if nobody brought others.
    pub shelf: Arc<dyn Shelf>,
    pub sample: Sample,
}

/// An engine that works until it is dropped.
pub struct Running {
    pub engine: Engine,
    shutdown: CancellationToken,
    work: JoinHandle<()>,
}

impl Running {
    /// In good order: nothing is claimed that nobody works on.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.work).await.unwrap();
    }
}

impl Drop for Running {
    /// As a crash: nothing is given back.
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// A catalog for many worlds, with a clock that stands still.
pub async fn catalog() -> (Arc<TestCatalog>, Arc<JumpingClock>) {
    let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let clock = Arc::new(JumpingClock(Mutex::new(start)));
    let catalog = TestCatalog::with_clock(Arc::clone(&clock) as _).await;
    restore_database::stock(&catalog).await;
    volumes::stock(&catalog).await;
    read_repository::stock(&catalog).await;
    (Arc::new(catalog), clock)
}

impl World {
    pub fn new(
        (catalog, clock): &(Arc<TestCatalog>, Arc<JumpingClock>),
        verbs: Verbs,
        sample: &Sample,
    ) -> Self {
        let agents = Arc::new(Agents::new(verbs, sample.before.clone()));
        Self {
            catalog: Arc::clone(catalog),
            clock: Arc::clone(clock),
            shelf: Arc::clone(&agents) as _,
            agents,
            sample: sample.clone(),
        }
    }

    /// An engine at rest.
    pub fn engine(&self, owner: &str) -> Engine {
        self.engine_with(|settings| owner.clone_into(&mut settings.owner))
    }

    pub fn engine_with(&self, change: impl FnOnce(&mut Settings)) -> Engine {
        let mut settings = Settings {
            poll: Duration::from_millis(10),
            ..Settings::default()
        };
        change(&mut settings);
        let agents = Arc::clone(&self.agents);
        Engine::new(
            (**self.catalog).clone(),
            Arc::clone(&agents) as _,
            agents,
            Arc::clone(&self.shelf),
            Arc::clone(&self.clock) as _,
            settings,
        )
    }

    pub fn start(&self, engine: Engine) -> Running {
        let shutdown = CancellationToken::new();
        let (working, token) = (engine.clone(), shutdown.clone());
        let work = tokio::spawn(async move { working.run(token).await });
        Running {
            engine,
            shutdown,
            work,
        }
    }

    pub async fn submit(&self, engine: &Engine) -> JobId {
        let spec = self.sample.spec.clone();
        engine.submit(spec, "operator/alice", "").await.unwrap()
    }

    /// Starts an engine that stands still at the moment; none when the job ended before it.
    pub async fn run_until(&self, job: JobId, engine: Engine, moment: Moment) -> Option<Running> {
        engine.inner.fuse.arm(moment);
        let running = self.start(engine);
        tokio::select! {
            () = running.engine.inner.fuse.burnt() => return Some(running),
            _ = self.ended(job) => {}
        }
        running.stop().await;
        None
    }

    /// Waits for the job's end (or the end of its undo); pauses are jumped over.
    pub async fn ended(&self, job: JobId) -> JobSummary {
        let ended = || async {
            self.jump(job).await;
            let row = self.catalog.job(job).await.unwrap().unwrap();
            let rests = !self.is_leased(job).await;
            let view = row.view();
            (view.state.has_ended() && rests).then_some(view)
        };
        match tokio::time::timeout(DEADLINE, until(ended)).await {
            Ok(view) => view,
            Err(_) => {
                let row = self.catalog.job(job).await.unwrap();
                let events = self.catalog.job_events(job, 0).await.unwrap();
                panic!(
                    "not ended within {DEADLINE:?}: {row:#?} {events:#?} {}",
                    self.context()
                );
            }
        }
    }

    pub async fn state(&self, job: JobId) -> JobState {
        self.ended(job).await.state
    }

    /// None: nobody works on the job.
    pub async fn leased_until(&self, job: JobId) -> Option<DateTime<Utc>> {
        let (until,): (Option<DateTime<Utc>>,) =
            sqlx::query_as("select lease_until from job where id = $1")
                .bind(job.cast_signed())
                .fetch_one(&self.catalog.pool)
                .await
                .unwrap();
        until
    }

    /// Waits for the engine to renew its lease: then it has heard what was wished by then.
    pub async fn renewed(&self, job: JobId, before: Option<DateTime<Utc>>) {
        let renewed = || async { (self.leased_until(job).await != before).then_some(()) };
        tokio::time::timeout(DEADLINE, until(renewed))
            .await
            .expect("the lease is renewed");
    }

    /// Whoever holds the job has lost it: as if another controller had taken it over and died.
    pub async fn expire_lease(&self, job: JobId) {
        sqlx::query(
            "update job set lease_epoch = lease_epoch + 1,
                lease_until = clock_timestamp() - interval '1 s'
             where id = $1 and lease_until is not null",
        )
        .bind(job.cast_signed())
        .execute(&self.catalog.pool)
        .await
        .unwrap();
    }

    pub fn context(&self) -> String {
        format!("{}: work was {:?}", self.sample.name, self.agents.worked())
    }

    /// A lease that is over is held by nobody: an engine that died after the last event leaves one.
    pub async fn is_leased(&self, job: JobId) -> bool {
        let (leased,): (bool,) = sqlx::query_as(
            "select coalesce(lease_until > clock_timestamp(), false) from job where id = $1",
        )
        .bind(job.cast_signed())
        .fetch_one(&self.catalog.pool)
        .await
        .unwrap();
        leased
    }

    /// To the end of a pause before a retry; never to a sweep.
    async fn jump(&self, job: JobId) {
        let (until,): (Option<DateTime<Utc>>,) =
            sqlx::query_as("select not_before from job where id = $1 and ended_at is null")
                .bind(job.cast_signed())
                .fetch_optional(&self.catalog.pool)
                .await
                .unwrap()
                .unwrap_or((None,));
        if let Some(until) = until {
            self.clock.advance_to(until);
        }
    }
}

/// Asks until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    match tokio::time::timeout(DEADLINE, until(ask)).await {
        Ok(answer) => answer,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

async fn until<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
