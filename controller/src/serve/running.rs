//! Everything that works over the catalog: the registrar, the services, the job engine, the loops.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use chrono::TimeDelta;
use holdfast_chassis::clock::SharedClock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    ServeError,
    address::{Reserved, advertised},
};
use crate::{
    catalog::Catalog,
    config::Config,
    dispatch::{Dispatch, SessionDispatch, sessions::Sessions},
    fleet::{Fleet, Persister},
    identity::{Registrar, Settings},
    job::engine::{self, Engine},
    reconcile::{
        enrolled::Enrolled,
        findings::{self, Lookers},
        push::Push,
        scheduler::Scheduler,
        triages::Triages,
        upkeep::Upkeep,
    },
    repository::{Repositories, direct::Direct},
    rpc::{assembly, operator::Services},
};

/// How often the engine looks for jobs that nobody rang for.
const POLL: Duration = Duration::from_secs(1);
/// How long calls that are under way may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// What runs until it is told to stop. Stopped in this order: jobs are given back while their
/// agents are still connected, then the sessions end, then what they left is written.
#[derive(Debug)]
pub struct Running {
    jobs: Group,
    services: Group,
    loops: Group,
    pub listening: SocketAddr,
    pub advertised: String,
}

/// Tasks that end together.
#[derive(Debug, Default)]
struct Group {
    stop: CancellationToken,
    tasks: JoinSet<Ended>,
}

/// A task of the controller that has ended, and why when it was not asked to.
#[derive(Debug)]
pub struct Ended {
    pub what: &'static str,
    pub error: Option<tonic::transport::Error>,
}

/// What the configuration says about identities.
pub fn identity_settings(config: &Config, state_dir: &Path, listening: SocketAddr) -> Settings {
    Settings {
        state_dir: state_dir.to_owned(),
        certificate_life: config.identity.certificate_life,
        token_life: config.identity.token_life,
        address: advertised(config.advertise.as_deref(), listening),
    }
}

impl Running {
    /// Opens the authority, loads the fleet and starts everything; the address is opened last.
    ///
    /// # Errors
    /// When the authority, the catalog or the address cannot be used.
    pub async fn start(
        config: &Config,
        state_dir: &Path,
        catalog: Catalog,
        clock: SharedClock,
        reserved: Reserved,
    ) -> Result<Self, ServeError> {
        let listening = reserved.address();
        let settings = identity_settings(config, state_dir, listening);
        let advertised = settings.address.clone();
        let registrar = Registrar::open(settings, catalog.clone()).await?;
        registrar.leave_bootstrap_token().await?;
        let services = services(config, state_dir, registrar, catalog, clock).await?;
        let mut running = Self {
            jobs: Group::default(),
            services: Group::default(),
            loops: Group::default(),
            listening,
            advertised,
        };
        running.start_loops(config, state_dir, &services);
        let jobs = services.jobs.clone();
        running.jobs.start("the job engine", async move |stop| {
            jobs.run(stop).await;
            None
        });
        running.open(config, &services, reserved)?;
        Ok(running)
    }

    /// Resolves when something ended that nobody asked to.
    pub async fn failed(&mut self) -> ServeError {
        let ended = tokio::select! {
            ended = self.jobs.next() => ended,
            ended = self.services.next() => ended,
            ended = self.loops.next() => ended,
        };
        ServeError::Ended {
            what: ended.what,
            source: ended.error,
        }
    }

    /// Each group waits for the one before it.
    pub async fn stop(self) {
        self.jobs.stop(GRACE).await;
        self.services.stop(GRACE).await;
        self.loops.stop(GRACE).await;
    }

