//! A storage that fails at every call in turn: it is told loudly, a rerun converges, no good backup is harmed.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "support/backups.rs"]
mod backups;
#[path = "support/faults.rs"]
mod faults;

use std::{path::Path, process::Command, sync::Arc};

use backups::{Content, House, content, noise, read, write};
use faults::{Fault, Faulty};
use holdfast_repository::{
    Blobs, Depth, Grace, Repository, RepositoryError, RepositoryKey, SnapshotId,
    storage::{Place, Storage},
};
use tempfile::TempDir;

/// A house with backups in it, copied for each fault.
struct Base {
    house: House,
    content: Content,
    good: SnapshotId,
}

/// One copy.
struct Copy {
    _folder: TempDir,
    storage: Arc<dyn Blobs>,
    key: RepositoryKey,
}

const FAULTS: [fn(u64) -> Fault; 3] = [Fault::Once, Fault::AnswerLost, Fault::From];

impl Base {
    async fn new() -> Self {
        let house = House::new();
        let content = content(10);
        let repository = house.repository().await;
        let good = write(&repository, &content).await.unwrap().snapshot;
        Self {
            house,
            content,
            good,
        }
    }

    fn copy(&self) -> Copy {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("repository");
        copy_folder(&self.house.folder.path().join("repository"), &target);
        Copy {
            storage: Arc::new(Storage::open(&Place::Directory(target)).unwrap()),
            key: self.house.key.clone(),
            _folder: folder,
        }
    }
}

impl Copy {
    async fn faulty(&self, faulty: &Arc<Faulty>) -> Result<Repository, RepositoryError> {
        Repository::open(faulty.clone(), self.key.clone()).await
    }

    async fn healthy(&self) -> Repository {
        Repository::open(self.storage.clone(), self.key.clone())
            .await
            .unwrap()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// Two entries in three packs' worth of noise would be slow at every call: a little suffices.
fn other() -> Content {
    let mut other = content(10);
    other.insert("orders.0000".to_owned(), noise(99, (1 << 20) + 5));
    other
}

fn loud<T: std::fmt::Debug>(result: Result<T, RepositoryError>, fault: Fault) {
    let error = result.expect_err(&format!("{fault:?} was swallowed"));
    let storage = matches!(error, RepositoryError::Storage { .. });
    assert!(storage && error.again(), "{fault:?}: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_at_every_call() {
    let base = Base::new().await;
    let other = other();
    for mode in FAULTS {
        for call in 1.. {
            let (copy, fault) = (base.copy(), mode(call));
            let faulty = Faulty::new(copy.storage.clone(), fault);
            let wrote = match copy.faulty(&faulty).await {
                Ok(repository) => write(&repository, &other).await,
                Err(error) => Err(error),
            };
            if !faulty.fired() {
                assert!(call > 10, "{wrote:?}");
                wrote.unwrap();
                break;
            }
            loud(wrote, fault);
            let repository = copy.healthy().await;
            let snapshots = repository.snapshots().await.unwrap();
            // The snapshot itself may be the call whose answer got lost: it is whole then.
            for snapshot in snapshots.iter().filter(|snapshot| snapshot.id != base.good) {
                assert!(
                    matches!(fault, Fault::AnswerLost(_)),
                    "{fault:?} left a snapshot"
                );
                assert_eq!(read(&repository, snapshot.id).await.unwrap(), other);
            }
            let again = write(&repository, &other).await.unwrap().snapshot;
            assert_eq!(read(&repository, again).await.unwrap(), other, "{fault:?}");
            assert_eq!(read(&repository, base.good).await.unwrap(), base.content);
            let sound = repository.check(Depth::Structure).await.unwrap();
            assert!(sound.is_sound(), "{fault:?}: {sound:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_at_every_call() {
    let base = Base::new().await;
    let repository = base.house.repository().await;
    // Half of what the second one has goes with it: packs are repacked, marked and removed.
    let gone = write(&repository, &other()).await.unwrap().snapshot;
    repository.forget(&[gone]).await.unwrap();
    let grace = Grace::none_because_nothing_else_writes();
    for mode in FAULTS {
        for call in 1.. {
            let (copy, fault) = (base.copy(), mode(call));
            let faulty = Faulty::new(copy.storage.clone(), fault);
            let pruned = async {
                let repository = copy.faulty(&faulty).await?;
                repository.prune(&[], grace).await?;
                repository.prune(&[], grace).await
            };
            let pruned = pruned.await;
            if !faulty.fired() {
                assert!(call > 10, "{pruned:?}");
                assert!(pruned.unwrap().removed_packs > 0);
                break;
            }
            loud(pruned, fault);
            let repository = copy.healthy().await;
            assert_eq!(
                read(&repository, base.good).await.unwrap(),
                base.content,
                "{fault:?}"
            );
            for _ in 0..2 {
                repository.prune(&[], grace).await.unwrap();
            }
            assert_eq!(
                read(&repository, base.good).await.unwrap(),
                base.content,
                "{fault:?}"
            );
            let sound = repository
                .check(Depth::Data { percent: 100.0 })
                .await
                .unwrap();
            assert!(sound.is_sound(), "{fault:?}: {sound:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_at_every_call() {
    let base = Base::new().await;
    for call in 1.. {
        let fault = Fault::Once(call);
        let copy = base.copy();
        let faulty = Faulty::new(copy.storage.clone(), fault);
        let restored = match copy.faulty(&faulty).await {
            Ok(repository) => read(&repository, base.good).await,
            Err(error) => Err(error),
        };
        if !faulty.fired() {
            assert!(call > 10);
            assert_eq!(restored.unwrap(), base.content);
            break;
        }
        loud(restored, fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_made_at_every_call() {
    let base = tempfile::tempdir().unwrap();
    for call in 1.. {
        let folder = base.path().join(call.to_string());
        let storage: Arc<dyn Blobs> = Arc::new(Storage::open(&Place::Directory(folder)).unwrap());
        let key = RepositoryKey::random();
        let faulty = Faulty::new(storage.clone(), Fault::Once(call));
        let made = Repository::create(faulty.clone(), key.clone()).await;
        if !faulty.fired() {
            assert!(call > 4);
            made.unwrap();
            break;
        }
        let again = Repository::create(storage, key).await.unwrap();
        assert_eq!(again.passwords().await.unwrap(), 1, "call {call}");
    }
}
