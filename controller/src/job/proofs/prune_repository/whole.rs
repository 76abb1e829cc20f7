//! What goes, what stays, and who has to wait, when nothing fails.

use chrono::TimeDelta;
use holdfast_chassis::clock::Clock as _;
use holdfast_proto::task::Selection;

use super::{
    names,
    real::{House, SHOP, add},
};
use crate::{
    catalog::BackupState,
    job::{
        BackUpDatabase, JobSpec, JobState, RestoreDatabase,
        landing::dependents::Dependents,
        proofs::{agents::Databases, back_up_database, harness::eventually},
        prune_repository::PruneReport,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_goes_what_counts_stays_and_the_second_run_frees_the_space() {
    let house = House::new().await;
    let ids = house.ids();
    let left = house.snapshots(&ids[2..]).await;
    let before = house.shelf.size();
    let running = house.world.start(house.world.engine("a"));
    let report = async || -> PruneReport {
        let job = house.prune(&running).await;
        assert_eq!(house.world.state(job).await, JobState::Succeeded);
        let details = running.engine.get(job).await.unwrap();
        details.report.pruned.unwrap()
    };
    let first = report().await;
    assert_eq!(first.removed.backups, ids[..2]);
    assert_eq!(
        (first.removed.unknown, &first.removed.missing[..]),
        (0, &[][..])
    );
    assert!(first.freed.unwrap().marked_packs > 0, "{first:?}");
    assert_eq!(house.shelf.listed().await, left);
    assert!(house.shelf.size() >= before, "phase one frees nothing");
    house.assert_unharmed("after the first").await;
    for id in &ids[..2] {
        let gone = house.world.catalog.backup(*id).await.unwrap().unwrap();
        assert_eq!(gone.state, BackupState::Expired);
    }
    let audited = house.world.catalog.list_audit(10).await.unwrap();
    let removals = audited
        .iter()
        .filter(|e| e.content.action == "backup.remove");
    let subjects: Vec<_> = removals.map(|e| e.content.subject.clone()).collect();
    assert_eq!(names(&subjects).len(), 2, "{subjects:?}");

    let second = report().await;
    assert!(second.removed.backups.is_empty(), "{second:?}");
    let freed = second.freed.unwrap();
    assert!(freed.removed_packs > 0, "{second:?}");
    // Two of four are gone, and what they shared with the others is left.
    assert!(house.shelf.size() < before * 3 / 4, "{second:?}");
    house.assert_unharmed("after the second").await;
    let [pruning] = &house.world.catalog.prunings().await.unwrap()[..] else {
        panic!("one repository");
    };
    assert_eq!(pruning.pruned_at, Some(house.world.clock.now()));
    assert!(!pruning.unfinished && !pruning.running, "{pruning:?}");
    assert_eq!(
        pruning.marked_packs,
        freed.marked_packs + freed.waiting_packs
    );
}

/// Each of them is in the place of one that goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_pinned_read_or_marked_of_late_stays_and_so_does_what_nobody_knows() {
    let mut house = House::new().await;
    let ids = house.ids();
    let (first, second, young) = (ids[0], ids[1], ids[2]);
    house.delete(young).await;
    let unknown = house.shelf.write(b"of a catalog that was lost").await;
    let catalog = &house.world.catalog;
    assert!(catalog.pin_backup(first, true).await.unwrap());
    let restore = RestoreDatabase {
        backup: second,
        source: SHOP.parse().unwrap(),
        target: "web-2/shop-db/shop".parse().unwrap(),
        replace: false,
        keep: std::time::Duration::from_hours(1),
        dry_run: false,
        jobs: 0,
        tables: vec![],
        no_safety_backup: false,
        dependents: Dependents::default(),
    };
    // It has chosen its backup, and waits: no engine runs yet, and the prune comes first.
    let waiting = house.world.engine("a");
    let prune = waiting.submit(house.world.sample.spec.clone(), "x", "");
    let prune = prune.await.unwrap();
    let restore = JobSpec::RestoreDatabase(restore);
    let restore = waiting.submit(restore, "x", "").await.unwrap();
    let running = house.world.start(waiting);
    let ended = house.world.ended(prune).await;
    assert_eq!(ended.state, JobState::Succeeded, "{}", ended.reason);
    house.world.ended(restore).await;
    let report = running
        .engine
        .get(prune)
        .await
        .unwrap()
        .report
        .pruned
        .unwrap();
    assert_eq!(
        (&report.removed.backups[..], report.removed.unknown),
        (&[][..], 1)
    );
    let mut all = house.snapshots(&ids).await;
    all.insert(unknown);
    assert_eq!(house.shelf.listed().await, all);

    // The readers and the pin are gone, and the grace is over.
    assert!(catalog.pin_backup(first, false).await.unwrap());
    house.delete(first).await;
    house.pass(TimeDelta::hours(25));
    let last = house.back_up(9).await;
    let prune = house.prune(&running).await;
    assert_eq!(house.world.state(prune).await, JobState::Succeeded);
    let kept = house.world.catalog.backups(false).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|backup| backup.id).collect();
    assert_eq!(kept, [last, ids[3]]);
    house.assert_unharmed("at the end").await;
}

