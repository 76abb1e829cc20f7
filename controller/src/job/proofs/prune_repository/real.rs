//! A host's real repository in a directory, the rows of its backups, and a storage that fails on request.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::clock::Clock as _;
use holdfast_proto::{fleet::Engine, names::HostName};
use holdfast_repository::{
    About, Blobs, BlobsError, Depth, Grace, Kind, Listed, Name, Plan, Repository, RepositoryKey,
    Told,
    storage::{Place, Storage},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{samples, verbs};
use crate::{
    catalog::{BackupId, BackupKind, Catalog, NewBackup},
    job::{
        JobId, JobSpec, PruneRepository,
        proofs::harness::{Running, World, catalog},
        prune_repository::prune::Freed,
        shelf::{self, OutOfReach, ReadThrough, ReadWhole, Shelf},
    },
    retention::Deletion,
};

pub const HOST: &str = "web-1";
pub const SHOP: &str = "web-1/shop-db/shop";
/// What a backup holds, and what makes it different from the others.
const ROWS: usize = 300_000;

/// The engine's grace cannot be moved by a clock of ours: here it has none.
#[derive(Debug)]
pub struct RealShelf {
    folder: TempDir,
    key: RepositoryKey,
    fault: Arc<Fault>,
}

/// The call that fails, counted from 1; 0: none.
#[derive(Debug, Default)]
pub struct Fault {
    at: AtomicU64,
    /// Every later one, too: the storage is gone.
    from_then_on: bool,
    calls: AtomicU64,
    pub fired: AtomicU64,
}

#[derive(Debug)]
struct Faulty(Storage, Arc<Fault>);

/// A world with four backups of one database: old ones that are marked, and the newest.
pub struct House {
    pub world: World,
    pub shelf: Arc<RealShelf>,
    /// What each holds, by the number of its row.
    pub content: BTreeMap<BackupId, Vec<u8>>,
}

impl RealShelf {
    pub async fn new() -> Self {
        let shelf = Self {
            folder: tempfile::tempdir().unwrap(),
            key: RepositoryKey::random(),
            fault: Arc::default(),
        };
        Repository::create(Arc::new(shelf.storage()), shelf.key.clone())
            .await
            .unwrap();
        shelf
    }

    /// The same files under the same key, and a fault.
    pub fn copy(&self, fault: Fault) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&self.folder.path().join("repository"), folder.path());
        Self {
            folder,
            key: self.key.clone(),
            fault: Arc::new(fault),
        }
    }

    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    fn storage(&self) -> Storage {
        let folder = self.folder.path().join("repository");
        Storage::open(&Place::Directory(folder)).unwrap()
    }

    /// As an operator's check would open it: without faults.
    pub async fn healthy(&self) -> Repository {
        let storage = Arc::new(self.storage());
        Repository::open(storage, self.key.clone()).await.unwrap()
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        Arc::new(Faulty(self.storage(), Arc::clone(&self.fault)))
    }

    async fn repository(&self) -> Result<Repository, OutOfReach> {
        Ok(Repository::open(self.blobs(), self.key.clone()).await?)
    }

    pub async fn listed(&self) -> BTreeSet<String> {
        let snapshots = self.healthy().await.snapshots().await.unwrap();
        snapshots.iter().map(|s| s.id.to_string()).collect()
    }

    /// Bytes in the directory.
    pub fn size(&self) -> u64 {
        fn under(folder: &Path) -> u64 {
            let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
            let size = |path: &Path| path.metadata().unwrap().len();
            let of = |path: &Path| {
                if path.is_dir() {
                    under(path)
                } else {
                    size(path)
                }
            };
            entries.map(|entry| of(&entry.path())).sum()
        }
        under(&self.folder.path().join("repository/data"))
    }

    /// A backup with this content; its snapshot.
    pub async fn write(&self, content: &[u8]) -> String {
        let orders = ("orders".to_owned(), content.to_vec());
        self.write_parts(&BTreeMap::from([orders])).await
    }

    /// A backup with one entry for each part; its snapshot.
    pub async fn write_parts(&self, parts: &BTreeMap<String, Vec<u8>>) -> String {
        let repository = self.healthy().await;
        let mut writing = repository.write(Plan {
            about: About {
                host: HOST.to_owned(),
                label: SHOP.to_owned(),
                tags: vec!["full".to_owned()],
                time: DateTime::UNIX_EPOCH + TimeDelta::days(20_000),
            },
            entries: parts.keys().map(|name| name.parse().unwrap()).collect(),
            last: "zz-manifest".parse().unwrap(),
            at_once: 1,
        });
        while let Some(mut entry) = writing.next().await {
            let part = &parts[entry.name().as_str()];
            entry.send(Bytes::copy_from_slice(part)).await.unwrap();
            entry.whole(part.len() as u64).await.unwrap();
        }
        writing.finish("{}").await.unwrap().snapshot.to_string()
    }

    pub async fn read_part(&self, snapshot: &str, part: &str) -> Vec<u8> {
        let repository = self.healthy().await;
        let reading = repository.read(snapshot.parse().unwrap()).await.unwrap();
        reading
            .whole(&part.parse().unwrap())
            .await
            .unwrap()
            .to_vec()
    }

    pub async fn read(&self, snapshot: &str) -> Vec<u8> {
        self.read_part(snapshot, "orders").await
    }

    /// Every byte is read.
    pub async fn assert_sound(&self, context: &str) {
        let depth = Depth::Data { percent: 100.0 };
        let found = self.healthy().await.check(depth).await.unwrap();
        assert!(found.is_sound(), "{context}: {found:?}");
    }
}

