//! Operators and the repositories: what they see, and the export that opens everything.

use std::process::Command;

use bytes::Bytes;
use holdfast_chassis::identity::Role;
use holdfast_proto::wire;
use holdfast_repository::{About, Plan, Repository};
use tonic::Code;

use super::house::House;

async fn back_up(repository: &Repository, rows: &'static [u8]) {
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
    writing.finish("{}").await.unwrap();
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
