//! Looks after what the controller itself stands on: its disk, its catalog, the storage of its repositories.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt as _, stream};
use holdfast_chassis::telemetry::Chain;
use holdfast_proto::names::HostName;
use holdfast_repository::Name;

use crate::{
    catalog::{Catalog, CatalogError, RepositoryRow},
    detect::{Disk, Ours, Unreachable},
    repository::Repositories,
};

/// One request for each repository: a bucket asks money for it.
const EVERY: TimeDelta = TimeDelta::minutes(5);
/// While one cannot be read.
const SOONER: TimeDelta = TimeDelta::seconds(20);
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 8;
/// Once is a hiccup.
const TIMES: u32 = 2;

/// Cheap to clone; all clones know the same.
#[derive(Debug, Clone)]
pub struct Upkeep {
    repositories: Repositories,
    catalog: Catalog,
    state_dir: PathBuf,
    round: Arc<Mutex<Round>>,
}

/// The last time that all repositories were asked for.
#[derive(Debug, Default)]
struct Round {
    begun_at: Option<DateTime<Utc>>,
    is_under_way: bool,
    asked: usize,
    failing: BTreeMap<HostName, Failing>,
}

#[derive(Debug, Clone)]
struct Failing {
    times: u32,
    unreachable: Unreachable,
}

impl Upkeep {
    #[must_use]
    pub fn new(repositories: Repositories, catalog: Catalog, state_dir: PathBuf) -> Self {
        Self {
            repositories,
            catalog,
            state_dir,
            round: Arc::default(),
        }
    }

    /// What is known now; asks the repositories when that is due, and does not wait for them.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn look(&self) -> Result<Ours, CatalogError> {
        let now = self.catalog.clock.now();
        if self.begin(now) {
            let own = self.clone();
            tokio::spawn(async move { own.ask_all(now).await });
        }
        let transaction_id_age = self.catalog.transaction_id_age().await?;
        let round = self.lock();
        let failing = round.failing.values();
        let certain = failing.filter(|failing| failing.times >= TIMES);
        Ok(Ours {
            disk: self.disk(),
            transaction_id_age,
            repositories: round.asked,
            unreachable: certain.map(|one| one.unreachable.clone()).collect(),
        })
    }

    fn begin(&self, now: DateTime<Utc>) -> bool {
        let mut round = self.lock();
        let every = if round.failing.is_empty() {
            EVERY
        } else {
            SOONER
        };
        let is_due = round.begun_at.is_none_or(|at| now - at >= every);
        if is_due && !round.is_under_way {
            round.is_under_way = true;
            round.begun_at = Some(now);
            return true;
        }
        false
    }

    async fn ask_all(&self, now: DateTime<Utc>) {
        match self.repositories.list().await {
            Ok(rows) => {
                let ready = rows.into_iter().filter(|row| row.ready_at.is_some());
                let asked = stream::iter(ready).map(|row| async move {
                    let answer = self.ask(&row).await;
                    (row, answer)
                });
                let answers: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
                self.note(answers, now);
            }
            // The catalog's failure is told where it is missed.
            Err(error) => {
                let error = Chain(&error);
                tracing::warn!(%error, "cannot look whether the repositories can be read");
            }
        }
        self.lock().is_under_way = false;
    }

    /// Why its settings cannot be read.
    async fn ask(&self, row: &RepositoryRow) -> Option<String> {
        let asking = async {
            let house = self.repositories.house(&row.host).await;
            let house = house.map_err(|error| Chain(&error).to_string())?;
            let read = house.blobs.get(Name::CONFIG).await;
            read.map(drop).map_err(|error| Chain(&error).to_string())
        };
        match tokio::time::timeout(ANSWERS_WITHIN, asking).await {
            Ok(answer) => answer.err(),
            Err(_) => Some(format!("no answer within {} s", ANSWERS_WITHIN.as_secs())),
        }
    }

    fn note(&self, answers: Vec<(RepositoryRow, Option<String>)>, now: DateTime<Utc>) {
        let mut round = self.lock();
        round.asked = answers.len();
        let mut before = std::mem::take(&mut round.failing);
        for (row, answer) in answers {
            let Some(error) = answer else { continue };
            let known = before.remove(&row.host);
            let since = known.as_ref().map_or(now, |known| known.unreachable.since);
            let failing = Failing {
                times: known.map_or(0, |known| known.times) + 1,
                unreachable: Unreachable {
                    host: row.host.clone(),
                    location: row.location,
                    since,
                    error,
                },
            };
            round.failing.insert(row.host, failing);
        }
    }

    /// Of the state directory; none when nobody can tell.
    fn disk(&self) -> Option<Disk> {
        let found = rustix::fs::statvfs(&self.state_dir).ok()?;
        let free = found.f_bavail;
        // As `df` counts: what is kept for root or by quota is neither.
        let ours = found.f_blocks.saturating_sub(found.f_bfree) + free;
        Some(Disk {
            path: self.state_dir.display().to_string(),
            total_bytes: ours.saturating_mul(found.f_frsize),
            free_bytes: free.saturating_mul(found.f_frsize),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use holdfast_chassis::clock::ManualClock;
    use holdfast_repository::storage::Place;

    use super::*;
    use crate::catalog::testing::TestCatalog;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_repository_that_cannot_be_read_twice_is_told_until_it_can_be_read() {
        let clock = ManualClock::at("2026-11-22T10:00:00Z".parse().unwrap());
        let catalog = TestCatalog::with_clock(clock.shared()).await;
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Directory(folder.path().join("repositories"));
        let repositories = Repositories::open(folder.path(), &place, catalog.clone())
            .await
            .unwrap();
        let hosts = ["web-1", "web-2"].map(|host| host.parse::<HostName>().unwrap());
        for host in &hosts {
            repositories.ensure(host).await.unwrap();
        }
        let upkeep = Upkeep::new(repositories, catalog.clone(), folder.path().to_owned());
        let round = async || {
            let now = clock.shared().now();
            assert!(upkeep.begin(now), "not due");
            upkeep.ask_all(now).await;
        };
        let unreachable = async || {
            let ours = upkeep.look().await.unwrap();
            assert_eq!(ours.repositories, 2);
            ours.unreachable
        };
        round().await;
        assert_eq!(unreachable().await, []);
        assert!(upkeep.look().await.unwrap().disk.unwrap().total_bytes > 0);

        let config = folder.path().join("repositories/web-1/config");
        let kept = folder.path().join("kept");
        fs::rename(&config, &kept).unwrap();
        clock.advance(EVERY.to_std().unwrap());
        round().await;
        assert_eq!(unreachable().await, [], "once is a hiccup");
        let since = clock.shared().now();
        clock.advance(SOONER.to_std().unwrap());
        round().await;
        let told = unreachable().await;
        assert_eq!(told.len(), 1);
        assert_eq!((&told[0].host, told[0].since), (&hosts[0], since));
        assert!(!told[0].error.is_empty());

        fs::rename(&kept, &config).unwrap();
        clock.advance(SOONER.to_std().unwrap());
        round().await;
        assert_eq!(unreachable().await, []);
        assert!(!upkeep.begin(clock.shared().now()), "not so soon");
    }
}