/// Retention would count it as the newest good one, and let the one go that is.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_in_its_repository_takes_no_other_s_place() {
    let house = House::new().await;
    let ids = house.ids();
    for id in &ids[2..] {
        house.delete(*id).await;
    }
    // Nothing good is left but a row without a snapshot.
    let phantom = "f".repeat(64);
    let phantom = add(&house.world.catalog, &phantom, house.world.clock.now()).await;
    house.pass(TimeDelta::hours(25));
    let running = house.world.start(house.world.engine("a"));
    let job = house.prune(&running).await;
    assert_eq!(house.world.state(job).await, JobState::Succeeded);
    let details = running.engine.get(job).await.unwrap();
    let removed = details.report.pruned.unwrap().removed;
    assert_eq!(removed.missing, [phantom]);
    assert_eq!(removed.backups, ids[..3], "the newest that is there stays");
    let told = format!("NOT IN THE REPOSITORY, though the catalog has it: backup {phantom}");
    let lines = details.events.iter();
    let mut lines = lines.filter(|line| line.message.contains(&told));
    assert!(lines.next().is_some(), "{:?}", details.events);
    assert_eq!(house.shelf.listed().await, house.snapshots(&ids[3..]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_backup_that_runs_and_a_backup_waits_for_it() {
    let house = House::new().await;
    let world = &house.world;
    let agents = super::super::agents::Agents::new(
        back_up_database::verbs,
        Databases::from([(SHOP.to_owned(), "5000 users".to_owned())]),
    );
    agents.hang("store/do");
    let agents = std::sync::Arc::new(agents);
    let running = world.start(crate::job::Engine::new(
        (**world.catalog).clone(),
        agents.clone(),
        agents,
        world.shelf.clone(),
        world.clock.clone(),
        crate::job::Settings {
            poll: std::time::Duration::from_millis(10),
            ..crate::job::Settings::default()
        },
    ));
    let backup = || {
        JobSpec::BackUpDatabase(BackUpDatabase {
            source: SHOP.parse().unwrap(),
            selection: Selection::default(),
            jobs: 0,
            bandwidth: 0,
            is_safety: false,
        })
    };
    let submit = |spec| running.engine.submit(spec, "operator/ann", "");
    let first = submit(backup()).await.unwrap();
    eventually("the backup writes", || async {
        let row = world.catalog.job(first).await.unwrap().unwrap();
        (row.view().step == "store").then_some(())
    })
    .await;
    let prune = house.prune(&running).await;
    let second = submit(backup()).await.unwrap();
    let waits = async |job, because: String| {
        eventually(&because, || async {
            let row = world.catalog.job(job).await.unwrap().unwrap();
            let view = row.view();
            assert_eq!(view.step, "", "it has begun");
            (view.reason == because).then_some(())
        })
        .await;
    };
    waits(prune, format!("job {first} uses repository:web-1")).await;
    waits(second, format!("job {prune} waits for repository:web-1")).await;
    assert_eq!(house.shelf.listed().await.len(), 4);
    running.engine.cancel(first, "operator/ann").await.unwrap();
    assert_eq!(world.state(prune).await, JobState::Succeeded);
    assert_eq!(house.shelf.listed().await.len(), 2);
    running.engine.cancel(second, "operator/ann").await.unwrap();
    assert_eq!(world.state(second).await, JobState::Cancelled);
}
