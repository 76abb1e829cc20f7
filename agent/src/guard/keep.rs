//! The agent's side: writes the facts whenever what it sees has changed, and now and then to say that it is alive.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast_chassis::{clock::SharedClock, telemetry::Chain};
use holdfast_proto::fleet::HostSnapshot;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    facts::Facts,
    gather::{Sources, gather, places},
    paths::Paths,
    protection::{self, Protection},
};
use crate::{
    observe::reports::Reports,
    volume::data::{self, Found},
};

/// A guard takes facts of two minutes for those of an agent that is alive.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// To say that this agent is alive, where nothing else is new.
const STORED_AGAIN_AFTER: Duration = Duration::from_secs(25);
/// Files of a place are looked at again after this long; of one that is in use and holds none yet, sooner.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
const LOOK_AGAIN_IN_USE: Duration = Duration::from_secs(10);

/// What the writing goes on with from one time to the next.
#[derive(Debug)]
struct Keeper {
    host: String,
    paths: Paths,
    clock: SharedClock,
    looks: BTreeMap<PathBuf, (Instant, Vec<Found>)>,
    last: Option<Facts>,
    trouble: String,
    /// None: not by this process, or the last time it failed.
    stored_at: Option<Instant>,
    /// As they are on the disk, where this process has written them.
    kept: Option<Vec<Protection>>,
}

/// Works until `shutdown`. `protections`: as the controller told them last; unset: it has not yet.
pub async fn run(
    host: String,
    paths: Paths,
    reports: Reports,
    mut protections: watch::Receiver<Option<Vec<Protection>>>,
    clock: SharedClock,
    shutdown: CancellationToken,
) {
    let mut snapshots = reports.subscribe();
    let mut tick = interval(AT_LEAST_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut keeper = Keeper::new(host, paths, clock);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = snapshots.changed() => if changed.is_err() { return },
            changed = protections.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
        let told = protections.borrow_and_update().clone();
        let snapshot = snapshots.borrow_and_update().clone();
        let written = spawn_blocking(move || {
            keeper.keep(told);
            if let Some(snapshot) = snapshot {
                keeper.write(&snapshot);
            }
            keeper
        });
        match written.await {
            Ok(back) => keeper = back,
            // A defect: without facts the guard would go on with old ones and nobody would know.
            Err(error) => {
                warn!(%error, "writing the guard's facts broke off");
                return;
            }
        }
    }
}

impl Keeper {
    fn new(host: String, paths: Paths, clock: SharedClock) -> Self {
        let last = Facts::load(&paths.facts()).unwrap_or_else(|error| {
            let error = Chain(&error);
            warn!(%error, "what the guard was told before is not known any more");
            None
        });
        Self {
            host,
            paths,
            clock,
            looks: BTreeMap::new(),
            last,
            trouble: String::new(),
            stored_at: None,
            kept: None,
        }
    }

    /// What the controller told outlives this process, and is there while there is no controller.
    fn keep(&mut self, told: Option<Vec<Protection>>) {
        let Some(told) = told.filter(|told| self.kept.as_ref() != Some(told)) else {
            return;
        };
        match protection::store(&self.paths.protections(), &told) {
            Ok(()) => self.kept = Some(told),
            Err(error) => {
                warn!(%error, "what the controller says of backups and allowances could not be kept");
            }
        }
    }

    fn write(&mut self, snapshot: &Arc<HostSnapshot>) {
        self.look(snapshot);
        let protections = protection::load(&self.paths.protections());
        let mut trouble = protections
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default();
        let protections = protections.unwrap_or_default();
        let looked = self
            .looks
            .iter()
            .map(|(place, (_, found))| (place.clone(), found.clone()));
        let mut facts = gather(
            self.last.as_ref(),
            Sources {
                host: &self.host,
                snapshot,
                looked: &looked.collect(),
                protections: &protections,
                now: self.clock.now(),
            },
        );
        follow_links(&mut facts);
        if self.is_news(&facts) {
            let stored = facts.store(&self.paths.facts());
            self.stored_at = stored.is_ok().then(Instant::now);
            if let Err(error) = stored {
                trouble = Chain(&error).to_string();
            }
        }
        if trouble != self.trouble && !trouble.is_empty() {
            warn!(error = trouble, "the guard is not told everything");
        }
        self.trouble = trouble;
        self.last = Some(facts);
    }

