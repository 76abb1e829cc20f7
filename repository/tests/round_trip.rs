//! What is written reads back, here and by Debian's restic.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "support/backups.rs"]
mod backups;
#[path = "support/restic.rs"]
mod restic;

use std::fs;

use backups::{Content, House, MANIFEST, content, read, write};
use holdfast_repository::{Depth, Repository, RepositoryError, RepositoryKey};
use restic::restic;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_reads_back_as_it_was() {
    let house = House::new();
    let repository = house.repository().await;
    let content = content(1);
    let stored = write(&repository, &content).await.unwrap();
    assert_eq!(stored.entries.len(), content.len());
    assert_eq!(read(&repository, stored.snapshot).await.unwrap(), content);
    let snapshots = repository.snapshots().await.unwrap();
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0].id, stored.snapshot);
    assert_eq!(snapshots[0].label, "web-1/shop-db/shop");
    assert_eq!(snapshots[0].time.timestamp(), 1_790_000_000);
    assert_eq!(snapshots[0].bytes, stored.bytes);
    let sound = repository
        .check(Depth::Data { percent: 100.0 })
        .await
        .unwrap();
    assert!(sound.is_sound() && sound.warnings.is_empty(), "{sound:?}");
}

/// The one restore that needs nothing of ours.
#[tokio::test(flavor = "multi_thread")]
async fn debians_restic_reads_checks_and_restores_it() {
    let house = House::new();
    let repository = house.repository().await;
    let content = content(2);
    let stored = write(&repository, &content).await.unwrap();
    let folder = house.folder.path().join("repository");
    let run = |arguments: &[&str]| restic(&folder, house.key.password(), arguments);
    run(&["check", "--read-data"]);
    let listed = String::from_utf8(run(&["snapshots"])).unwrap();
    for shown in [&stored.snapshot.short(), "web-1", "job-42"] {
        assert!(listed.contains(shown), "{shown} in {listed}");
    }
    for (entry, bytes) in &content {
        let path = format!("/{entry}");
        let dumped = run(&["dump", &stored.snapshot.to_string(), &path]);
        assert!(dumped == *bytes, "{entry}");
    }
    // `restic restore` believes the sizes in the tree.
    let target = house.folder.path().join("restored");
    run(&["restore", "latest", "--target", target.to_str().unwrap()]);
    let restored: Content = fs::read_dir(&target)
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            (name, fs::read(file.path()).unwrap())
        })
        .collect();
    assert!(restored == content, "{:?}", restored.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_stored_once_also_through_one_handle() {
    let house = House::new();
    let repository = house.repository().await;
    let mut content = content(3);
    let first = write(&repository, &content).await.unwrap();
    let before = repository.stats().await.unwrap();
    let again = write(&repository, &content).await.unwrap();
    assert!(again.added_bytes < 20_000, "{again:?} after {first:?}");
    content.insert("schema".to_owned(), b"changed".to_vec());
    let changed = write(&repository, &content).await.unwrap();
    assert!(changed.added_bytes < 20_000, "{changed:?}");
    let after = repository.stats().await.unwrap();
    assert!(
        after.stored_bytes - before.stored_bytes < 40_000,
        "{after:?}"
    );
    assert_eq!(after.series["web-1/shop-db/shop"].snapshots, 3);
    assert!(after.logical_bytes() > 3 * (5 << 20));
    // The same name and length, another content: an engine that trusts its parent stores the old one.
    let mut other = content.clone();
    other.insert("schema".to_owned(), b"CHANGED".to_vec());
    let other_id = write(&repository, &other).await.unwrap().snapshot;
    assert_eq!(read(&repository, other_id).await.unwrap(), other);
    assert_eq!(read(&repository, changed.snapshot).await.unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_made_once_and_opens_with_its_key_only() {
    let house = House::new();
    let absent = Repository::open(house.storage.clone(), house.key.clone()).await;
    assert!(
        matches!(absent, Err(RepositoryError::Absent { .. })),
        "{absent:?}"
    );
    let repository = house.repository().await;
    let stored = write(&repository, &content(4)).await.unwrap();
    let again = house.repository().await;
    assert_eq!(read(&again, stored.snapshot).await.unwrap(), content(4));
    let keys = house.folder.path().join("repository/keys");
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 1);
    let other = Repository::open(house.storage.clone(), RepositoryKey::random()).await;
    assert!(
        matches!(other, Err(RepositoryError::WrongKey { .. })),
        "{other:?}"
    );
    // As after a crash between the settings and the password.
    fs::remove_dir_all(&keys).unwrap();
    house.repository().await;
    let folder = house.folder.path().join("repository");
    restic(
        &folder,
        house.key.password(),
        &["dump", "latest", &format!("/{MANIFEST}")],
    );
}
