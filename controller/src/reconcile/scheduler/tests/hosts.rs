//! Hosts as a whole by schedule: rebuilt and read, once each quarter and year, whatever became of the job.

use holdfast_proto::drill::Verdict;

use super::*;
use crate::{
    catalog::{BackupKind, DrillOf, NewBackup},
    policy::file::read,
};

async fn back_up(catalog: &Catalog) {
    let now = clock_now(catalog);
    let new = NewBackup {
        database: "web-1/shop-db/shop".parse().unwrap(),
        engine: Some(Engine::Postgres),
        kind: BackupKind::Full,
        taken_at: now,
        stored_at: now,
        logical_bytes: 1,
        stored_bytes: 1,
        snapshot_id: "a".to_owned(),
        manifest: serde_json::json!({}),
        job: None,
    };
    catalog.add_backup(&new).await.unwrap();
}

#[tokio::test]
async fn a_host_with_backups_is_rebuilt_and_its_repository_read_by_schedule() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = fleet(&catalog, &[]).await;
    let start = Submits::new(&catalog, false);
    let scheduler = scheduler(&catalog, &fleet, &start);
    let pass = async || {
        let begun = scheduler.pass().await.unwrap();
        let begun = begun.into_iter();
        let mut works: Vec<_> = begun.map(|one| (one.of.to_string(), one.work)).collect();
        works.sort();
        works
    };
    clock.advance(Duration::from_hours(24 * 60));
    assert_eq!(pass().await, [], "there is nothing to drill");
    back_up(&catalog).await;
    assert_eq!(pass().await, [], "its moment comes within days");
    clock.advance(Duration::from_hours(24 * 28));
    let whole = |work| ("web-1".to_owned(), work);
    assert_eq!(pass().await, [whole(Work::Rebuild), whole(Work::Offsite)]);
    assert_eq!(pass().await, [], "both run");

    // What a rebuild found is found: no other one before its time, though the job of an incomplete one fails.
    let runs = catalog.scheduled_runs().await.unwrap();
    let rebuild = runs.iter().find(|run| run.work == Work::Rebuild).unwrap();
    assert_eq!(rebuild.of, Scheduled::Host("web-1".parse().unwrap()));
    let job = rebuild.job.unwrap().0;
    let host: HostName = "web-1".parse().unwrap();
    let of = DrillOf::Rebuild {
        host: host.clone(),
        on: host,
    };
    let begun = catalog.begin_drill(job, &of, clock_now(&catalog)).await;
    let report = crate::catalog::testing::drill_report(&begun.unwrap(), Verdict::Incomplete);
    assert!(catalog.end_drill(&report, "x").await.unwrap());
    end_jobs(&catalog, "failed").await;
    clock.advance(Duration::from_hours(23));
    assert_eq!(pass().await, []);
    clock.advance(Duration::from_hours(2));
    // The other one came to nothing, and is tried again after a day.
    assert_eq!(pass().await, [whole(Work::Offsite)]);
    end_jobs(&catalog, "succeeded").await;
    clock.advance(Duration::from_hours(24 * 100));
    let later = pass().await;
    assert_eq!(later, [whole(Work::Rebuild)], "the next quarter");
    assert_eq!(start.calls().len(), 4);
}

#[tokio::test]
async fn a_host_that_the_file_excepts_is_left_alone() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = fleet(&catalog, &[]).await;
    let set = read("hosts: {offsite: none, except: {web-1: {rebuild: none}}}").unwrap();
    let applied = catalog.apply_policies(&set, 0, "operator/ann", clock_now(&catalog));
    assert_eq!(applied.await.unwrap(), Some(1));
    back_up(&catalog).await;
    let start = Submits::new(&catalog, false);
    let scheduler = scheduler(&catalog, &fleet, &start);
    clock.advance(Duration::from_hours(24 * 300));
    assert_eq!(scheduler.pass().await.unwrap(), []);
}
