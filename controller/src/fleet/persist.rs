//! Keeps the catalog's picture of the fleet close behind the one in memory.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Fleet;
use crate::catalog::{Catalog, CatalogError};

/// Changes are gathered for this long, so that a busy host costs one write a second.
const GATHER: Duration = Duration::from_secs(1);

/// The loop that writes. It takes no input: it writes whatever the fleet says is unsaved.
#[derive(Debug)]
pub struct Persister {
    fleet: Fleet,
    catalog: Catalog,
}

impl Persister {
    #[must_use]
    pub fn new(fleet: Fleet, catalog: Catalog) -> Self {
        Self { fleet, catalog }
    }

    /// Runs until `stop`, and writes once more then.
    pub async fn run(self, stop: CancellationToken) {
        let mut timer = tokio::time::interval(GATHER);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let stopping = tokio::select! {
                _ = timer.tick() => false,
                () = stop.cancelled() => true,
            };
            match self.save().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what hosts report is kept in memory only until the catalog is back"
                    );
                }
                Err(_) => {}
            }
            if stopping {
                return;
            }
        }
    }

    /// Writes what is unsaved; what could not be written stays unsaved.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn save(&self) -> Result<(), CatalogError> {
        let (states, signs) = self.fleet.take_unsaved();
        if !states.is_empty() {
            let saved = self.catalog.save_reports(&states).await;
            saved.inspect_err(|_| self.fleet.still_unsaved(&states))?;
        }
        if !signs.is_empty() {
            self.catalog.save_signs_of_life(&signs).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use holdfast_proto::{fleet::HostSnapshot, link::Hello, names::HostName};

    use super::*;
    use crate::catalog::testing::TestCatalog;

    fn hello() -> Hello {
        Hello {
            host: "web-1".to_owned(),
            agent_version: "0.1.0".to_owned(),
            run_id: "run-a".to_owned(),
            started_at: DateTime::UNIX_EPOCH,
            peer_addresses: vec!["10.77.0.1:7444".to_owned()],
            operating_system: "Debian 12".to_owned(),
            kernel: "6.1".to_owned(),
            cpus: 2,
            memory_bytes: 1,
            tasks: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_restarted_controller_shows_the_last_known_as_not_connected() {
        let catalog = TestCatalog::new().await;
        let host: HostName = "web-1".parse().unwrap();
        let now: DateTime<Utc> = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        catalog.add_host(&host, now).await.unwrap();
        let fleet = Fleet::from_known(catalog.load_fleet().await.unwrap());
        let persister = Persister::new(fleet.clone(), catalog.clone());
        fleet.connected(&host, &hello(), now);
        let snapshot = HostSnapshot {
            container_engine: "docker 20.10".to_owned(),
            engine_error: "permission denied".to_owned(),
            ..HostSnapshot::default()
        };
        fleet.snapshot(&host, snapshot, now);
        persister.save().await.unwrap();
        let later = now + chrono::TimeDelta::seconds(10);
        fleet.heartbeat(&host, later, 42, later);
        persister.save().await.unwrap();

        let again = Fleet::from_known(catalog.load_fleet().await.unwrap());
        let mut expected = fleet.host(&host).unwrap().as_ref().clone();
        assert!(expected.connected);
        expected.connected = false;
        assert_eq!(*again.host(&host).unwrap(), expected);
        assert_eq!(
            (expected.last_seen, expected.agent_rss_bytes),
            (Some(later), 42)
        );
        assert_eq!(again.peer_addresses(&host), ["10.77.0.1:7444"]);
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_later() {
        let catalog = TestCatalog::new().await;
        let host: HostName = "web-1".parse().unwrap();
        let now = catalog.clock.now();
        catalog.add_host(&host, now).await.unwrap();
        let fleet = Fleet::from_known(catalog.load_fleet().await.unwrap());
        fleet.connected(&host, &hello(), now);
        let broken = catalog.clone();
        let rename = async |statement: &'static str| {
            sqlx::query(statement).execute(&catalog.pool).await.unwrap();
        };
        rename("alter table host_report rename to elsewhere").await;
        let persister = Persister::new(fleet, broken);
        assert!(persister.save().await.is_err());
        rename("alter table elsewhere rename to host_report").await;
        persister.save().await.unwrap();
        assert!(catalog.load_fleet().await.unwrap()[0].facts.is_some());
    }
}
