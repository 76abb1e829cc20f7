//! Images in a repository: a backup holds everything, restores as it was, with and without us.

use std::{fs, path::Path, process::Command};

use holdfast_agent::{
    engine::mariadb::{databases, describe},
    task::{Context, perform},
};
use holdfast_proto::{
    image::{Manifest, Relation},
    task::{
        BackUpDatabase, BackedUpDatabase, DatabaseProperties, DatabaseTarget, DescribeDatabase,
        FailureKind, RepositoryRef, RestoreImage, RestoredImage, Selection, StageDatabase,
        TableName, TaskFailure, TaskResult, TaskSpec,
    },
};
use holdfast_repository::RepositoryKey;

use crate::{
    images::{dump, fill, grants, roles_came_along, same},
    server::Server,
};

const STAGING: &str = "shop__staging_7";

fn place(database: &str) -> DatabaseTarget {
    DatabaseTarget {
        instance: "shop-db".to_owned(),
        database: database.to_owned(),
    }
}

async fn back_up(context: &Context) -> Result<BackedUpDatabase, TaskFailure> {
    let spec = BackUpDatabase {
        source: place("shop"),
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

async fn restore(
    context: &Context,
    snapshot: &str,
    tables: Vec<TableName>,
) -> Result<RestoredImage, TaskFailure> {
    let spec = RestoreImage {
        staging: place(STAGING),
        repository: RepositoryRef {
            host: "web-1".to_owned(),
            job: 2,
        },
        snapshot: snapshot.to_owned(),
        jobs: 2,
        properties: DatabaseProperties::default(),
        no_tablespaces: false,
        tables,
        disk_limit_bytes: 0,
    };
    match perform(TaskSpec::RestoreImage(spec), context).await? {
        TaskResult::RestoredImage(done) => Ok(done),
        other => panic!("{other:?}"),
    }
}

/// An empty staging database with the accounts, as the controller's job makes it.
async fn stage(source: &Server, target: &Server) {
    let describe = DescribeDatabase {
        target: place("shop"),
        as_source: true,
        selection: Selection::default(),
    };
    let facts = describe::read(&source.located(), &describe).await;
    let facts = facts.expect("described");
    let stage = StageDatabase {
        staging: place(STAGING),
        owner: facts.owner,
        encoding: facts.encoding,
        collate: facts.collate,
        ctype: facts.ctype,
        locale_provider: facts.locale_provider,
        icu_locale: facts.icu_locale,
        roles: facts.roles,
        job: 7,
    };
    let staged = databases::stage(&target.located(), &stage).await;
    staged.expect("staged");
}

#[track_caller]
fn assert_proven(kept: &Manifest, restored: &RestoredImage) {
    assert_eq!(*kept, restored.manifest);
    let received = &restored.received;
    assert_eq!(kept.sequences, received.sequences);
    assert_eq!(kept.schema_hash, received.schema_hash);
    let of = |r: &Relation| (r.name.clone(), r.rows, r.fingerprint);
    let mut left: Vec<_> = kept.relations.iter().map(of).collect();
    let mut right: Vec<_> = received.relations.iter().map(of).collect();
    left.sort_by(|a, b| a.0.cmp(&b.0));
    right.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(left, right);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_object_comes_back() {
    for (from, to) in [("10.11", "11.8"), ("11.8", "11.8"), ("9.7", "9.7")] {
        let (source, target) = (Server::start_with(from, &["--log-bin"]), Server::start(to));
        fill(&source);
        let state = tempfile::tempdir().unwrap();
        let before = dump(&source, &source, "shop");
        let kept = back_up(&source.context(state.path())).await.unwrap();
        assert!(kept.added_bytes > 0);
        same(
            &before,
            &dump(&source, &source, "shop"),
            "the source is as it was",
        );
        stage(&source, &target).await;
        let restored = restore(&target.context(state.path()), &kept.snapshot, vec![]).await;
        assert_proven(&kept.manifest, &restored.unwrap());
        let right = dump(&target, &source, STAGING);
        same(&before, &right, &format!("{from} to {to}"));
        if from == to {
            assert_eq!(grants(&source, "shop"), grants(&target, STAGING));
        }

        // What did not change costs the lists of what is stored, no more.
        let again = back_up(&source.context(state.path())).await.unwrap();
        assert_eq!(again.manifest.relations, kept.manifest.relations);
        let (first, second) = (kept.added_bytes, again.added_bytes);
        assert!(second < 20_000, "{second} after {first}");
    }
}

/// With Debian's restic and the server's own client, on a server that knows none of the accounts.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_without_us() {
    for version in ["11.8", "9.7"] {
        by_hand(version).await;
    }
}

async fn by_hand(version: &str) {
    let source = Server::start_with(version, &["--log-bin"]);
    fill(&source);
    let state = tempfile::tempdir().unwrap();
    let kept = back_up(&source.context(state.path())).await.unwrap();
    let files = state.path().join("files");
    let words = [
        "restore",
        &kept.snapshot,
        "--target",
        &files.display().to_string(),
    ];
    restic(state.path(), &words);
    let empty = Server::start(version);
    empty.bring(&files, "/tmp/files");
    let (program, client) = (source.client(), "-uroot -psecret");
    let said = empty.shell(&format!(
        "cd /tmp/files && {program} {client} --binary-mode --force < accounts.sql && bash restore.sh {client} 2>&1"
    ));
    assert!(
        said.ends_with("compare the row counts with manifest.json"),
        "{said}"
    );
    same(
        &dump(&source, &source, "shop"),
        &dump(&empty, &source, "shop"),
        "by hand",
    );
    assert_eq!(grants(&source, "shop"), grants(&empty, "shop"));
    roles_came_along(&empty);
    let login =
        format!("{program} -uapp -px -N -e 'select name from shop.a_second order by 1 limit 1'");
    assert_eq!(
        empty.shell(&login),
        source.shell(&login),
        "its password is as before"
    );
    // Where one stands already nothing is done.
    let again = empty.shell(&format!("cd /tmp/files && ! bash restore.sh {client} 2>&1"));
    assert!(again.contains("database exists"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn single_tables_come_back_with_the_schema_around_them() {
    let (source, target) = (
        Server::start_with("10.11", &["--log-bin"]),
        Server::start("10.11"),
    );
    source.sql(
        "",
        "create database shop; use shop;
         create table users (id int primary key);
         create table orders (id int primary key, buyer int not null, foreign key (buyer) references users (id));
         insert into users values (1), (2); insert into orders values (1, 1), (2, 2), (3, 2);",
    );
    let state = tempfile::tempdir().unwrap();
    let kept = back_up(&source.context(state.path())).await.unwrap();
    stage(&source, &target).await;
    let context = target.context(state.path());
    let table = |name: &str| TableName {
        schema: "shop".to_owned(),
        name: name.to_owned(),
    };
    let restored = restore(&context, &kept.snapshot, vec![table("orders")]).await;
    let restored = restored.unwrap();
    assert_eq!(
        restored.manifest, kept.manifest,
        "as the repository holds it"
    );
    let expected = kept.manifest.relations.iter().find(|r| r.name == "orders");
    let [found] = &restored.received.relations[..] else {
        panic!("{:?}", restored.received.relations);
    };
    let of = |r: &Relation| (r.rows, r.fingerprint);
    assert_eq!(of(found), of(expected.unwrap()));
    assert_eq!(
        target.sql(
            STAGING,
            "select (select count(*) from orders), (select count(*) from users)"
        ),
        "3\t0"
    );
    let none = restore(&context, &kept.snapshot, vec![table("gone")]).await;
    assert_eq!(none.unwrap_err().kind, FailureKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_costs_its_part_and_parts_come_back_together() {
    let (source, target) = (
        Server::start_with("11.8", &["--log-bin"]),
        Server::start("11.8"),
    );
    source.sql(
        "",
        "create database shop; use shop; create table big (id int primary key, filler varchar(2000));
         insert into big select seq, (select group_concat(md5(seq * 100 + n.seq) separator '') from seq_1_to_60 n)
             from seq_1_to_60000;
         analyze table big;",
    );
    let state = tempfile::tempdir().unwrap();
    let first = back_up(&source.context(state.path())).await.unwrap();
    let parts = |kept: &BackedUpDatabase| kept.manifest.relations[0].parts.clone();
    assert!(parts(&first).len() >= 3, "{} parts", parts(&first).len());
    source.sql("shop", "update big set filler = 'shorter' where id = 1");
    let second = back_up(&source.context(state.path())).await.unwrap();
    let (before, after) = (parts(&first), parts(&second));
    let differing = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert_eq!((differing, before.len()), (1, after.len()));
    let (all, one) = (first.added_bytes, second.added_bytes);
    assert!(one < all / 2, "{one} of {all}");
    stage(&source, &target).await;
    let restored = restore(&target.context(state.path()), &second.snapshot, vec![]).await;
    assert_proven(&second.manifest, &restored.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_not_restored() {
    let (source, target) = (
        Server::start_with("11.8", &["--log-bin"]),
        Server::start("11.8"),
    );
    source.sql(
        "",
        "create database shop; use shop; create table users (id int primary key, name varchar(64));
         insert into users select seq, md5(seq) from seq_1_to_100000;",
    );
    let state = tempfile::tempdir().unwrap();
    let kept = back_up(&source.context(state.path())).await.unwrap();
    stage(&source, &target).await;
    let folders = fs::read_dir(state.path().join("repository/data")).unwrap();
    let packs = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let biggest = packs
        .map(|file| file.unwrap().path())
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&biggest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&biggest).unwrap();
    fs::write(&biggest, bytes).unwrap();
    let failure = restore(&target.context(state.path()), &kept.snapshot, vec![])
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::DataMismatch, "{failure:?}");
    assert!(
        failure.advice.contains("ctl repository check"),
        "{failure:?}"
    );
}

fn restic(state: &Path, arguments: &[&str]) {
    let key = fs::read(state.join("repository.key")).expect("a key file");
    let key: RepositoryKey = serde_json::from_slice(&key).expect("a key");
    let output = Command::new("/usr/bin/restic")
        .args(["--no-cache", "-r"])
        .arg(state.join("repository"))
        .args(arguments)
        .env("RESTIC_PASSWORD", key.password())
        .output()
        .expect("restic is needed: tests/machine/packages --yes");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
