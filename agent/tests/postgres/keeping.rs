//! Images in a repository: a backup holds everything, restores as it was, and shows when it is damaged.

use std::{fs, path::Path, process::Command, sync::Arc};

use crate::gateway::House;
use crate::image::{Pair, STAGING};
use crate::s3::S3;
use crate::server::Server as _;
use crate::support::Server;
use holdfast_agent::task::{Context, perform};
use holdfast_proto::{
    image::Manifest,
    task::{
        BackUpDatabase, BackedUpDatabase, DatabaseProperties, DatabaseTarget, FailureKind,
        RepositoryRef, RestoreImage, RestoredImage, Selection, TableName, TaskFailure, TaskResult,
        TaskSpec,
    },
};
use holdfast_repository::{RepositoryKey, storage::Bucket};
use tempfile::TempDir;

const EVERY_OBJECT: &str = include_str!("../../../tests/sql/every_object.sql");

async fn back_up(context: &Context) -> Result<BackedUpDatabase, TaskFailure> {
    let spec = BackUpDatabase {
        source: target("shop"),
        selection: Selection::default(),
        repository: RepositoryRef {
            host: "web-1".to_owned(),
            job: 0,
        },
        jobs: 2,
        bandwidth: 0,
        tags: vec!["job-1".to_owned()],
    };
    match perform(TaskSpec::BackUpDatabase(spec), context).await? {
        TaskResult::BackedUpDatabase(done) => Ok(done),
        other => panic!("{other:?}"),
    }
}

async fn restore(context: &Context, snapshot: &str) -> Result<RestoredImage, TaskFailure> {
    restore_only(context, snapshot, vec![]).await
}

async fn restore_only(
    context: &Context,
    snapshot: &str,
    tables: Vec<TableName>,
) -> Result<RestoredImage, TaskFailure> {
    let spec = RestoreImage {
        tables,
        ..whole(snapshot)
    };
    match perform(TaskSpec::RestoreImage(spec), context).await? {
        TaskResult::RestoredImage(done) => Ok(done),
        other => panic!("{other:?}"),
    }
}

fn whole(snapshot: &str) -> RestoreImage {
    RestoreImage {
        staging: target(STAGING),
        repository: RepositoryRef {
            host: "web-1".to_owned(),
            job: 2,
        },
        snapshot: snapshot.to_owned(),
        jobs: 2,
        properties: DatabaseProperties::default(),
        no_tablespaces: false,
        tables: vec![],
        disk_limit_bytes: 0,
    }
}

fn target(database: &str) -> DatabaseTarget {
    DatabaseTarget {
        instance: "shop-db".to_owned(),
        database: database.to_owned(),
    }
}

