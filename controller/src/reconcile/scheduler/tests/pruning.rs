//! Pruning by schedule: once a day where there is something, whoever looks.

use holdfast_chassis::clock::Clock as _;

use super::*;
use crate::{
    catalog::{BackupId, BackupKind, NewBackup},
    retention::{Deletion, removal::GRACE},
};

async fn a_repository(catalog: &Catalog) -> BackupId {
    let host = "web-1".parse().unwrap();
    catalog.add_repository(&host, "/a", b"1").await.unwrap();
    catalog.repository_ready(&host).await.unwrap();
    let at = catalog.clock.now();
    let mut ids = Vec::new();
    for (snapshot, taken_at) in [("a", at - TimeDelta::days(3)), ("b", at)] {
        let new = NewBackup {
            database: "web-1/shop-db/shop".parse().unwrap(),
            engine: Some(Engine::Postgres),
            kind: BackupKind::Full,
            taken_at,
            stored_at: taken_at,
            logical_bytes: 1,
            stored_bytes: 1,
            snapshot_id: snapshot.to_owned(),
            manifest: serde_json::json!({}),
            job: None,
        };
        ids.push(catalog.add_backup(&new).await.unwrap());
    }
    ids[0]
}

/// Whoever had the repository alone has given it back.
async fn ended(catalog: &Catalog) {
    sqlx::query("delete from resource_lock")
        .execute(&catalog.pool)
        .await
        .unwrap();
}

/// Two schedulers that both believe to lead; the prune itself is somebody else's.
#[tokio::test]
async fn a_repository_is_pruned_once_a_day_where_there_is_something_and_never_by_two() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = fleet(&catalog, &[]).await;
    let start = Submits::new(&catalog, false);
    let (one, other) = (
        scheduler(&catalog, &fleet, &start),
        scheduler(&catalog, &fleet, &start),
    );
    let look = async || {
        let lead = |scheduler: &Scheduler| {
            let scheduler = scheduler.clone();
            Box::pin(async move { scheduler.lead(&[]).await })
        };
        let (a, b, c) = tokio::join!(lead(&one), lead(&other), lead(&one));
        for looked in [a, b, c] {
            looked.unwrap();
        }
        start.prunes().len()
    };
    let old = a_repository(&catalog).await;
    assert_eq!(look().await, 0, "nothing is to go");
    let deletion = Deletion {
        by: "operator/ann".to_owned(),
        forced: false,
    };
    let marked = catalog.delete_backup(old, &deletion, clock.now());
    assert!(marked.await.unwrap());
    clock.advance(Duration::from_hours(24));
    assert_eq!(look().await, 0, "its grace is not over");
    clock.advance(Duration::from_secs(1));
    assert_eq!(look().await, 1);
    // It runs for two days.
    clock.advance(Duration::from_hours(48));
    assert_eq!(look().await, 1);
    // It has removed the backup, and failed after that: the next day goes on.
    let (now, grace) = (clock.now(), GRACE);
    assert!(
        catalog
            .remove_backup(old, now - grace, (7, now))
            .await
            .unwrap()
    );
    ended(&catalog).await;
    assert_eq!(look().await, 2);
    ended(&catalog).await;
    clock.advance(Duration::from_hours(23));
    assert_eq!(look().await, 2, "one a day");
    // Now it went through, and has left packs for the next one.
    let host = "web-1".parse().unwrap();
    let pruned = catalog.repository_pruned(&host, 3, clock.now()).await;
    pruned.unwrap();
    clock.advance(Duration::from_hours(23));
    assert_eq!(look().await, 2, "their day is not over");
    clock.advance(Duration::from_hours(2));
    assert_eq!(look().await, 3);
    ended(&catalog).await;
    let pruned = catalog.repository_pruned(&host, 0, clock.now()).await;
    pruned.unwrap();
    clock.advance(Duration::from_hours(240));
    assert_eq!(look().await, 3, "nothing is left");
}
