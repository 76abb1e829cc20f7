//! The fleet holds exactly the hosts that have a certificate which is not revoked.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_proto::names::HostName;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::{Catalog, CatalogError},
    dispatch::sessions::{EndReason, Sessions},
    fleet::Fleet,
};

/// What another controller enrolled or removed is seen after this long at most.
const AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// Cheap to clone; all clones ring the same bell.
#[derive(Debug, Clone)]
pub struct Enrolled {
    catalog: Catalog,
    fleet: Fleet,
    sessions: Sessions,
    bell: Arc<Notify>,
}

impl Enrolled {
    #[must_use]
    pub fn new(catalog: Catalog, fleet: Fleet, sessions: Sessions) -> Self {
        Self {
            catalog,
            fleet,
            sessions,
            bell: Arc::default(),
        }
    }

    /// Somebody was enrolled or removed: look soon.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Runs until `stop`; looks at once.
    pub async fn run(&self, stop: CancellationToken) {
        let mut failing = false;
        loop {
            match self.pass().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "who is enrolled is not known anew until the catalog is back"
                    );
                }
                Err(_) => {}
            }
            let until_next = async {
                tokio::select! {
                    () = self.bell.notified() => {}
                    () = tokio::time::sleep(AT_LEAST_EVERY) => {}
                }
            };
            if stop.run_until_cancelled(until_next).await.is_none() {
                return;
            }
        }
    }

    /// Brings the fleet and table `host` to what the certificates say.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn pass(&self) -> Result<(), CatalogError> {
        // Before the certificates are read: who enrols meanwhile is not taken for removed.
        let known = self.fleet.hosts();
        let enrolled = self.enrolled().await?;
        for (host, at) in &enrolled {
            let is_new = !known
                .iter()
                .any(|state| state.name == *host && state.enrolled_at == Some(*at));
            if is_new {
                self.catalog.add_host(host, *at).await?;
                self.fleet.enrolled(host, *at);
            }
        }
        for state in known {
            if !enrolled.contains_key(&state.name) {
                self.sessions.end(&state.name, EndReason::Revoked);
                self.catalog.remove_host(&state.name).await?;
                self.fleet.removed(&state.name);
            }
        }
        Ok(())
    }

    async fn enrolled(&self) -> Result<HashMap<HostName, DateTime<Utc>>, CatalogError> {
        let subjects = self.catalog.enrolled_subjects("host/%").await?;
        let named = subjects.into_iter().filter_map(|row| {
            let name = row.subject.strip_prefix("host/")?.parse().ok()?;
            Some((name, row.enrolled_at))
        });
        Ok(named.collect())
    }
}
