//! The look into what was restored: silent when all is sound, loud about each kind of damage.

use std::time::Duration;

use holdfast_agent::task::{Context, perform};
use holdfast_proto::task::{
    DatabaseTarget, ExamineDatabase, ExaminedDatabase, FailureKind, TaskFailure, TaskResult,
    TaskSpec,
};

use crate::server::Server;

const STAGING: &str = "shop__staging_7";
const SHOP: &str = "
    create table users (id int primary key, email varchar(80) not null unique, age int, check (age > 0));
    create table orders (id int primary key, region int, buyer int not null, unique (id, region),
        constraint buyer foreign key (buyer) references users (id));
    create table items (n int primary key, `order` int, region int,
        constraint whole foreign key (`order`, region) references orders (id, region)) ;
    insert into users values (1, 'a@example.org', 30), (2, 'b@example.org', null);
    insert into orders values (1, 7, 1), (2, 7, 2);
    insert into items values (1, 1, 7), (2, 1, null), (3, null, 9);
    create table notes (id int primary key, text varchar(80), key (text)) engine = MyISAM;
    insert into notes values (1, 'one'), (2, 'two');
    create table log (id int) with system versioning;
    create sequence numbers;
    create view busy as select buyer from orders";

/// A MySQL keeps no history of rows and has no sequences.
fn shop(server: &Server) -> String {
    match server.client() {
        "mysql" => SHOP
            .replace("with system versioning", "")
            .replace("create sequence numbers;", ""),
        _ => SHOP.to_owned(),
    }
}

async fn examine(
    context: &Context,
    database: &str,
    assertions: &[&str],
) -> Result<ExaminedDatabase, TaskFailure> {
    let spec = ExamineDatabase {
        target: DatabaseTarget {
            instance: "shop-db".to_owned(),
            database: database.to_owned(),
        },
        assertions: assertions.iter().map(|text| (*text).to_owned()).collect(),
        timeout: Duration::from_secs(2),
    };
    match perform(TaskSpec::ExamineDatabase(spec), context).await? {
        TaskResult::ExaminedDatabase(found) => Ok(found),
        other => panic!("{other:?}"),
    }
}

fn told(found: &ExaminedDatabase) -> Vec<String> {
    let broken = found.broken.iter();
    broken
        .map(|one| format!("{}: {}", one.name, one.reason))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_database_is_silent_and_each_damage_is_named() {
    for version in ["10.11", "9.7"] {
        each_damage_is_named(&Server::start(version)).await;
    }
}

async fn each_damage_is_named(server: &Server) {
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    server.sql("", &format!("create database {STAGING}"));
    server.sql(STAGING, &shop(server));

    let sound = examine(&context, STAGING, &[]).await.unwrap();
    assert_eq!((told(&sound), &sound.unknown), (vec![], &vec![]));
    // Five primary keys and four others; two keys, one check; unique ones are constraints too.
    assert!(sound.indexes >= 8, "{sound:?}");
    assert_eq!(sound.checked_indexes, sound.indexes);
    assert_eq!(sound.checked_constraints, 3, "{sound:?}");

    let mut wanted = vec![
        "foreign key whole of items: 2 rows point to none of orders",
        "foreign key buyer of orders: 1 rows point to none of users",
    ];
    // Nothing brings a row past a check of a MySQL.
    if server.client() == "mariadb" {
        server.sql(
            STAGING,
            "set check_constraint_checks = 0; update users set age = -1 where id = 1",
        );
        wanted.push("check CONSTRAINT_1 of users: 1 rows do not keep it");
    }
    server.sql(
        STAGING,
        "set foreign_key_checks = 0;
         insert into orders values (3, 7, 99);
         insert into items values (4, 1, 8), (5, 77, 7);
         alter table users drop index email",
    );
    let found = examine(&context, STAGING, &[]).await.unwrap();
    assert_eq!(told(&found), wanted);
    assert_eq!(found.indexes + 1, sound.indexes, "an index is lost");
    assert_eq!(found.constraints + 1, sound.constraints);
}

/// An index that has lost its entries; the server says so when it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_with_other_bytes_is_broken() {
    let server = Server::start("10.11");
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    server.sql("", &format!("create database {STAGING}"));
    server.sql(STAGING, SHOP);
    server.sql(
        STAGING,
        "insert into notes select seq, concat('note ', seq) from seq_3_to_5000; flush tables notes",
    );
    let index = format!("/var/lib/mysql/{STAGING}/notes.MYI");
    let damage =
        format!("printf '\\377\\377\\377\\377' | dd of={index} bs=1 seek=20480 conv=notrunc");
    server.shell(&damage);
    let found = examine(&context, STAGING, &[]).await.unwrap();
    let told = told(&found);
    assert!(
        matches!(told.as_slice(), [only] if only.starts_with("table notes: ")),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn assertions_hold_or_not_or_are_mistakes_and_change_nothing() {
    let server = Server::start("10.11");
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    server.sql(
        "",
        &format!("create database {STAGING}; create database shop"),
    );
    server.sql(STAGING, SHOP);
    let statements = [
        "select count(*) > 1 from users",
        "select count(*) > 100 from users",
        "select null",
        "select count(*) + 5 from users",
        "select id from users",
        "delete from users",
        "select missing from users",
        "select sleep(60) = 0",
    ];
    let found = examine(&context, STAGING, &statements).await.unwrap();
    let holds: Vec<_> = found.assertions.iter().map(|one| one.holds).collect();
    let wanted = [
        Some(true),
        Some(false),
        Some(false),
        None,
        None,
        None,
        None,
        None,
    ];
    assert_eq!(holds, wanted, "{:?}", found.assertions);
    assert!(
        found.assertions[7].reason.contains("longer than 2 s"),
        "{found:?}"
    );
    assert_eq!(
        server.sql(STAGING, "select count(*) from users").trim(),
        "2"
    );

    let live = examine(&context, "shop", &[])
        .await
        .expect_err("a live one");
    assert_eq!(live.kind, FailureKind::Refused);
}
