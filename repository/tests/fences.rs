//! What the engine would swallow, provoked: none of it becomes a backup.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "support/backups.rs"]
mod backups;

use std::time::Duration;

use backups::{House, MANIFEST, content, noise, plan, read, write};
use bytes::Bytes;
use holdfast_repository::{
    Depth, Grace, Incomplete, Plan, Repository, RepositoryError, Stored, Writing,
};

/// Writes what `content` has, but for the one entry, which is done by `how`.
async fn all_but(
    repository: &Repository,
    odd: &str,
    how: impl AsyncFnOnce(holdfast_repository::EntryWriter),
) -> Result<Stored, RepositoryError> {
    let content = content(20);
    let mut writing = repository.write(plan(&content));
    let mut how = Some(how);
    while let Some(mut entry) = writing.next().await {
        if entry.name().as_str() == odd {
            how.take().unwrap()(entry).await;
            continue;
        }
        let bytes = Bytes::from(content[entry.name().as_str()].clone());
        let length = bytes.len() as u64;
        if entry.send(bytes).await.is_ok() {
            let _ = entry.whole(length).await;
        }
    }
    writing.finish("manifest").await
}

async fn nothing_counts(
    repository: &Repository,
    failed: Result<Stored, RepositoryError>,
) -> Incomplete {
    assert!(repository.snapshots().await.unwrap().is_empty());
    // What was left behind is harmless, and the next backup is not disturbed.
    let content = content(21);
    let stored = write(repository, &content).await.unwrap();
    assert_eq!(read(repository, stored.snapshot).await.unwrap(), content);
    let sound = repository
        .check(Depth::Data { percent: 100.0 })
        .await
        .unwrap();
    assert!(sound.is_sound(), "{sound:?}");
    match failed {
        Err(RepositoryError::Incomplete { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_fails_is_no_backup_without_it() {
    let house = House::new();
    let repository = house.repository().await;
    let failed = all_but(&repository, "orders.0001", async |mut entry| {
        entry.send(noise(1, 1 << 20).into()).await.unwrap();
        entry.fail("the server went away");
    })
    .await;
    let why = nothing_counts(&repository, failed).await;
    assert_eq!(
        why.to_string(),
        "entry orders.0001 failed: the server went away"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_cut_is_not_a_short_one() {
    let house = House::new();
    let repository = house.repository().await;
    let failed = all_but(&repository, "orders.0000", async |mut entry| {
        // Whole pieces, so that nothing but the missing end tells.
        entry.send(noise(1, 2 << 20).into()).await.unwrap();
    })
    .await;
    let why = nothing_counts(&repository, failed).await;
    assert!(
        matches!(
            why,
            Incomplete::Cut {
                bytes: 2_097_152,
                ..
            }
        ),
        "{why:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_another_length_than_its_maker_says_is_none() {
    let house = House::new();
    let repository = house.repository().await;
    let failed = all_but(&repository, "schema", async |mut entry| {
        entry.send(noise(1, 100).into()).await.unwrap();
        assert!(entry.whole(101).await.is_err());
    })
    .await;
    let why = nothing_counts(&repository, failed).await;
    assert!(
        matches!(
            why,
            Incomplete::WrongLength {
                said: 101,
                found: 100,
                ..
            }
        ),
        "{why:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_nobody_makes_are_missed() {
    let house = House::new();
    let repository = house.repository().await;
    let writing = repository.write(plan(&content(20)));
    let failed = writing.finish("manifest").await;
    nothing_counts(&repository, failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_twice_is_refused() {
    let house = House::new();
    let repository = house.repository().await;
    let plan = Plan {
        entries: vec![
            "a".parse().unwrap(),
            "b".parse().unwrap(),
            "a".parse().unwrap(),
        ],
        ..plan(&content(20))
    };
    let failed = repository.write(plan).finish("manifest").await;
    let why = nothing_counts(&repository, failed).await;
    assert_eq!(why.to_string(), "entry a failed: it is listed twice");
}

/// Abandoned after each entry, with one open: as a task that is cancelled leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_dropped_leaves_nothing_that_counts() {
    let house = House::new();
    let repository = house.repository().await;
    let content = content(22);
    for after in 0..content.len() - 1 {
        let mut writing = repository.write(plan(&content));
        for _ in 0..after {
            let mut entry = writing.next().await.unwrap();
            let bytes = Bytes::from(content[entry.name().as_str()].clone());
            let length = bytes.len() as u64;
            entry.send(bytes).await.unwrap();
            entry.whole(length).await.unwrap();
        }
        let open = writing.next().await;
        assert!(open.is_some());
        drop(writing);
        drop(open);
    }
    let stored = write(&repository, &content).await.unwrap();
    let snapshots = repository.snapshots().await.unwrap();
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    assert_eq!(read(&repository, stored.snapshot).await.unwrap(), content);
}

async fn begun(repository: &Repository) -> (Writing, holdfast_repository::EntryWriter) {
    let plan = Plan {
        entries: vec!["orders".parse().unwrap()],
        ..plan(&content(20))
    };
    let mut writing = repository.write(plan);
    let entry = writing.next().await.unwrap();
    (writing, entry)
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_waits_for_a_backup_that_is_announced_and_harms_none_that_is_not() {
    let house = House::new();
    let repository = house.repository().await;
    let old = write(&repository, &content(23)).await.unwrap();
    let shared = Bytes::from(content(23)["orders.0000"].clone());
    let day = Grace::at_least(Duration::ZERO);
    let (writing, mut entry) = begun(&repository).await;
    entry.send(shared.clone()).await.unwrap();
    let refused = repository
        .prune(&["backup of shop".to_owned()], day)
        .await
        .unwrap_err();
    assert!(matches!(refused, RepositoryError::BackupRunning { .. }));
    assert!(refused.to_string().contains("backup of shop"));
    // Nobody announced it: its pieces are the old backup's, which goes now. The day of grace keeps them.
    repository.forget(&[old.snapshot]).await.unwrap();
    repository.prune(&[], day).await.unwrap();
    repository.prune(&[], day).await.unwrap();
    entry.whole(shared.len() as u64).await.unwrap();
    let stored = writing.finish("manifest").await.unwrap();
    let pruned = repository.prune(&[], day).await.unwrap();
    assert_eq!(pruned.removed_packs, 0);
    let content = read(&repository, stored.snapshot).await.unwrap();
    assert!(content["orders"] == shared);
    assert_eq!(content[MANIFEST], b"manifest");
    let sound = repository
        .check(Depth::Data { percent: 100.0 })
        .await
        .unwrap();
    assert!(sound.is_sound(), "{sound:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_backup_needs_goes_in_two_phases_and_what_one_needs_stays() {
    let house = House::new();
    let repository = house.repository().await;
    let (one, two) = (content(24), content(25));
    let first = write(&repository, &one).await.unwrap().snapshot;
    let second = write(&repository, &two).await.unwrap().snapshot;
    repository.forget(&[first]).await.unwrap();
    repository.forget(&[first]).await.unwrap();
    let grace = Grace::none_because_nothing_else_writes();
    let marked = repository.prune(&[], grace).await.unwrap();
    assert!(
        marked.marked_packs > 0 && marked.removed_packs == 0,
        "{marked:?}"
    );
    let removed = repository.prune(&[], grace).await.unwrap();
    assert!(removed.removed_packs > 0, "{removed:?}");
    assert!(
        removed.stored_bytes_after < removed.stored_bytes_before / 3 * 2,
        "{removed:?}"
    );
    assert_eq!(read(&repository, second).await.unwrap(), two);
    let gone = repository.read(first).await.map(drop);
    assert!(
        matches!(gone, Err(RepositoryError::NoSnapshot { .. })),
        "{gone:?}"
    );
    assert_eq!(Grace::at_least(Duration::ZERO), Grace::at_least(Grace::DAY));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_and_told() {
    let house = House::new();
    let repository = house.repository().await;
    let content = content(26);
    let stored = write(&repository, &content).await.unwrap();
    let data = house.folder.path().join("repository/data");
    let largest = walk(&data)
        .into_iter()
        .max_by_key(|file| file.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, &bytes).unwrap();
    let structure = repository.check(Depth::Structure).await.unwrap();
    assert!(
        structure.is_sound(),
        "a flipped bit is found by reading: {structure:?}"
    );
    let found = repository
        .check(Depth::Data { percent: 100.0 })
        .await
        .unwrap();
    assert!(!found.is_sound());
    assert!(read(&repository, stored.snapshot).await.is_err());
    std::fs::remove_file(&largest).unwrap();
    let missing = repository.check(Depth::Structure).await.unwrap();
    assert!(!missing.is_sound());
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
