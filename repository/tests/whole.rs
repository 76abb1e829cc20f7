//! A repository is read whole: what is wrong is found, and told of just those snapshots that it hits.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "support/backups.rs"]
mod backups;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use backups::{House, MANIFEST, content, write};
use holdfast_repository::{Pace, Repository, RepositoryError, SnapshotId, Wanted, Whole};
use tokio_util::sync::CancellationToken;

type Found = Whole<Vec<u8>>;

async fn read(repository: &Repository) -> Result<Found, RepositoryError> {
    read_until(repository, &CancellationToken::new()).await.0
}

async fn read_until(
    repository: &Repository,
    stop: &CancellationToken,
) -> (Result<Found, RepositoryError>, Vec<Pace>) {
    let wanted = Wanted {
        entries: vec!["no such entry".to_owned(), MANIFEST.to_owned()],
        read: Box::new(|_: &str, bytes: &[u8]| bytes.to_vec()),
    };
    let paces = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&paces);
    let told: holdfast_repository::Told = Arc::new(move |pace| hears.lock().unwrap().push(pace));
    let found = repository.read_whole(wanted, &told, stop).await;
    let paces = paces.lock().unwrap().clone();
    (found, paces)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(file, bytes).unwrap();
}

/// Two backups that have nothing in common, and the packs that only the second one needs.
async fn two(house: &House) -> (Repository, [SnapshotId; 2], Vec<PathBuf>) {
    let repository = house.repository().await;
    let data = house.folder.path().join("repository/data");
    let first = write(&repository, &content(30)).await.unwrap().snapshot;
    let before = files(&data);
    let second = write(&repository, &content(40)).await.unwrap().snapshot;
    let of_second = files(&data).into_iter();
    let of_second = of_second.filter(|file| !before.contains(file)).collect();
    (repository, [first, second], of_second)
}

fn hit(found: &Found) -> Vec<SnapshotId> {
    let snapshots = found.snapshots.iter();
    let hit = snapshots.filter(|(_, held)| held.damage.is_some());
    hit.map(|(id, _)| *id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sound_is_read_to_its_last_byte_with_an_entry_of_each() {
    let house = House::new();
    let (repository, ids, _) = two(&house).await;
    let (found, paces) = read_until(&repository, &CancellationToken::new()).await;
    let found = found.unwrap();
    assert_eq!((&found.damage[..], hit(&found)), (&[][..], vec![]));
    let manifest = |seed| content(seed).remove(MANIFEST);
    for (id, seed) in ids.into_iter().zip([30, 40]) {
        assert_eq!(found.snapshots[&id].entry, manifest(seed));
    }
    let all = files(&house.folder.path().join("repository")).into_iter();
    let named = all.filter(|file| file.file_name().unwrap() != "config");
    let bytes: u64 = named.map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!(found.bytes, bytes);
    let last = paces.last().unwrap();
    assert_eq!((last.bytes_done, last.bytes), (bytes, bytes));
    assert_eq!(
        (last.objects_done, found.objects),
        (last.objects, last.objects)
    );
    assert!(paces.is_sorted_by_key(|pace| pace.bytes_done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_and_a_missing_pack_hit_who_needs_them_and_nobody_else() {
    for missing in [false, true] {
        let house = House::new();
        let (repository, [_, second], packs) = two(&house).await;
        let largest = packs
            .iter()
            .max_by_key(|file| file.metadata().unwrap().len());
        let pack = largest.unwrap();
        let name = pack.file_name().unwrap().to_str().unwrap();
        if missing {
            fs::remove_file(pack).unwrap();
        } else {
            flip(pack);
        }
        let found = read(&repository).await.unwrap();
        assert_eq!(hit(&found), [second]);
        let damage = found.snapshots[&second].damage.as_deref().unwrap();
        assert!(damage.contains(name), "{damage}");
        // What is not listed is not read: only who needs it misses it.
        assert_eq!(found.damage.len(), usize::from(!missing), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_snapshot_index_and_key_are_found_and_hit_what_they_hit() {
    for (folder, hits) in [("snapshots", 1), ("index", 2), ("keys", 0)] {
        let house = House::new();
        let (repository, _, _) = two(&house).await;
        let objects = files(&house.folder.path().join("repository").join(folder));
        flip(&objects[0]);
        let found = read(&repository).await.unwrap();
        assert_eq!(found.damage.len(), 1, "{folder}: {found:?}");
        assert!(found.damage[0].starts_with(folder), "{found:?}");
        assert_eq!(hit(&found).len(), hits, "{folder}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_is_away_and_an_end_on_demand_are_no_damage() {
    let house = House::new();
    let (repository, _, _) = two(&house).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let (stopped, _) = read_until(&repository, &stop).await;
    assert!(matches!(stopped, Err(RepositoryError::Stopped { .. })));
    let place = house.folder.path().join("repository");
    fs::rename(&place, place.with_extension("away")).unwrap();
    let away = read(&repository).await;
    assert!(
        matches!(away, Err(RepositoryError::Absent { .. })),
        "{away:?}"
    );
}
