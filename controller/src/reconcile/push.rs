//! Every connected agent has the registered instances, the checks and the protections of its host: whole lists, when
//! they differ.

use std::{collections::HashMap, sync::Arc, time::Duration};

use holdfast_chassis::clock::SharedClock;
use holdfast_proto::{check::ScheduledCheck, names::HostName};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::{Catalog, CatalogError},
    dispatch::sessions::{Lists, Sessions},
    guard,
};

/// What another controller changed is seen after this long at most.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// Cheap to clone; all clones ring the same bell.
#[derive(Debug, Clone)]
pub struct Push {
    catalog: Catalog,
    sessions: Sessions,
    clock: SharedClock,
    bell: Arc<Notify>,
}

impl Push {
    #[must_use]
    pub fn new(catalog: Catalog, sessions: Sessions, clock: SharedClock) -> Self {
        Self {
            catalog,
            sessions,
            clock,
            bell: Arc::default(),
        }
    }

    /// Something changed: look soon.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Runs until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut failing = false;
        let until_next = || async {
            tokio::select! {
                () = self.bell.notified() => {}
                () = tokio::time::sleep(AT_LEAST_EVERY) => {}
            }
        };
        while stop.run_until_cancelled(until_next()).await.is_some() {
            self.sessions.forget_stale();
            match self.pass().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "agents keep the checks and registered instances that they have until the catalog is back"
                    );
                }
                Err(_) => {}
            }
        }
    }

    /// Gives every connected agent what changed.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn pass(&self) -> Result<(), CatalogError> {
        let open = self.sessions.open();
        if open.is_empty() {
            return Ok(());
        }
        let mut lists = self.all().await?;
        let gathered = guard::gather(&self.catalog).await?;
        let mut protections = guard::protections(&gathered, self.clock.now());
        for session in open {
            let mut own = lists.remove(session.host()).unwrap_or_default();
            let protections = protections.remove(session.host());
            own.protections = Some(protections.unwrap_or_default());
            session.show(own);
        }
        Ok(())
    }

    /// Gives one host's agent what changed, if it is connected.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn host(&self, host: &HostName) -> Result<(), CatalogError> {
        if let Some(session) = self.sessions.current(host) {
            session.show(self.lists(host).await?);
        }
        Ok(())
    }

    /// What the agent of a host shall have now.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn lists(&self, host: &HostName) -> Result<Lists, CatalogError> {
        Ok(Lists {
            registered: self.catalog.registered_instances(host).await?,
            checks: self.catalog.scheduled_checks(host).await?,
            // The next pass tells, of all hosts at once; until then the agent has what it was told last.
            protections: None,
        })
    }

    async fn all(&self) -> Result<HashMap<HostName, Lists>, CatalogError> {
        let mut all: HashMap<HostName, Lists> = HashMap::new();
        for (host, instance) in self.catalog.all_registered_instances().await? {
            all.entry(host).or_default().registered.push(instance);
        }
        for check in self.catalog.checks().await? {
            let database = &check.database;
            let scheduled = ScheduledCheck {
                id: check.id,
                run: check.task_on(&database.instance, &database.database),
                every: check.every,
            };
            let host = database.host.clone();
            all.entry(host).or_default().checks.push(scheduled);
        }
        for lists in all.values_mut() {
            // As `scheduled_checks` orders them: an equal list is not sent again.
            lists.checks.sort_by_key(|check| check.id);
        }
        Ok(all)
    }
}