#[async_trait]
impl Shelf for RealShelf {
    async fn holds(&self, _: &HostName, snapshot: &str) -> Result<bool, OutOfReach> {
        Ok(shelf::snapshots(&*self.blobs()).await?.contains(snapshot))
    }

    async fn snapshots(&self, _: &HostName) -> Result<BTreeSet<String>, OutOfReach> {
        shelf::snapshots(&*self.blobs()).await
    }

    async fn forget(&self, _: &HostName, snapshots: &BTreeSet<String>) -> Result<(), OutOfReach> {
        shelf::forget(&self.repository().await?, snapshots).await
    }

    async fn prune(&self, _: &HostName) -> Result<Freed, OutOfReach> {
        let grace = Grace::none_because_nothing_else_writes();
        shelf::prune(&self.repository().await?, grace).await
    }

    async fn read_whole(
        &self,
        _: &HostName,
        told: &Told,
        stop: &CancellationToken,
    ) -> Result<ReadWhole, OutOfReach> {
        let repository = Ok(self.repository().await?);
        shelf::whole::read(repository, self.blobs(), told, stop).await
    }

    async fn read_through(&self, _: &HostName, snapshot: &str) -> Result<ReadThrough, OutOfReach> {
        shelf::through::read(Ok(self.repository().await?), snapshot).await
    }
}

impl House {
    /// The rows are the host's alone, and the two oldest are deleted, for longer than the grace.
    pub async fn new() -> Self {
        let shelf = Arc::new(RealShelf::new().await);
        let shared = catalog().await;
        sqlx::query("delete from backup")
            .execute(&shared.0.pool)
            .await
            .unwrap();
        let host = HOST.parse().unwrap();
        let row = shared.0.add_repository(&host, "a directory", b"sealed");
        row.await.unwrap();
        shared.0.repository_ready(&host).await.unwrap();
        let mut house = Self {
            world: World::new(&shared, verbs, &sample()),
            shelf: Arc::clone(&shelf),
            content: BTreeMap::new(),
        };
        house.world.shelf = shelf;
        for seed in 0..4 {
            house.back_up(seed).await;
        }
        let oldest: Vec<_> = house.content.keys().take(2).copied().collect();
        for id in oldest {
            house.delete(id).await;
        }
        house.pass(TimeDelta::hours(25));
        house
    }

    /// Another world over a copy of its files and rows, with a fault in the storage.
    pub async fn copy(&self, fault: Fault) -> Self {
        let shelf = Arc::new(self.shelf.copy(fault));
        let shared = catalog().await;
        sqlx::query("delete from backup")
            .execute(&shared.0.pool)
            .await
            .unwrap();
        let mut copy = Self {
            world: World::new(&shared, verbs, &sample()),
            shelf: Arc::clone(&shelf),
            content: BTreeMap::new(),
        };
        copy.world.shelf = shelf;
        copy.world.clock.advance_to(self.world.clock.now());
        for (id, content) in &self.content {
            let row = self.world.catalog.backup(*id).await.unwrap().unwrap();
            let own = add(&copy.world.catalog, &row.snapshot_id, row.taken_at).await;
            if let Some(deletion) = row.deletion {
                let at = row.marked_at.unwrap();
                let marked = copy.world.catalog.delete_backup(own, &deletion, at).await;
                assert!(marked.unwrap());
            }
            copy.content.insert(own, content.clone());
        }
        copy
    }

    pub fn pass(&self, time: TimeDelta) {
        let clock = &self.world.clock;
        clock.advance_to(clock.now() + time);
    }

