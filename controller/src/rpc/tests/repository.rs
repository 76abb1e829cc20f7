//! Operators and the repositories: what they see, and the export that opens everything.

use std::{collections::BTreeSet, process::Command};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt as _;
use holdfast_chassis::identity::Role;
use holdfast_proto::{fleet::Engine, wire};
use holdfast_repository::{About, Depth, Plan, Repository, SnapshotId};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::house::House;
use crate::{
    catalog::{BackupKind, NewBackup},
    job::JobState,
    retention::Deletion,
};

async fn back_up(repository: &Repository, rows: &'static [u8]) -> SnapshotId {
    let mut writing = repository.write(Plan {
        about: About {
            host: "web-1".to_owned(),
            label: "web-1/shop-db/shop".to_owned(),
            tags: vec!["job-1".to_owned()],
            time: chrono::Utc::now(),
        },
        entries: vec!["orders".parse().unwrap()],
        last: "zz-manifest".parse().unwrap(),
        at_once: 1,
    });
    let mut entry = writing.next().await.unwrap();
    entry.send(Bytes::from_static(rows)).await.unwrap();
    entry.whole(rows.len() as u64).await.unwrap();
    writing.finish("{}").await.unwrap().snapshot
}

/// Its row in the catalog.
async fn noted(house: &House, snapshot: SnapshotId, taken_at: DateTime<Utc>) -> u64 {
    let new = NewBackup {
        database: "web-1/shop-db/shop".parse().unwrap(),
        engine: Some(Engine::Postgres),
        kind: BackupKind::Full,
        taken_at,
        stored_at: taken_at,
        logical_bytes: 8,
        stored_bytes: 8,
        snapshot_id: snapshot.to_string(),
        manifest: serde_json::json!({}),
        job: None,
    };
    house.catalog.add_backup(&new).await.unwrap()
}

