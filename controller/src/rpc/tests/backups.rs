//! Backups as operators ask for them: which begin, which are refused, which may go, and what the audit log says.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::identity::Role;
use holdfast_proto::{
    fleet::{Database, Engine, HostSnapshot},
    wire::{self, operator_client::OperatorClient},
};
use tonic::{Code, transport::Channel};

use super::house::House;
use crate::{
    audit::Outcome,
    catalog::{BackupKind, NewBackup},
    job::JobSpec,
    reconcile::scheduler::Start as _,
    rpc::status::ADVICE,
};

const SHOP: &str = "web-1/shop-db/shop";

fn moment() -> DateTime<Utc> {
    "2026-11-20T06:00:00Z".parse().unwrap()
}

async fn stored(house: &House, snapshot: &str, hours: i64) -> u64 {
    let taken_at = moment() + TimeDelta::hours(hours);
    let new = NewBackup {
        database: SHOP.parse().unwrap(),
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
    house.catalog.add_backup(&new).await.unwrap()
}

fn name(text: &str) -> wire::DatabaseName {
    let name: holdfast_proto::names::DatabaseName = text.parse().unwrap();
    name.into()
}

/// A host with a PostgreSQL and a MariaDB server.
fn fill(house: &House) {
    let host = "web-1".parse().unwrap();
    let fleet = &house.services.fleet;
    fleet.enrolled(&host, moment());
    let mut shop = crate::detect::tests::healthy("shop-db");
    let database = Database {
        name: "shop".to_owned(),
        owner: String::new(),
        size_bytes: 1,
        encoding: String::new(),
        collation: String::new(),
        allows_connections: true,
        is_template: false,
    };
    if let Some(health) = &mut shop.health {
        health.databases = vec![database];
    }
    let mut wiki = crate::detect::tests::healthy("wiki-db");
    wiki.engine = Engine::Mysql;
    let snapshot = HostSnapshot {
        instances: vec![shop, wiki],
        ..HostSnapshot::default()
    };
    fleet.snapshot(&host, snapshot, moment());
}

async fn delete(
    client: &mut OperatorClient<Channel>,
    backup: u64,
    force: bool,
    typed: &str,
) -> Result<wire::Backup, tonic::Status> {
    let request = wire::DeleteBackupRequest {
        backup,
        force,
        typed: typed.to_owned(),
    };
    let answer = client.delete_backup(request).await?;
    Ok(answer.into_inner().backup.unwrap())
}

#[tokio::test]
async fn each_database_has_its_job() {
    let house = House::open().await;
    fill(&house);
    let mut ann = house.operator("ann", Role::Operator).await;
    let mut request = wire::CreateBackupsRequest {
        databases: vec![name(SHOP), name("web-1/wiki-db/wiki"), name(SHOP)],
        ..wire::CreateBackupsRequest::default()
    };
    let answer = ann.create_backups(request.clone()).await.unwrap();
    let started = answer.into_inner().started;
    assert_eq!(started.len(), 2, "named twice is once");
    assert!(
        started
            .iter()
            .all(|one| one.job > 0 && one.refused.is_empty())
    );
    for subject in [SHOP, "web-1/wiki-db/wiki"] {
        let of_it = house.audited(|line| line.action == "job.backup" && line.subject == subject);
        assert_eq!(of_it.await.actor, "operator/ann");
    }

    request.databases.push(name("web-1/shopdb/shop"));
    let status = ann.create_backups(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let jobs = house.services.jobs.list(0, false).await.unwrap();
    assert_eq!(jobs.len(), 2, "one wrong name, and nothing begins");
    request.all = true;
    let both = ann.create_backups(request).await.unwrap_err();
    assert_eq!(both.code(), Code::InvalidArgument);
    let none = ann
        .create_backups(wire::CreateBackupsRequest::default())
        .await;
    assert_eq!(none.unwrap_err().code(), Code::InvalidArgument);
    let shpo = wire::CreateBackupsRequest {
        project: "shpo".to_owned(),
        ..wire::CreateBackupsRequest::default()
    };
    assert_eq!(
        ann.create_backups(shpo).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn all_are_those_that_people_made_on_the_host_that_was_named() {
    let house = House::open().await;
    fill(&house);
    let mut ann = house.operator("ann", Role::Operator).await;
    let request = wire::CreateBackupsRequest {
        all: true,
        host: "web-1".to_owned(),
        ..wire::CreateBackupsRequest::default()
    };
    let started = ann
        .create_backups(request.clone())
        .await
        .unwrap()
        .into_inner()
        .started;
    let on_shop = started.iter().filter(|one| {
        let of = one.database.as_ref().unwrap();
        of.instance == "shop-db" && one.job > 0
    });
    assert!(on_shop.count() > 0, "{started:?}");
    let elsewhere = wire::CreateBackupsRequest {
        host: "web-9".to_owned(),
        ..request
    };
    let status = ann.create_backups(elsewhere).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn what_may_not_go_is_refused_with_the_reason_and_the_way() {
    let house = House::open().await;
    let (old, new) = (stored(&house, "a", 0).await, stored(&house, "b", 1).await);
    let mut ann = house.operator("ann", Role::Admin).await;
    let status = delete(&mut ann, new, false, "").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("the newest good one"), "{status}");
    let advice = status.metadata().get(ADVICE).unwrap().to_str().unwrap();
    assert!(advice.contains(&format!("ctl backup delete {new} --force")));
    let refused = house.audited(|line| line.action == "backup.delete").await;
    assert_eq!(refused.outcome, Outcome::Refused);

    let status = delete(&mut ann, new, true, "web-1/shop-db/other")
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let gone = delete(&mut ann, old, false, "").await.unwrap();
    assert_eq!(gone.deleted_by, "operator/ann");
    assert!(gone.goes_at.unwrap().seconds > gone.marked_at.unwrap().seconds);
    assert!(delete(&mut ann, new, true, SHOP).await.is_ok());
    assert_eq!(
        delete(&mut ann, 99, false, "").await.unwrap_err().code(),
        Code::NotFound
    );

    let pin = |backup: u64, pinned| wire::PinBackupRequest {
        backup: backup.to_string(),
        pinned,
    };
    let pinned = ann.pin_backup(pin(new, true)).await.unwrap().into_inner();
    let pinned = pinned.backup.unwrap();
    assert!(pinned.pinned && pinned.marked_at.is_none() && pinned.deleted_by.is_empty());
    let status = delete(&mut ann, new, true, SHOP).await.unwrap_err();
    assert!(status.message().contains("pinned"), "{status}");
    ann.pin_backup(pin(new, false)).await.unwrap();
    let mut ben = house.operator("ben", Role::Operator).await;
    let status = delete(&mut ben, new, true, SHOP).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn lists_are_narrowed_and_newest_first() {
    let house = House::open().await;
    let (old, new) = (stored(&house, "a", 0).await, stored(&house, "b", 1).await);
    let mut eve = house.operator("eve", Role::Viewer).await;
    let mut ids = async |host: &str, database: &str| {
        let request = wire::ListBackupsRequest {
            host: host.to_owned(),
            database: database.to_owned(),
            ..wire::ListBackupsRequest::default()
        };
        let answer = eve.list_backups(request).await.unwrap().into_inner();
        answer
            .backups
            .into_iter()
            .map(|backup| backup.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("", "").await, [new, old]);
    assert_eq!(ids("web-1", "shop").await, [new, old]);
    assert_eq!(ids("web-1", "crm").await, Vec::<u64>::new());
    assert_eq!(ids("web-2", "").await, Vec::<u64>::new());
    // Its manifest is none of ours: told, not taken for an empty one.
    let request = wire::GetBackupRequest {
        backup: new.to_string(),
    };
    let status = eve.get_backup(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
}

#[tokio::test]
async fn a_job_by_schedule_names_its_run_and_holds_the_whole_database() {
    let house = House::open().await;
    let (shop, jobs) = (SHOP.parse().unwrap(), &house.services.jobs);
    let job = jobs.backup(&shop, "schedule/7").await.unwrap();
    let row = house.catalog.job(job).await.unwrap().unwrap();
    assert_eq!(row.requested_by, "schedule/7");
    let JobSpec::BackUpDatabase(backup) = row.spec.0 else {
        panic!("another kind");
    };
    assert_eq!((backup.kind(), &backup.source), (BackupKind::Full, &shop));
    assert_eq!((backup.jobs, backup.bandwidth), (0, 0));
    let refused = jobs.drill(&shop, "schedule/8").await.unwrap_err();
    assert!(refused.to_string().contains("no good backup to restore"));
}