    pub async fn back_up(&mut self, seed: u64) -> BackupId {
        let content = noise(seed, ROWS);
        let snapshot = self.shelf.write(&content).await;
        self.pass(TimeDelta::minutes(1));
        let id = add(&self.world.catalog, &snapshot, self.world.clock.now()).await;
        self.content.insert(id, content);
        id
    }

    pub async fn delete(&self, id: BackupId) {
        let (catalog, now) = (&self.world.catalog, self.world.clock.now());
        let deletion = Deletion {
            by: "operator/ann".to_owned(),
            forced: false,
        };
        let marked = catalog.delete_backup(id, &deletion, now).await;
        assert!(marked.unwrap());
    }

    /// Numbers, the oldest first.
    pub fn ids(&self) -> Vec<BackupId> {
        self.content.keys().copied().collect()
    }

    pub async fn snapshot(&self, id: BackupId) -> String {
        let row = self.world.catalog.backup(id).await.unwrap().unwrap();
        row.snapshot_id
    }

    pub async fn snapshots(&self, ids: &[BackupId]) -> BTreeSet<String> {
        let mut snapshots = BTreeSet::new();
        for id in ids {
            snapshots.insert(self.snapshot(*id).await);
        }
        snapshots
    }

    pub async fn prune(&self, running: &Running) -> JobId {
        let spec = JobSpec::PruneRepository(PruneRepository {
            host: HOST.parse().unwrap(),
        });
        let submitted = running.engine.submit(spec, "operator/ann", "").await;
        submitted.unwrap()
    }

    /// Those that the catalog counts are in the repository, whole.
    pub async fn assert_unharmed(&self, context: &str) {
        let rows = self.world.catalog.backups(false).await.unwrap();
        assert!(rows.len() >= 2, "{context}: {rows:?}");
        for row in rows {
            let read = self.shelf.read(&row.snapshot_id).await;
            assert!(read == self.content[&row.id], "{context}: {}", row.id);
        }
        self.shelf.assert_sound(context).await;
    }
}

impl Fault {
    pub fn at(call: u64, from_then_on: bool) -> Self {
        Self {
            at: call.into(),
            from_then_on,
            ..Self::default()
        }
    }

    fn fires(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let at = self.at.load(Ordering::SeqCst);
        let fires = at > 0 && (call == at || self.from_then_on && call > at);
        self.fired.fetch_add(u64::from(fires), Ordering::SeqCst);
        fires
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.at.store(0, Ordering::SeqCst);
    }
}

impl Faulty {
    async fn through<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, BlobsError>>,
    ) -> Result<T, BlobsError> {
        if self.1.fires() {
            return Err(BlobsError::Failed {
                doing: doing.to_owned(),
                location: self.0.location(),
                again: true,
                source: "the test's fault".into(),
            });
        }
        call.await
    }
}

#[async_trait]
impl Blobs for Faulty {
    fn location(&self) -> String {
        self.0.location()
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Listed>, BlobsError> {
        self.through("list", self.0.list(kind)).await
    }

    async fn get(&self, name: Name) -> Result<Bytes, BlobsError> {
        self.through("read", self.0.get(name)).await
    }

    async fn get_range(&self, name: Name, range: Range<u64>) -> Result<Bytes, BlobsError> {
        self.through("read", self.0.get_range(name, range)).await
    }

    async fn put_new(&self, name: Name, content: Vec<Bytes>) -> Result<(), BlobsError> {
        self.through("write", self.0.put_new(name, content)).await
    }

    async fn remove(&self, name: Name) -> Result<(), BlobsError> {
        self.through("remove", self.0.remove(name)).await
    }
}

fn sample() -> crate::job::proofs::harness::Sample {
    let mut sample = samples().swap_remove(0);
    sample.spec = JobSpec::PruneRepository(PruneRepository {
        host: HOST.parse().unwrap(),
    });
    sample
}

pub async fn add(catalog: &Catalog, snapshot: &str, taken_at: DateTime<Utc>) -> BackupId {
    let new = NewBackup {
        database: SHOP.parse().unwrap(),
        engine: Some(Engine::Postgres),
        kind: BackupKind::Full,
        taken_at,
        stored_at: taken_at,
        logical_bytes: ROWS as u64,
        stored_bytes: ROWS as u64,
        snapshot_id: snapshot.to_owned(),
        manifest: serde_json::json!({}),
        job: None,
    };
    catalog.add_backup(&new).await.unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// Bytes that do not compress, the same for the same seed. Half of them are the same for all.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let bytes = |seed: u64| {
        let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let many = std::iter::repeat_with(next).flatten();
        many.take(length / 2)
    };
    bytes(1000).chain(bytes(seed)).collect()
}
