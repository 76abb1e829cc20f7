//! Claims jobs and works on them, as many at a time as configured. Holds nothing that is not in
//! the catalog: an engine that is gone is replaced by any other.

use std::{sync::Arc, time::Duration};

use holdfast_chassis::clock::SharedClock;
use sqlx::postgres::PgListener;
use tokio::{
    sync::{Semaphore, broadcast},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{JobId, hosts::Hosts, progress::Board, runner, shelf::Shelf, step::World};
use crate::{
    catalog::{Catalog, CatalogError, Claim, Claimable, JOB_CHANNEL},
    dispatch::Dispatch,
};

/// Watchers and runners that lag further behind look at the catalog instead.
const BACKLOG: usize = 1024;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Shown in the history of a job that was taken over: "controller-1".
    pub owner: String,
    /// Jobs that run at the same time here.
    pub max_running: usize,
    /// A controller that is gone for longer loses its jobs to others.
    pub lease: Duration,
    /// How often the catalog is looked at when nothing rings.
    pub poll: Duration,
    /// How long a copy keeps what it replaced when the request does not say.
    pub keep: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            owner: "controller".to_owned(),
            max_running: 4,
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            keep: Duration::from_hours(24),
        }
    }
}

/// Cheap to clone; all clones are the same engine.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub world: World,
    pub settings: Settings,
    pub board: Board,
    /// Jobs in which something changed: a hint, polling is the truth.
    pub rung: broadcast::Sender<JobId>,
    /// Where the proofs make this engine die or pause.
    #[cfg(test)]
    pub fuse: super::proofs::Fuse,
}

impl Engine {
    /// An engine at rest; [`Self::run`] makes it work.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        dispatch: Arc<dyn Dispatch>,
        hosts: Arc<dyn Hosts>,
        shelf: Arc<dyn Shelf>,
        clock: SharedClock,
        settings: Settings,
    ) -> Self {
        let world = World {
            catalog,
            dispatch,
            hosts,
            shelf,
            clock,
        };
        Self {
            inner: Arc::new(Inner {
                world,
                settings,
                board: Board::default(),
                rung: broadcast::Sender::new(BACKLOG),
                #[cfg(test)]
                fuse: super::proofs::Fuse::default(),
            }),
        }
    }

    /// What applies when a request does not say.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.inner.world.catalog
    }

    /// The fleet as jobs see it.
    #[must_use]
    pub fn hosts(&self) -> &dyn Hosts {
        &*self.inner.world.hosts
    }

    /// Works until the token is cancelled. Jobs that run then are given back: whoever claims them
    /// next joins their tasks.
    pub async fn run(&self, shutdown: CancellationToken) {
        let inner = &self.inner;
        let places = Arc::new(Semaphore::new(inner.settings.max_running));
        let mut rung = inner.rung.subscribe();
        // Sets, so that nothing goes on when this future is dropped.
        let (mut running, mut listening) = (JoinSet::new(), JoinSet::new());
        listening.spawn(listen(Arc::clone(inner), shutdown.clone()));
        while !shutdown.is_cancelled() {
            loop {
                let place = Arc::clone(&places).try_acquire_owned().ok();
                let which = match place {
                    Some(_) => Claimable::Any,
                    // Its end needs no place, and must not wait behind hours of work.
                    None => Claimable::OverBeforeItBegan,
                };
                match self.claim(which).await {
                    Ok(Some(claim)) => {
                        let work = runner::work(Arc::clone(inner), claim, shutdown.clone());
                        running.spawn(async move {
                            work.await;
                            drop(place);
                        });
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "cannot look for jobs"
                        );
                        break;
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = rung.recv() => {}
                Some(_) = running.join_next(), if !running.is_empty() => {}
                () = tokio::time::sleep(inner.settings.poll) => {}
            }
        }
        while running.join_next().await.is_some() {}
        while listening.join_next().await.is_some() {}
    }

    async fn claim(&self, which: Claimable) -> Result<Option<Claim>, CatalogError> {
        let Inner {
            world, settings, ..
        } = &*self.inner;
        world
            .catalog
            .claim_job(&settings.owner, settings.lease, which, world.clock.now())
            .await
    }
}

/// Turns the catalog's notifications into rings; without them everything works, only later.
async fn listen(inner: Arc<Inner>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let heard = tokio::select! {
            () = shutdown.cancelled() => return,
            heard = hear(&inner) => heard,
        };
        if let Err(error) = heard {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "not listening to the catalog"
            );
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(inner.settings.poll) => {}
        }
    }
}

async fn hear(inner: &Inner) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(&inner.world.catalog.pool).await?;
    listener.listen(JOB_CHANNEL).await?;
    loop {
        let note = listener.recv().await?;
        if let Ok(job) = note.payload().parse() {
            // Nobody waits: fine.
            let _ = inner.rung.send(job);
        }
    }
}