    fn start_loops(&mut self, config: &Config, state_dir: &Path, services: &Services) {
        let registrar = services.registrar.clone();
        self.loops
            .start("the renewal of certificates", async move |stop| {
                registrar.run(stop).await;
                None
            });
        let enrolled = services.enrolled.clone();
        self.loops.start("the list of hosts", async move |stop| {
            enrolled.run(stop).await;
            None
        });
        let push = services.push.clone();
        self.loops
            .start("the lists that agents work by", async move |stop| {
                push.run(stop).await;
                None
            });
        let persister = Persister::new(services.fleet.clone(), services.catalog.clone());
        self.loops
            .start("the picture of the fleet", async move |stop| {
                persister.run(stop).await;
                None
            });
        let (catalog, fleet) = (services.catalog.clone(), services.fleet.clone());
        let history = TimeDelta::days(i64::from(config.checks.history_days));
        let triages = Triages::new(
            Arc::clone(&services.dispatch),
            fleet.clone(),
            catalog.clock.clone(),
        );
        let upkeep = Upkeep::new(
            services.repositories.clone(),
            catalog.clone(),
            state_dir.to_owned(),
        );
        let lookers = Lookers { triages, upkeep };
        self.loops.start("the findings", async move |stop| {
            findings::run(catalog, fleet, lookers, history, stop).await;
            None
        });
        let (catalog, fleet) = (services.catalog.clone(), services.fleet.clone());
        let scheduler = Scheduler::new(catalog, fleet, Arc::new(services.jobs.clone()));
        self.loops.start("the schedules", async move |stop| {
            scheduler.run(stop).await;
            None
        });
    }

    fn open(
        &mut self,
        config: &Config,
        services: &Services,
        reserved: Reserved,
    ) -> Result<(), ServeError> {
        let address = reserved.address();
        let listener = reserved
            .open()
            .map_err(|source| ServeError::Listen { address, source })?;
        let incoming = services.registrar.incoming(listener)?;
        let interval = config.session.heartbeat_interval;
        let router = assembly::router(services, interval, self.services.stop.clone());
        self.services.start("the service", async move |stop| {
            router
                .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
                .await
                .err()
        });
        Ok(())
    }
}

impl Group {
    fn start<Work>(&mut self, what: &'static str, work: impl FnOnce(CancellationToken) -> Work)
    where
        Work: Future<Output = Option<tonic::transport::Error>> + Send + 'static,
    {
        let work = work(self.stop.clone());
        self.tasks.spawn(async move {
            Ended {
                what,
                error: work.await,
            }
        });
    }

    /// The first that ends; of a panic the hook has told already.
    async fn next(&mut self) -> Ended {
        match self.tasks.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Ended {
                what: "a part that panicked",
                error: None,
            },
            None => std::future::pending().await,
        }
    }

    async fn stop(mut self, patience: Duration) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(
                seconds = patience.as_secs(),
                "not everything ended in time: it is ended now"
            );
            self.tasks.shutdown().await;
        }
    }
}

async fn services(
    config: &Config,
    state_dir: &Path,
    registrar: Registrar,
    catalog: Catalog,
    clock: SharedClock,
) -> Result<Services, ServeError> {
    let known = catalog.load_fleet().await.map_err(ServeError::Catalog)?;
    let fleet = Fleet::from_known(known);
    let sessions = Sessions::new(clock.clone());
    let dispatch: Arc<dyn Dispatch> = Arc::new(SessionDispatch::new(
        sessions.clone(),
        config.session.host_patience,
    ));
    let environment = |name: &str| std::env::var(name).ok();
    let place = config.repository.place(state_dir, environment)?;
    let direct = Direct::of(&config.repository, &place, environment)?;
    let repositories = Repositories::open(state_dir, &place, catalog.clone())
        .await?
        .handing_out(direct);
    let jobs = Engine::new(
        catalog.clone(),
        dispatch.clone(),
        Arc::new(fleet.clone()),
        Arc::new(repositories.clone()),
        clock.clone(),
        engine_settings(config),
    );
    Ok(Services {
        repositories,
        push: Push::new(catalog.clone(), sessions.clone(), clock.clone()),
        enrolled: Enrolled::new(catalog.clone(), fleet.clone(), sessions.clone()),
        registrar,
        catalog,
        fleet,
        sessions,
        dispatch,
        jobs,
        clock,
    })
}

fn engine_settings(config: &Config) -> engine::Settings {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    engine::Settings {
        // Another process on the same machine is another owner.
        owner: format!("{name}/{}", std::process::id()),
        max_running: config.jobs.concurrent as usize,
        lease: config.jobs.lease,
        poll: POLL,
        keep: config.jobs.keep_replaced,
    }
}
