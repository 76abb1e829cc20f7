//! The lease on a job: renewed while the work goes on; when it is lost the work stops at once.

use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use super::{JobId, engine::Inner};
use crate::catalog::{Claim, Wishes};

/// What the runner knows of the lease that it works under.
#[derive(Debug)]
pub struct Lease {
    pub job: JobId,
    pub epoch: u64,
    wishes: watch::Sender<Wishes>,
}

impl Lease {
    #[must_use]
    pub fn new(claim: &Claim) -> Self {
        let wishes = Wishes {
            cancel_by: claim.job.cancel_requested_by.clone(),
            undo_by: claim.job.undo_requested_by.clone(),
        };
        Self {
            job: claim.job.id,
            epoch: claim.epoch,
            wishes: watch::Sender::new(wishes),
        }
    }

    /// What operators have asked for until now.
    #[must_use]
    pub fn wishes(&self) -> Wishes {
        self.wishes.borrow().clone()
    }

    /// What the catalog told just now. Answers may cross: a cancellation that is known stays known.
    pub fn learn(&self, told: Wishes) {
        self.wishes.send_if_modified(|known| {
            let wishes = Wishes {
                cancel_by: told.cancel_by.or_else(|| known.cancel_by.clone()),
                undo_by: told.undo_by,
            };
            let changed = *known != wishes;
            *known = wishes;
            changed
        });
    }

    /// Returns when somebody asks for the job's cancellation.
    pub async fn cancel_wished(&self) {
        let mut wishes = self.wishes.subscribe();
        while wishes.borrow_and_update().cancel_by.is_none() {
            if wishes.changed().await.is_err() {
                // The sender is `self`: it cannot be gone.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Renews, and picks up wishes; returns only when the lease is lost.
    pub(super) async fn hold(&self, inner: &Inner) {
        let lease = inner.settings.lease;
        let mut rung = inner.rung.subscribe();
        // The claim was a moment ago, by the catalog's clock; ours only measures time passed.
        let mut renewed = Instant::now();
        loop {
            next_look(self.job, lease / 3, &mut rung).await;
            let asked = Instant::now();
            let catalog = &inner.world.catalog;
            let answer = catalog.renew_lease(self.job, self.epoch, lease);
            match tokio::time::timeout(lease.saturating_sub(renewed.elapsed()), answer).await {
                Ok(Ok(Some(wishes))) => {
                    renewed = asked;
                    self.learn(wishes);
                }
                Ok(Ok(None)) => {
                    tracing::warn!(
                        job = self.job,
                        epoch = self.epoch,
                        "the lease is lost: another controller has the job"
                    );
                    return;
                }
                Ok(Err(error)) => {
                    tracing::warn!(
                        job = self.job,
                        error = &error as &dyn std::error::Error,
                        "cannot renew the lease"
                    );
                }
                Err(_) => {}
            }
            if renewed.elapsed() >= lease {
                tracing::warn!(
                    job = self.job,
                    epoch = self.epoch,
                    "the lease ran out before the catalog answered"
                );
                return;
            }
        }
    }
}

/// After the pause, or when the job rings.
async fn next_look(job: JobId, pause: Duration, rung: &mut broadcast::Receiver<JobId>) {
    let ring = async {
        loop {
            match rung.recv().await {
                Ok(which) if which != job => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        () = ring => {}
        () = tokio::time::sleep(pause) => {}
    }
}