#[track_caller]
fn assert_proven(kept: &Manifest, restored: &RestoredImage) {
    assert_eq!(*kept, restored.manifest);
    let received = &restored.received;
    assert_eq!(kept.sequences, received.sequences);
    assert_eq!(kept.schema_hash, received.schema_hash);
    assert_eq!(kept.relations.len(), received.relations.len());
    for (kept, found) in kept.relations.iter().zip(&received.relations) {
        let of = |r: &holdfast_proto::image::Relation| (r.name.clone(), r.rows, r.fingerprint);
        assert_eq!(of(kept), of(found));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_comes_back() {
    kept_and_back(15, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_comes_back_on_a_newer_server() {
    kept_and_back(15, 17).await;
}

async fn kept_and_back(source: u32, target: u32) {
    let pair = Pair::start(source, target);
    pair.fill(EVERY_OBJECT);
    let before = pair.source_state();
    let place = tempfile::tempdir().expect("a directory");
    let kept = back_up(&pair.source.context(place.path()))
        .await
        .expect("a backup");
    assert!(kept.added_bytes > 0);
    assert_eq!(pair.source_state(), before, "the source is as it was");
    let restored = restore(&pair.target.context(place.path()), &kept.snapshot).await;
    assert_proven(&kept.manifest, &restored.expect("restored"));
    pair.assert_same_dump();
    pair.assert_same_rows();
    pair.assert_nothing_left_running();
    pair.assert_servers_untouched();
}

/// Written past the controller, read through it by another host, and by Debian's restic.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_straight_into_a_bucket_comes_back_through_the_controller() {
    let pair = Pair::start(15, 15);
    pair.fill(EVERY_OBJECT);
    let server = S3::start();
    let bucket = server.bucket(&[]);
    let bucket = Bucket {
        url: format!("{}/web-1", bucket.url),
        ..bucket
    };
    let house = House::in_bucket(&bucket).await;
    let place = tempfile::tempdir().expect("a directory");
    let context = |server: &Server| {
        let mut context = server.context(place.path());
        context.backups = Arc::new(house.repositories().clone());
        context
    };
    let kept = back_up(&context(&pair.source)).await.expect("a backup");
    assert_eq!(house.puts(), 0, "nothing came through the gateway");
    house.hands_out([None]);
    let restored = restore(&context(&pair.target), &kept.snapshot).await;
    assert_proven(&kept.manifest, &restored.expect("restored"));
    pair.assert_same_dump();
    pair.assert_same_rows();
    let script = server.restic(house.password(), &["dump", &kept.snapshot, "/restore.sh"]);
    assert!(script.starts_with(b"#!"), "{script:?}");

    let mut wrong = bucket;
    let secret = "hunter2hunter2".to_owned();
    wrong.options.insert("secret_access_key".to_owned(), secret);
    house.hands_out([Some(wrong)]);
    let failure = back_up(&context(&pair.source)).await.expect_err("refused");
    assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
    assert!(!failure.retryable);
    let advice = &failure.advice;
    assert!(
        advice.contains("repository.direct_credentials_file"),
        "{advice}"
    );
    let told = format!("{failure:?}");
    assert!(!told.contains("hunter2"), "{told}");
    assert!(
        !told.contains("holdfast-test"),
        "not even whose they are: {told}"
    );
    pair.assert_nothing_left_running();
}

/// As a drill bounds its throwaway server.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_takes_more_disk_than_it_may_is_ended() {
    let pair = Pair::start(15, 15);
    pair.fill(EVERY_OBJECT);
    let place = tempfile::tempdir().expect("a directory");
    let kept = back_up(&pair.source.context(place.path())).await;
    let context = pair.target.context(place.path());
    let spec = TaskSpec::RestoreImage(RestoreImage {
        disk_limit_bytes: 1 << 20,
        ..whole(&kept.expect("a backup").snapshot)
    });
    let failure = perform(spec, &context).await.expect_err("too much");
    assert_eq!(failure.kind, FailureKind::Exhausted, "{failure:?}");
    assert!(failure.message.contains("limit of 1.0 MiB"), "{failure:?}");
    assert!(!failure.retryable);
}

/// With Debian's restic and psql, and a server that knows none of the roles.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_without_us() {
    let pair = Pair::start(15, 15);
    pair.fill(EVERY_OBJECT);
    let _ = pair.source.psql(
        "postgres",
        "alter role \"every owner\" login password 'as before'",
    );
    let place = tempfile::tempdir().unwrap();
    let kept = back_up(&pair.source.context(place.path())).await.unwrap();
    let files = place.path().join("files");
    restic(
        place.path(),
        &[
            "restore",
            &kept.snapshot,
            "--target",
            files.to_str().unwrap(),
        ],
    );
    let empty = Server::start(15);
    let script = "psql -X -q -d postgres -f roles.sql 2>&1 | grep -v 'already exists' >&2; \
                  psql -X -q -d postgres -c \"create database shop template template0 encoding 'UTF8' locale 'C.UTF-8'\" && \
                  bash restore.sh -d shop";
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(&files)
        .env("PGHOST", empty.address())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", "secret")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let schema = |server: &Server| server.dump("shop", 15, &["--schema-only"]);
    assert_eq!(schema(&pair.source), schema(&empty));
    for relation in &kept.manifest.relations {
        if relation.schema != "pg_catalog" {
            let (schema, name) = (
                relation.schema.replace('"', "\"\""),
                relation.name.replace('"', "\"\""),
            );
            let count = empty.psql(
                "shop",
                &format!("select count(*) from only \"{schema}\".\"{name}\""),
            );
            let there = pair.source.psql(
                "shop",
                &format!("select count(*) from only \"{schema}\".\"{name}\""),
            );
            assert_eq!(count, there, "{schema}.{name}");
        }
    }
    let sequences = "select string_agg(schemaname || sequencename || coalesce(last_value, -1), ',' order by 1) from \
                     (select * from pg_sequences order by schemaname, sequencename) s";
    assert_eq!(
        pair.source.psql("shop", sequences),
        empty.psql("shop", sequences)
    );
    let verifier = "select rolpassword from pg_authid where rolname = 'every owner'";
    let password = empty.psql("postgres", verifier);
    assert!(password.starts_with("SCRAM-SHA-256"), "{password}");
    assert_eq!(pair.source.psql("postgres", verifier), password);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_costs_nothing_and_a_change_costs_its_part() {
    let pair = Pair::start(15, 15);
    // Three parts of 32 MiB, and noise that does not compress.
    pair.fill(
        "create table big (id int primary key, filler text);
         insert into big select n, (select string_agg(md5(n::text || m), '') from generate_series(1, 60) m)
           from generate_series(1, 48000) n;
         vacuum big;",
    );
    let place = tempfile::tempdir().unwrap();
    let context = pair.source.context(place.path());
    let first = back_up(&context).await.unwrap();
    let [big] = &first.manifest.relations[..] else {
        panic!("{:?}", first.manifest.relations);
    };
    assert!(big.parts.len() >= 3, "{} parts", big.parts.len());
    let same = back_up(&context).await.unwrap();
    assert_eq!(first.manifest.relations, same.manifest.relations);
    // The schema's archive notes the time; the lists of what is stored are new.
    assert!(
        same.added_bytes < 100_000,
        "{} of {}",
        same.added_bytes,
        first.added_bytes
    );
    // One page changes, so one part is another one.
    pair.fill("insert into big values (0, 'new')");
    let changed = back_up(&context).await.unwrap();
    let parts = |manifest: &Manifest| manifest.relations[0].parts.clone();
    let (before, after) = (parts(&first.manifest), parts(&changed.manifest));
    let differing = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert_eq!((differing, before.len()), (1, after.len()));
    assert!(
        changed.added_bytes < first.added_bytes / 2,
        "{} of {}",
        changed.added_bytes,
        first.added_bytes
    );
    let restored = restore(&pair.target.context(place.path()), &changed.snapshot).await;
    assert_proven(&changed.manifest, &restored.unwrap());
    // An older one is what it was.
    let restored = restore(&pair.target.context(place.path()), &first.snapshot).await;
    assert_proven(&first.manifest, &restored.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn single_tables_come_back_with_the_schema_around_them() {
    let pair = Pair::start(15, 15);
    pair.fill(
        "create table users (id int primary key, boss int references users);
         create table orders (id int primary key, buyer int not null references users);
         create table lines (id int primary key, part_of int not null references orders);
         insert into users select n, 1 from generate_series(1, 50) n;
         insert into orders select n, n from generate_series(1, 20) n;
         insert into lines select n, n from generate_series(1, 10) n;",
    );
    let place = tempfile::tempdir().unwrap();
    let kept = back_up(&pair.source.context(place.path())).await.unwrap();
    let context = pair.target.context(place.path());
    let table = |name: &str| TableName {
        schema: "public".to_owned(),
        name: name.to_owned(),
    };
    let two = vec![table("orders"), table("lines")];
    let restored = restore_only(&context, &kept.snapshot, two).await.unwrap();
    assert_eq!(
        restored.manifest, kept.manifest,
        "as the repository holds it"
    );
    let rows = |restored: &RestoredImage| -> Vec<_> {
        let relations = restored.received.relations.iter();
        relations
            .map(|r| (r.name.clone(), r.rows, r.fingerprint))
            .collect()
    };
    let expected = kept.manifest.relations.iter().filter(|r| r.name != "users");
    assert_eq!(
        rows(&restored),
        expected
            .map(|r| (r.name.clone(), r.rows, r.fingerprint))
            .collect::<Vec<_>>()
    );
    let counted = "select (select count(*) from orders), (select count(*) from lines), (select count(*) from users)";
    assert_eq!(pair.target.psql(STAGING, counted), "20|10|0");
    // What holds among them is checked as ever; what left them is told.
    let foreign = "select string_agg(conname || convalidated, ' ' order by conname) from pg_constraint where contype = 'f'";
    assert_eq!(pair.target.psql(STAGING, foreign), "lines_part_of_fkeytrue");
    let told = restored.received.notices.join("; ");
    assert!(told.contains("orders_buyer_fkey"), "{told}");

    let none = restore_only(&context, &kept.snapshot, vec![table("gone")]).await;
    let failure = none.expect_err("no such table");
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(failure.message.contains("public.gone"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_leaves_nothing() {
    let pair = Pair::start(15, 15);
    pair.fill("create table big as select n, md5(n::text) from generate_series(1, 3000000) n");
    let place = tempfile::tempdir().unwrap();
    let context = pair.source.context(place.path());
    let cancel = context.cancel.clone();
    let backing_up = tokio::spawn(async move { back_up(&context).await });
    let active = "select count(*) from pg_stat_activity where query like 'COPY %big%' and pid <> pg_backend_pid()";
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while pair.source.psql("postgres", active) == "0" {
        assert!(std::time::Instant::now() < end, "the backup did not begin");
    }
    cancel.cancel();
    let failure = backing_up.await.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled, "{failure:?}");
    pair.assert_nothing_left_running();
    let snapshots = fs::read_dir(place.path().join("repository/snapshots"));
    assert_eq!(snapshots.map_or(0, Iterator::count), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_not_restored() {
    let pair = Pair::start(15, 15);
    pair.fill("create table users as select n, md5(n::text) from generate_series(1, 200000) n");
    let place = tempfile::tempdir().unwrap();
    let kept = back_up(&pair.source.context(place.path())).await.unwrap();
    let packs = packs(&place);
    let biggest = packs
        .iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(biggest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut permissions = fs::metadata(biggest).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test")]
    permissions.set_readonly(false);
    fs::set_permissions(biggest, permissions).unwrap();
    fs::write(biggest, bytes).unwrap();
    let failure = restore(&pair.target.context(place.path()), &kept.snapshot)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::DataMismatch, "{failure:?}");
    assert!(
        failure.advice.contains("ctl repository check"),
        "{failure:?}"
    );
    pair.assert_nothing_left_running();

    fs::remove_file(biggest).unwrap();
    let failure = restore(&pair.target.context(place.path()), &kept.snapshot)
        .await
        .unwrap_err();
    assert!(!failure.message.is_empty(), "{failure:?}");
}

fn packs(place: &TempDir) -> Vec<std::path::PathBuf> {
    let folders = fs::read_dir(place.path().join("repository/data")).expect("packs");
    folders
        .flat_map(|folder| fs::read_dir(folder.expect("a folder").path()).expect("files"))
        .map(|file| file.expect("a file").path())
        .collect()
}

fn restic(place: &Path, arguments: &[&str]) {
    let key: RepositoryKey =
        serde_json::from_slice(&fs::read(place.join("repository.key")).expect("a key file"))
            .expect("a key");
    let output = Command::new("/usr/bin/restic")
        .args(["--no-cache", "-r"])
        .arg(place.join("repository"))
        .args(arguments)
        .env("RESTIC_PASSWORD", key.password())
        .output()
        .expect("restic is needed: tests/machine/packages --yes");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
