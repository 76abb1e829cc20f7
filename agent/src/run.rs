//! The whole agent at work: observer, checks, tasks and the link, until it is told to end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use holdfast_chassis::{
    clock::{Clock, SharedClock, SystemClock},
    telemetry::Chain,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    check,
    config::Config,
    container::{ContainerEngine, held},
    credentials::Credentials,
    guard::{keep, paths::Paths, token, untold},
    identity::{self, Enrolment},
    link::{self, Facts},
    observe::{host, instances::Instances, observer, registrations, reports::Reports},
    peer::{Grants, Peers, Refusals},
    repository::Repositories,
    task::{Environment, perform, runtime::Runtime},
};

/// How long running tasks may tidy up when the agent is told to end.
const TIDY_UP: Duration = Duration::from_secs(20);
/// Of everything else; what is not over then is ended with the process.
const PARTS_END: Duration = Duration::from_secs(3);
/// Requests for a look at an instance that wait for the observer.
const ASKS: usize = 32;

/// Why the agent cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot read which jobs this host has seen, in {}", .state_dir.display())]
    Fence {
        state_dir: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("a part of the agent has ended by a defect; the log says which")]
    Part,
}

/// Works until `shutdown`, then ends its tasks and goes.
///
/// # Errors
/// When what the agent must remember cannot be read.
pub async fn run(
    config: Config,
    enrolment: Enrolment,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let controllers = match config.controllers.as_slice() {
        [] => vec![enrolment.controller.clone()],
        configured => configured.to_vec(),
    };
    info!(host = %enrolment.host, controllers = %controllers.join(", "), "the agent begins");
    for (job, names) in held::all(&config.state_dir) {
        let names = names.join(", ");
        warn!(job, %names, "containers are stopped for a job, and are started when it goes on");
    }
    let peers = Peers {
        identity: enrolment.identity.clone(),
        roots: enrolment.roots.clone(),
        controllers: controllers.clone().into(),
        grants: Grants::default(),
        refusals: Refusals::default(),
    };
    let guard = Paths::of(&config.state_dir);
    let containers = engine(&config, &guard);
    let instances = Instances::default();
    let reports = Reports::default();
    let (ask, asked) = mpsc::channel(ASKS);
    let environment = Environment {
        instances: instances.clone(),
        containers: containers.clone(),
        backups: Arc::new(Repositories {
            identity: enrolment.identity.clone(),
            roots: enrolment.roots.clone(),
            controllers: controllers.clone().into(),
        }),
        state_dir: config.state_dir.clone(),
        peers: peers.clone(),
        clock: Arc::clone(&clock),
        observer: ask,
    };
    let runtime = tasks(&config, &environment)?;
    let stored = registrations::path(&config.state_dir);
    let registered = watch::Sender::new(registrations::load(&stored));
    let (checks, schedule) = watch::channel(Vec::new());
    let (protections, told) = watch::channel(None);
    let (untold, refused) = watch::channel(Vec::new());
    let (refusals_stored, stored_until) = watch::channel(None);
    let (report, check_reports) = mpsc::channel(check::REPORTS_KEPT);

    let mut parts = JoinSet::new();
    parts.spawn(identity::keep_renewed(
        enrolment.clone(),
        controllers.clone(),
        Arc::clone(&clock),
        shutdown.clone(),
    ));
    parts.spawn(observer::run(
        observer::Parts {
            engine: containers.clone(),
            credentials: Credentials::path(&config.state_dir),
            clock: Arc::clone(&clock),
            interval: config.report_interval,
            reports: reports.clone(),
            instances,
            registered: registered.subscribe(),
            asked,
        },
        shutdown.clone(),
    ));
    if let Some(address) = config.peer.listen {
        let (clock, shutdown) = (Arc::clone(&clock), shutdown.clone());
        tokio::spawn(listen(peers.clone(), address, clock, shutdown));
    }
    parts.spawn(keep::run(
        enrolment.host.clone(),
        guard.clone(),
        reports.clone(),
        told,
        Arc::clone(&clock),
        shutdown.clone(),
    ));
    parts.spawn(untold::run(
        guard,
        reports.subscribe(),
        untold,
        stored_until,
        shutdown.clone(),
    ));
    parts.spawn(registrations::keep(stored, registered.subscribe()));
    parts.spawn(check::run(environment, schedule, report, shutdown.clone()));
    parts.spawn(link::run(
        link::Parts {
            controllers,
            identity: enrolment.identity,
            roots: enrolment.roots,
            facts: facts(&config, enrolment.host, clock.as_ref()),
            clock,
            runtime: runtime.clone(),
            reports,
            registered,
            checks,
            protections,
            check_reports,
            refusals: peers.refusals,
            untold: refused,
            stored: refusals_stored,
        },
        shutdown.clone(),
    ));
    let whole = tokio::select! {
        () = shutdown.cancelled() => true,
        // None of them ends by itself but by a defect, and half an agent reports half a host.
        _ = parts.join_next() => shutdown.is_cancelled(),
    };
    shutdown.cancel();
    let _ = timeout(TIDY_UP, runtime.shut_down()).await;
    let _ = timeout(PARTS_END, async {
        while parts.join_next().await.is_some() {}
    })
    .await;
    info!("ended");
    if whole { Ok(()) } else { Err(RunError::Part) }
}

/// An agent that cannot listen works all the same: images then come through the controller.
async fn listen(
    peers: Peers,
    address: SocketAddr,
    clock: SharedClock,
    shutdown: CancellationToken,
) {
    if let Err(error) = peers.serve(address, clock, shutdown).await {
        let error = Chain(&error);
        error!(%error, "other agents cannot reach this one directly");
    }
}

/// Known to the guard, where there is one, as the agent's own.
fn engine(config: &Config, guard: &Paths) -> ContainerEngine {
    let token = guard
        .prepare()
        .map_err(|error| error.to_string())
        .and_then(|()| {
            token::load_or_make(&guard.token()).map_err(|error| Chain(&error).to_string())
        });
    match token {
        Ok(token) => ContainerEngine::with_token(config.sockets.clone(), &token),
        Err(error) => {
            warn!(error, "a guard would take this agent for anybody");
            ContainerEngine::new(config.sockets.clone())
        }
    }
}

fn tasks(config: &Config, environment: &Environment) -> Result<Runtime, RunError> {
    let environment = environment.clone();
    let perform = move |spec, progress, cancel| {
        let context = environment.context(progress, cancel);
        let work = async move { perform(spec, &context).await };
        Box::pin(work) as futures::future::BoxFuture<'static, _>
    };
    Runtime::new(&config.state_dir, Arc::new(perform)).map_err(|source| RunError::Fence {
        state_dir: config.state_dir.clone(),
        source,
    })
}

fn facts(config: &Config, host: String, clock: &dyn Clock) -> Facts {
    Facts {
        host,
        run_id: Uuid::now_v7().to_string(),
        started_at: clock.now(),
        operating_system: host::operating_system(),
        kernel: host::kernel(),
        cpus: host::cpus(),
        memory_bytes: host::memory(),
        advertise: config.peer.advertise.clone(),
        peer_port: config.peer.listen.map(|address| address.port()),
    }
}