    /// Health changes with every look at a server, and is nothing to the guard.
    fn is_news(&self, facts: &Facts) -> bool {
        let is_late = self
            .stored_at
            .is_none_or(|at| at.elapsed() >= STORED_AGAIN_AFTER);
        let is_other = self.last.as_ref().is_none_or(|last| {
            let written_at = last.written_at;
            *last
                != Facts {
                    written_at,
                    ..facts.clone()
                }
        });
        is_late || is_other
    }

    fn look(&mut self, snapshot: &HostSnapshot) {
        let places = places(self.last.as_ref(), snapshot);
        let used = snapshot
            .volumes
            .iter()
            .filter(|volume| !volume.used_by.is_empty());
        let used: BTreeSet<PathBuf> = used
            .map(|volume| volume.mountpoint.clone().into())
            .collect();
        self.looks.retain(|place, _| places.contains(place));
        for place in places {
            let known = self.known(&place);
            let due = self.looks.get(&place).is_none_or(|(at, found)| {
                let is_found = |one: &Found| found.iter().any(|seen| seen.inside == one.inside);
                let again = match found.is_empty() && used.contains(&place) {
                    true => LOOK_AGAIN_IN_USE,
                    false => LOOK_AGAIN,
                };
                // Or it was empty when it was looked at, and a server has told better since.
                at.elapsed() >= again || !known.iter().all(is_found)
            });
            // What cannot be read is not known to be empty.
            if due && fs::read_dir(&place).is_ok() {
                let mut found = data::find(&place);
                // What is damaged, or lies deeper than is looked, is a database still.
                let left = known.into_iter().filter(|one| {
                    let is_found = found.iter().any(|seen| seen.inside == one.inside);
                    !is_found && data::remains(&place.join(&one.inside))
                });
                found.extend(left.collect::<Vec<_>>());
                self.looks.insert(place, (Instant::now(), found));
            }
        }
    }

    /// Data directories that the facts have in a place.
    fn known(&self, place: &Path) -> Vec<Found> {
        // The facts have links followed.
        let real = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
        let known = self.last.iter().flat_map(|facts| &facts.data);
        known
            .filter(|data| data.roots.contains(&real))
            .flat_map(|data| {
                let inside = data.inside.iter();
                inside.map(|inside| Found {
                    server: data.server.clone(),
                    inside: inside.clone(),
                })
            })
            .collect()
    }
}