/// From the request to the storage, with the grace that operators have: what is marked today stays today.
#[tokio::test(flavor = "multi_thread")]
async fn a_prune_shows_what_is_due_and_takes_that_and_nothing_else() {
    let house = House::open().await;
    let mut bob = house.operator("bob", Role::Operator).await;
    let mut prune = async |dry_run| {
        let request = wire::PruneRepositoryRequest {
            host: "web-1".to_owned(),
            dry_run,
        };
        let answer = bob.prune_repository(request).await;
        answer.map(tonic::Response::into_inner)
    };
    assert_eq!(prune(true).await.unwrap_err().code(), Code::NotFound);
    let host = "web-1".parse().unwrap();
    house.services.repositories.ensure(&host).await.unwrap();
    let repository = house.services.repositories.repository(&host).await.unwrap();
    let now = Utc::now();
    let mut ids = Vec::new();
    for (days, rows) in [
        (3, &b"the oldest rows"[..]),
        (2, b"old rows"),
        (1, b"the rows"),
    ] {
        let snapshot = back_up(&repository, rows).await;
        ids.push((
            noted(&house, snapshot, now - TimeDelta::days(days)).await,
            snapshot,
        ));
    }
    let deletion = Deletion {
        by: "operator/ann".to_owned(),
        forced: false,
    };
    for ((id, _), hours) in ids.iter().zip([25, 23]) {
        let at = now - TimeDelta::hours(hours);
        assert!(
            house
                .catalog
                .delete_backup(*id, &deletion, at)
                .await
                .unwrap()
        );
    }
    let told = prune(true).await.unwrap();
    assert_eq!((told.job, told.lines.len()), (0, 1), "{told:?}");
    assert_eq!(told.lines[0].backup, ids[0].0);
    assert_eq!(told.lines[0].reasons, ["deleted by operator/ann"]);
    assert!(house.services.jobs.list(0, false).await.unwrap().is_empty());
    assert_eq!(repository.snapshots().await.unwrap().len(), 3);

    let begun = prune(false).await.unwrap();
    assert_eq!(begun.lines, told.lines);
    let line = house.audited(|line| line.action == "job.prune").await;
    assert_eq!(
        (line.actor.as_str(), line.subject.as_str()),
        ("operator/bob", "web-1")
    );
    let (jobs, stop) = (house.services.jobs.clone(), CancellationToken::new());
    let running = tokio::spawn({
        let (jobs, stop) = (jobs.clone(), stop.clone());
        async move { jobs.run(stop).await }
    });
    let watched = jobs.watch(begun.job, 0).await.unwrap();
    let _ = watched.collect::<Vec<_>>().await;
    stop.cancel();
    running.await.unwrap();
    let details = jobs.get(begun.job).await.unwrap();
    assert_eq!(details.job.state, JobState::Succeeded, "{:?}", details.job);
    let report = wire::GetJobResponse::from(details).report.unwrap();
    let pruned = report.pruned.unwrap();
    assert_eq!(pruned.backups, [ids[0].0]);
    let freed = pruned.freed.unwrap();
    assert!(
        freed.marked_packs > 0 && freed.removed_packs == 0,
        "{freed:?}"
    );
    let left = repository.snapshots().await.unwrap();
    let left: BTreeSet<_> = left.iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(left, BTreeSet::from([ids[1].1, ids[2].1]));
    let sound = repository.check(Depth::Data { percent: 100.0 }).await;
    assert!(sound.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_checks_and_measures() {
    let house = House::open().await;
    let mut bob = house.operator("bob", Role::Operator).await;
    let host = "web-1".parse().unwrap();
    let none = bob.get_repository_stats(wire::GetRepositoryStatsRequest {
        host: "web-1".to_owned(),
    });
    assert_eq!(none.await.unwrap_err().code(), Code::NotFound);
    house.services.repositories.ensure(&host).await.unwrap();
    let repository = house.services.repositories.repository(&host).await.unwrap();
    back_up(&repository, b"the rows").await;
    let listed = bob
        .list_repositories(wire::ListRepositoriesRequest {})
        .await;
    let listed = listed.unwrap().into_inner().repositories;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].ready && listed[0].location.ends_with("/repositories/web-1"));
    let stats = bob.get_repository_stats(wire::GetRepositoryStatsRequest {
        host: "web-1".to_owned(),
    });
    let stats = stats.await.unwrap().into_inner();
    assert_eq!(stats.series[0].label, "web-1/shop-db/shop");
    assert_eq!(stats.series[0].logical_bytes, 10);
    let mut check = async |percent| {
        let request = wire::CheckRepositoryRequest {
            host: "web-1".to_owned(),
            read_data_percent: percent,
        };
        bob.check_repository(request)
            .await
            .map(tonic::Response::into_inner)
    };
    assert!(check(100.0).await.unwrap().errors.is_empty());
    assert_eq!(
        check(101.0).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    std::fs::remove_dir_all(house.state_dir().join("repositories/web-1/data")).unwrap();
    assert!(!check(0.0).await.unwrap().errors.is_empty());
}

/// The export, the directory, Debian's restic, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_export_opens_what_was_made_before_and_after_it() {
    let house = House::open().await;
    let mut alice = house.operator("alice", Role::Admin).await;
    let repositories = &house.services.repositories;
    let (before, after) = ("web-1".parse().unwrap(), "web-2".parse().unwrap());
    repositories.ensure(&before).await.unwrap();
    let export = alice
        .export_repository_key(wire::ExportRepositoryKeyRequest {})
        .await;
    let export = export.unwrap().into_inner();
    assert_eq!(export.repositories.len(), 1);
    assert!(!format!("{export:?}").contains(&export.recovery_password));
    let line = house
        .audited(|line| line.action == "repository.export-key")
        .await;
    assert_eq!(line.actor, "operator/alice");
    repositories.ensure(&after).await.unwrap();
    for host in [&before, &after] {
        let repository = repositories.repository(host).await.unwrap();
        back_up(&repository, b"the rows").await;
        let dumped = Command::new("/usr/bin/restic")
            .args([
                "--no-cache",
                "-r",
                &repository.location(),
                "dump",
                "latest",
                "/orders",
            ])
            .env("RESTIC_PASSWORD", &export.recovery_password)
            .output()
            .expect("restic is needed: tests/machine/packages --yes");
        let said = String::from_utf8_lossy(&dumped.stderr);
        assert!(dumped.status.success(), "{host}: {said}");
        assert_eq!(dumped.stdout, b"the rows");
    }
}
