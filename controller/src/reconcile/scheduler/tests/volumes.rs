//! Volumes by schedule: those that a policy covers, in its rhythm, and no others.

use holdfast_proto::fleet::Volume;

use super::*;
use crate::policy::file::read;

async fn apply(catalog: &Catalog, file: &str, after: u64) {
    let set = read(file).unwrap();
    let applied = catalog.apply_policies(&set, after, "operator/ann", clock_now(catalog));
    assert_eq!(applied.await.unwrap(), Some(after + 1));
}

/// One host with these volumes.
async fn shelf(catalog: &Catalog, volumes: &[&str]) -> Fleet {
    let fleet = fleet(catalog, &[]).await;
    report(catalog, &fleet, volumes);
    fleet
}

fn report(catalog: &Catalog, fleet: &Fleet, volumes: &[&str]) {
    let volume = |name: &&str| Volume {
        device: String::new(),
        name: (*name).to_owned(),
        driver: "local".to_owned(),
        labels: [].into(),
        created_at: None,
        mountpoint: String::new(),
        anonymous: false,
        used_by: vec![],
    };
    let snapshot = HostSnapshot {
        volumes: volumes.iter().map(volume).collect(),
        ..HostSnapshot::default()
    };
    fleet.snapshot(&"web-1".parse().unwrap(), snapshot, clock_now(catalog));
}

#[tokio::test]
async fn a_volume_is_backed_up_by_schedule_only_while_a_policy_covers_it() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = shelf(&catalog, &["mail", "shop_uploads"]).await;
    let start = Submits::new(&catalog, false);
    let scheduler = scheduler(&catalog, &fleet, &start);
    scheduler.pass().await.unwrap();
    clock.advance(Duration::from_hours(30));
    assert_eq!(scheduler.pass().await.unwrap(), []);
    assert_eq!(catalog.known_databases().await.unwrap().len(), 2);

    apply(
        &catalog,
        "policies: [{name: files, select: {volume: 'shop_*'}}]",
        0,
    )
    .await;
    // Known for long; owed since the policy.
    assert_eq!(scheduler.pass().await.unwrap(), []);
    clock.advance(Duration::from_mins(31));
    let begun = scheduler.pass().await.unwrap();
    let names: Vec<_> = begun
        .iter()
        .map(|one| (one.of.to_string(), one.work))
        .collect();
    assert_eq!(names, [("web-1/shop_uploads".to_owned(), Work::Backup)]);
    clock.advance(Duration::from_hours(40));
    assert_eq!(scheduler.pass().await.unwrap(), []);
    end_jobs(&catalog, "succeeded").await;
    assert_eq!(scheduler.pass().await.unwrap().len(), 1, "caught up once");
    end_jobs(&catalog, "succeeded").await;
    assert_eq!(scheduler.pass().await.unwrap(), []);

    apply(&catalog, "policies: []", 1).await;
    clock.advance(Duration::from_hours(40));
    assert_eq!(scheduler.pass().await.unwrap(), []);
    assert_eq!(start.calls().len(), 2);
}

#[tokio::test]
async fn as_many_at_once_as_databases_and_none_of_a_volume_that_is_gone() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let names = ["a", "b", "c", "d"];
    let fleet = shelf(&catalog, &names).await;
    apply(
        &catalog,
        "policies: [{name: files, select: {volume: '*'}}]",
        0,
    )
    .await;
    let start = Submits::new(&catalog, false);
    let scheduler = scheduler(&catalog, &fleet, &start);
    scheduler.pass().await.unwrap();
    clock.advance(Duration::from_mins(31));
    assert_eq!(
        scheduler.pass().await.unwrap().len(),
        2,
        "the limit of the host"
    );
    end_jobs(&catalog, "succeeded").await;
    // Whichever were not begun are gone, and one is new.
    let begun: Vec<_> = start.calls().into_iter().map(|(name, ..)| name).collect();
    let begun: Vec<_> = begun.iter().map(String::as_str).collect();
    report(&catalog, &fleet, &[&begun[..], &["new"]].concat());
    assert_eq!(scheduler.pass().await.unwrap(), []);
    clock.advance(Duration::from_mins(31));
    let after: Vec<_> = scheduler.pass().await.unwrap();
    let after: Vec<_> = after.iter().map(|one| one.of.to_string()).collect();
    assert_eq!(after, ["web-1/new"]);
}