/// Paths are compared as they are: both sides have their links followed.
fn follow_links(facts: &mut Facts) {
    let follow = |path: &mut PathBuf| {
        if let Ok(real) = fs::canonicalize(&*path) {
            *path = real;
        }
    };
    facts
        .data
        .iter_mut()
        .flat_map(|data| &mut data.roots)
        .for_each(follow);
    let mounts = facts
        .containers
        .iter_mut()
        .flat_map(|container| &mut container.mounts);
    mounts
        .filter_map(|mount| mount.path.as_mut())
        .for_each(follow);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use holdfast_chassis::clock::ManualClock;
    use holdfast_proto::fleet::{
        Archiver, Container, ContainerHealth, ContainerState, Database, Engine, Instance,
        InstanceHealth, Mount, MountKind, Volume,
    };

    use super::*;
    use crate::guard::facts::Place;

    struct Host {
        folder: tempfile::TempDir,
        keeper: Keeper,
        snapshot: HostSnapshot,
    }

    impl Host {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let paths = Paths::of(folder.path());
            paths.prepare().unwrap();
            let clock = ManualClock::at("2026-11-22T10:00:00Z".parse().unwrap());
            Self {
                keeper: Keeper::new("web-1".to_owned(), paths, clock.shared()),
                folder,
                snapshot: HostSnapshot::default(),
            }
        }

        fn volume(&mut self, name: &str) -> PathBuf {
            let path = self.folder.path().join(name).join("_data");
            fs::create_dir_all(&path).unwrap();
            self.snapshot.volumes.push(Volume {
                name: name.to_owned(),
                driver: "local".to_owned(),
                labels: BTreeMap::new(),
                created_at: None,
                mountpoint: path.to_str().unwrap().to_owned(),
                anonymous: false,
                used_by: vec![],
                device: String::new(),
            });
            path
        }

        fn server(&mut self, volume: &str, health: Option<InstanceHealth>) {
            self.snapshot.containers = vec![Container {
                id: "a1".to_owned(),
                name: "shop-db".to_owned(),
                image: "postgres:17".to_owned(),
                image_digest: String::new(),
                state: ContainerState::Running,
                health: ContainerHealth::None,
                project: String::new(),
                service: String::new(),
                ports: vec![],
                mounts: vec![Mount {
                    kind: MountKind::Volume,
                    source: volume.to_owned(),
                    destination: "/var/lib/postgresql/data".to_owned(),
                    read_only: false,
                    host_path: String::new(),
                }],
                created_at: None,
                started_at: None,
                exit_code: 0,
                labels: BTreeMap::new(),
                config_hash: String::new(),
                working_directory: String::new(),
                restart_count: 0,
            }];
            self.snapshot.instances = vec![Instance {
                name: "shop-db".to_owned(),
                engine: Engine::Postgres,
                container: "shop-db".to_owned(),
                reached_by: String::new(),
                down_reason: String::new(),
                health,
                registered: false,
                data: None,
            }];
        }

        fn write(&mut self) -> Facts {
            let snapshot = Arc::new(self.snapshot.clone());
            self.keeper.write(&snapshot);
            Facts::load(&self.keeper.paths.facts()).unwrap().unwrap()
        }
    }

    fn healthy() -> InstanceHealth {
        let database = |name: &str, is_template| Database {
            name: name.to_owned(),
            owner: String::new(),
            size_bytes: 1,
            encoding: String::new(),
            collation: String::new(),
            allows_connections: true,
            is_template,
        };
        InstanceHealth {
            version: "17.6".to_owned(),
            data_directory: "/var/lib/postgresql/data/pg".to_owned(),
            databases: vec![
                database("postgres", false),
                database("t", true),
                database("shop", false),
            ],
            version_num: 170_006,
            system_identifier: "7".to_owned(),
            in_recovery: false,
            started_at: None,
            connections_used: 1,
            connections_max: 100,
            long_queries: vec![],
            longest_query_seconds: 0.0,
            archiver: Archiver::default(),
            slots: vec![],
            transaction_id_age: 0,
            checksums_on: false,
            checksum_failures: 0,
            disk_total_bytes: 1,
            disk_free_bytes: 1,
            mariadb: None,
            untold: vec![],
        }
    }

    #[test]
    fn a_running_server_tells_where_its_data_are_and_they_are_remembered_when_it_is_gone() {
        let mut host = Host::new();
        let path = host.volume("shop_db");
        let cluster = path.join("pg/global");
        fs::create_dir_all(&cluster).unwrap();
        fs::write(path.join("pg/PG_VERSION"), "17\n").unwrap();
        fs::write(cluster.join("pg_control"), "x").unwrap();
        host.server("shop_db", Some(healthy()));
        let facts = host.write();
        let data = &facts.data[0];
        assert_eq!(
            data.paths().collect::<Vec<_>>(),
            [fs::canonicalize(path.join("pg")).unwrap()]
        );
        assert_eq!(data.servers, ["a1"]);
        assert_eq!(data.databases, ["shop"]);
        assert!(facts.containers[0].alive && facts.containers[0].mounts[0].path.is_some());
        // Down: it does not tell its databases any more.
        host.server("shop_db", None);
        assert_eq!(host.write().data[0].databases, ["shop"]);
        // Gone, and the agent is another one.
        host.snapshot.containers.clear();
        host.snapshot.instances.clear();
        host.keeper = Keeper::new("web-1".to_owned(), host.keeper.paths, host.keeper.clock);
        let facts = host.write();
        assert_eq!((facts.data.len(), facts.data[0].servers.len()), (1, 0));
        assert_eq!(facts.data[0].instance.as_deref(), Some("shop-db"));
        // The engine says nothing: nothing is forgotten.
        let volumes = std::mem::take(&mut host.snapshot.volumes);
        host.snapshot.engine_error = "no answer".to_owned();
        assert_eq!(host.write().data.len(), 1);
        host.snapshot.engine_error.clear();
        assert_eq!(host.write().data.len(), 0, "the volume is gone");
        host.snapshot.volumes = volumes;
        assert_eq!(host.write().data.len(), 1, "its files tell");
    }

    #[test]
    fn a_volume_that_stands_for_a_folder_is_known_by_what_lies_there() {
        let mut host = Host::new();
        host.volume("alias");
        let folder = host.folder.path().join("pg");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ibdata1"), "x").unwrap();
        folder
            .to_str()
            .unwrap()
            .clone_into(&mut host.snapshot.volumes[0].device);
        let facts = host.write();
        assert_eq!(facts.devices["alias"], folder);
        assert_eq!(facts.data.len(), 1);
    }

    #[test]
    fn what_a_server_told_of_stays_known_when_it_stops_however_it_lies_there() {
        let mut host = Host::new();
        let path = host.volume("shop_db");
        // Looked at before anything was in it.
        host.server("shop_db", None);
        assert_eq!(host.write().data, []);
        // Damaged already, and deeper than is looked.
        let mut health = healthy();
        health.data_directory = "/var/lib/postgresql/data/a/b/c/pg".to_owned();
        fs::create_dir_all(path.join("a/b/c/pg/base")).unwrap();
        host.server("shop_db", Some(health));
        assert_eq!(host.write().data[0].databases, ["shop"]);
        host.server("shop_db", None);
        let facts = host.write();
        assert_eq!(facts.data[0].servers, ["a1"], "it may start again");
        host.snapshot.containers.clear();
        host.snapshot.instances.clear();
        assert_eq!(host.write().data[0].databases, ["shop"]);
        fs::remove_dir_all(path.join("a")).unwrap();
        host.keeper.looks.clear();
        assert_eq!(host.write().data, []);
    }

    #[test]
    fn a_volume_that_nobody_uses_is_known_by_its_files_until_they_are_gone() {
        let mut host = Host::new();
        let path = host.volume("old");
        host.volume("uploads");
        fs::write(path.join("ibdata1"), "x").unwrap();
        let facts = host.write();
        let place = Place::Volume {
            name: "old".to_owned(),
            anonymous: false,
        };
        assert_eq!((facts.data.len(), &facts.data[0].place), (1, &place));
        fs::remove_file(path.join("ibdata1")).unwrap();
        assert_eq!(host.write().data.len(), 1, "not looked at again so soon");
        host.keeper.looks.clear();
        assert_eq!(host.write().data.len(), 0);
    }

    #[test]
    fn what_is_not_new_is_not_written_again_so_soon() {
        let mut host = Host::new();
        host.volume("shop_db");
        host.server("shop_db", Some(healthy()));
        host.write();
        let written = |host: &Host| fs::metadata(host.keeper.paths.facts()).unwrap().ino();
        let first = written(&host);
        let busier = InstanceHealth {
            connections_used: 2,
            ..healthy()
        };
        host.server("shop_db", Some(busier));
        host.write();
        assert_eq!(written(&host), first);
        host.keeper.stored_at = Instant::now().checked_sub(STORED_AGAIN_AFTER);
        host.write();
        let second = written(&host);
        assert_ne!(second, first, "it says that the agent is alive");
        host.server("shop_db", None);
        host.snapshot.containers.clear();
        host.write();
        assert_ne!(written(&host), second, "news");
    }

    #[test]
    fn protections_are_put_to_their_places() {
        let mut host = Host::new();
        let path = host.volume("old");
        fs::write(path.join("ibdata1"), "x").unwrap();
        let file = host.keeper.paths.protections();
        let proven = Protection {
            place: "old".to_owned(),
            proven_at: Some("2026-11-22T09:00:00Z".parse().unwrap()),
            ..Protection::default()
        };
        host.keeper.keep(Some(vec![proven]));
        host.keeper.keep(None);
        let facts = host.write();
        assert!(
            facts.data[0]
                .protection
                .as_ref()
                .is_some_and(|p| p.proven_at.is_some())
        );
        fs::write(&file, "{").unwrap();
        assert_eq!(host.write().data[0].protection, None);
        assert!(!host.keeper.trouble.is_empty());
        host.keeper.keep(Some(vec![]));
        assert_eq!(host.write().data[0].protection, None);
        assert!(host.keeper.trouble.is_empty());
    }
}
