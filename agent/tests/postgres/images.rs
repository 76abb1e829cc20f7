//! Whole images between real servers: everything that a database holds arrives, and is proven.

use std::process::Command;

use crate::image::{Copy, Pair};
use holdfast_proto::{
    image::{ProofLevel, RelationKind},
    task::Selection,
};

const EVERY_OBJECT: &str = include_str!("../../../tests/sql/every_object.sql");

#[tokio::test(flavor = "multi_thread")]
async fn every_object_arrives_on_the_same_version() {
    every_object(15, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_arrives_on_a_newer_version() {
    every_object(15, 17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_arrives_between_newer_versions() {
    every_object(17, 17).await;
}

async fn every_object(source: u32, target: u32) {
    let pair = Pair::start(source, target);
    pair.fill(EVERY_OBJECT);
    let before = pair.source_state();
    let copy = pair.copy(Copy::default()).await;
    let (sent, received) = copy.expect("the image arrives");
    assert_eq!(sent.manifest.relations.len(), received.relations.len());
    for (left, right) in sent.manifest.relations.iter().zip(&received.relations) {
        assert_eq!(
            left,
            &holdfast_proto::image::Relation {
                bytes: left.bytes,
                ..right.clone()
            }
        );
    }
    assert_eq!(sent.manifest.sequences, received.sequences);
    assert_eq!(sent.manifest.schema_hash, received.schema_hash);
    let large = sent
        .manifest
        .relations
        .iter()
        .find(|r| r.kind == RelationKind::LargeObjects && r.name == "pg_largeobject");
    assert!(large.is_some_and(|large| large.rows > 20), "{large:?}");
    assert_eq!(received.notices, Vec::<String>::new());

    pair.assert_same_dump();
    pair.assert_same_rows();
    assert_eq!(pair.source_state(), before, "the source is as it was");
    pair.assert_nothing_left_running();
    pair.assert_servers_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn security_labels_arrive_on_objects_of_every_kind() {
    let built = Command::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/machine/label_provider/build"
    ))
    .output()
    .expect("the script runs");
    let built = String::from_utf8(built.stdout).expect("UTF-8");
    let (version, module) = built.trim().split_once(' ').expect("VERSION PATH");
    let version = version.parse().expect("a version");
    let pair = Pair::start(version, version);
    pair.source.preload(module);
    pair.target.preload(module);
    pair.fill(
        "create table labelled (id int, secret text);
         create view seen as select id from labelled;
         create materialized view kept as select id from labelled;
         create sequence counter;
         create schema inside;
         create domain short as varchar(3);
         create type mood as enum ('calm');
         create function one() returns int language sql as 'select 1';
         create procedure nothing() language sql as '';
         create function on_ddl() returns event_trigger language plpgsql as 'begin end';
         create event trigger watcher on ddl_command_end execute function on_ddl();
         create publication news for table labelled;
         select lo_create(4711);",
    );
    let labelled = [
        "table labelled",
        "column labelled.secret",
        "view seen",
        "materialized view kept",
        "sequence counter",
        "schema inside",
        "domain short",
        "type mood",
        "function one()",
        "procedure nothing()",
        "event trigger watcher",
        "publication news",
        "large object 4711",
    ];
    for object in labelled {
        let label = object.replace(' ', "/");
        pair.fill(&format!(
            "security label for 'holdfast test' on {object} is 'it''s {label}'"
        ));
    }
    pair.copy(Copy::default()).await.expect("the image arrives");
    let labels = "select objtype, objname, provider, label from pg_seclabels order by label";
    let (before, after) = (pair.source.psql("shop", labels), pair.target_sql(labels));
    assert_eq!(before.lines().count(), labelled.len(), "{before}");
    assert_eq!(before, after);
    pair.assert_same_dump();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_and_a_schema_without_rows() {
    let pair = Pair::start(15, 15);
    let (sent, received) = pair.copy(Copy::default()).await.expect("an empty database");
    assert!(sent.manifest.relations.is_empty() && received.relations.is_empty());

    pair.fill(EVERY_OBJECT);
    let schema_only = Copy {
        selection: Selection {
            schema_only: true,
            ..Selection::default()
        },
        ..Copy::default()
    };
    let (sent, _) = pair.copy(schema_only).await.expect("a schema");
    assert!(sent.manifest.relations.is_empty());
    assert_eq!(pair.target_sql("select count(*) from app.users"), "0");
    assert_eq!(pair.target_sql("select count(*) from app.events"), "0");
    pair.assert_same_dump();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_arrives_without_what_it_leaves_out() {
    let pair = Pair::start(15, 17);
    pair.fill(EVERY_OBJECT);
    let selected = Copy {
        selection: Selection {
            exclude_tables: vec!["app.users".to_owned(), "a.b.*".to_owned()],
            exclude_table_data: vec!["app.hashed".to_owned()],
            ..Selection::default()
        },
        proof: ProofLevel::Transit,
        ..Copy::default()
    };
    let (_, received) = pair.copy(selected).await.expect("a selection");
    // Its foreign key has nothing to refer to any more, and that is said.
    assert!(
        received
            .notices
            .iter()
            .any(|notice| notice.contains("orders_user_id_fkey")),
        "{:?}",
        received.notices
    );
    assert_eq!(pair.target_sql("select count(*) from app.orders"), "500");
    assert_eq!(pair.target_sql("select count(*) from app.hashed"), "0");
    assert_eq!(
        pair.target_sql("select to_regclass('app.users') is null"),
        "t"
    );
    assert_eq!(
        pair.target_sql("select to_regclass('app.happy') is null"),
        "t"
    );

    let picked = Copy {
        selection: Selection {
            tables: vec!["app.events".to_owned(), "wide".to_owned()],
            ..Selection::default()
        },
        ..Copy::default()
    };
    let (sent, _) = pair.copy(picked).await.expect("picked tables");
    let rows: u64 = sent
        .manifest
        .relations
        .iter()
        .map(|relation| relation.rows)
        .sum();
    assert_eq!(rows, 3020);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_break_and_receipts_that_get_lost_change_nothing() {
    let pair = Pair::start(15, 17);
    pair.fill(EVERY_OBJECT);
    let selection = Selection {
        tables: vec![
            "app.users".to_owned(),
            "app.wide".to_owned(),
            "app.events".to_owned(),
        ],
        ..Selection::default()
    };
    let flaky = Copy {
        selection,
        flaky: true,
        ..Copy::default()
    };
    let (sent, received) = pair
        .copy(flaky)
        .await
        .expect("the image arrives all the same");
    assert!(sent.resent_parts > 2, "{}", sent.resent_parts);
    for (left, right) in sent.manifest.relations.iter().zip(&received.relations) {
        assert_eq!(
            (left.rows, left.fingerprint),
            (right.rows, right.fingerprint),
            "{}",
            left.name
        );
    }
    assert_eq!(pair.target_sql("select count(*) from app.users"), "2005");
    pair.assert_nothing_left_running();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_given_up_in_the_middle_leaves_nothing_running() {
    let pair = Pair::start(15, 15);
    pair.fill(EVERY_OBJECT);
    for bandwidth in [20_000, 400_000] {
        let slow = Copy {
            bandwidth,
            ..Copy::default()
        };
        let given_up =
            tokio::time::timeout(std::time::Duration::from_secs(3), pair.copy(slow)).await;
        assert!(given_up.is_err(), "it was still running");
        pair.assert_nothing_left_running();
        pair.assert_servers_untouched();
    }
}

/// A part that arrived and whose receipt was lost is sent again, also when nobody waited any more for its
/// COMMIT: its rows must not be there twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_big_table_in_parts_whose_streams_break_holds_every_row_once() {
    for (flaky, deserted) in [(true, false), (false, true)] {
        big_table_in_parts(flaky, deserted).await;
    }
}

async fn big_table_in_parts(flaky: bool, deserted: bool) {
    let pair = Pair::start(15, 17);
    // One row a page: 300 MB, three parts; then pages without a row, and rows that moved.
    pair.fill(
        "create table big (id int, filler text);
         alter table big alter filler set storage plain;
         insert into big select n, repeat('x', 7000) from generate_series(1, 38000) n;
         delete from big where id % 3 = 0;
         vacuum big;
         update big set filler = 'moved' where id % 1000 = 1;",
    );
    let parallel = Copy {
        cpus: 8,
        jobs: if deserted { 1 } else { 4 },
        flaky,
        deserted,
        // What was stored twice, the reading back would find too.
        proof: ProofLevel::Transit,
        ..Copy::default()
    };
    let (sent, received) = pair.copy(parallel).await.expect("the image arrives");
    let big = &sent.manifest.relations[0];
    assert_eq!(big.parts.len(), 3, "{:?}", big.parts);
    assert!(big.parts.iter().all(|part| part.rows > 0));
    assert!(sent.resent_parts > 0);
    assert_eq!(big.rows, received.relations[0].rows);
    let rows = "select count(*), sum(id), sum(length(filler)) from big";
    assert_eq!(pair.source.psql("shop", rows), pair.target_sql(rows));
    pair.assert_nothing_left_running();
}

const EXTENSION: &str = "
    create table settings (name text primary key, value text, builtin bool not null default false);
    insert into settings values ('colour', 'grey', true), ('size', 'small', true);
    create table jobs (id serial primary key, what text);
    insert into jobs (what) values ('of the script');
    create table internal (id int);
    insert into internal values (1);
    select pg_extension_config_dump('settings', 'where not builtin');
    select pg_extension_config_dump('jobs', '');
    select pg_extension_config_dump('jobs_id_seq', '');";

#[tokio::test(flavor = "multi_thread")]
async fn what_an_extension_keeps_for_its_user_arrives_and_its_own_rows_stay_its_own() {
    let pair = Pair::start(15, 17);
    let control = "default_version = '1.0'\nrelocatable = true\n";
    for server in [&pair.source, &pair.target] {
        server.bring_extension("kept", control, EXTENSION);
    }
    pair.fill(
        "create schema ext; create extension kept schema ext;
         insert into ext.settings values ('theme', 'dark'), ('font', 'mono');
         update ext.settings set value = 'changed here' where name = 'colour';
         insert into ext.jobs (what) select 'mine' from generate_series(1, 3);
         delete from ext.jobs where what = 'of the script';
         insert into ext.internal values (2);",
    );
    let copied = pair.copy(Copy::default()).await;
    let (sent, received) = copied.expect("the image arrives");
    let kinds = sent
        .manifest
        .relations
        .iter()
        .map(|r| (r.name.as_str(), r.kind, r.rows));
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort_by_key(|(name, ..)| *name);
    assert_eq!(
        kinds,
        [
            ("jobs", RelationKind::ExtensionConfig, 3),
            ("settings", RelationKind::ExtensionConfig, 2)
        ]
    );
    for (left, right) in sent.manifest.relations.iter().zip(&received.relations) {
        assert_eq!(
            (left.rows, left.fingerprint),
            (right.rows, right.fingerprint)
        );
    }
    let rows = "select string_agg(s::text, ' ' order by name) from ext.settings s";
    assert_eq!(
        pair.target_sql(rows),
        "(colour,grey,t) (font,mono,f) (size,small,t) (theme,dark,f)"
    );
    let jobs = "select string_agg(j::text, ' ' order by id) from ext.jobs j";
    assert_eq!(pair.both_say(jobs), "(2,mine) (3,mine) (4,mine)");
    assert_eq!(pair.both_say("select nextval('ext.jobs_id_seq')"), "5");
    assert_eq!(pair.target_sql("select count(*) from ext.internal"), "1");
    pair.assert_same_dump();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_known_to_the_planner_from_the_start() {
    let pair = Pair::start(15, 17);
    // What is known then is known by us.
    for sql in [
        "alter system set autovacuum = off",
        "select pg_reload_conf()",
    ] {
        let _ = pair.target.psql("postgres", sql);
    }
    pair.fill(
        "create table plain as select n id, n % 7 kind from generate_series(1, 5000) n;
         create statistics together on id, kind from plain;
         create index on plain ((id + kind));
         create table root (id int, name text) partition by range (id);
         create table low partition of root for values from (1) to (1000);
         create table high partition of root for values from (1000) to (9000);
         insert into root select n, 'x' || n from generate_series(1, 1500) n;
         create table parent (id int);
         create table child () inherits (parent);
         insert into parent select generate_series(1, 10);
         insert into child select generate_series(1, 20);
         create materialized view counted as select kind, count(*) from plain group by 1;",
    );
    pair.copy(Copy::default()).await.expect("the image arrives");
    let known = pair.target_sql(
        "select c.relname || ' ' || c.reltuples || ' ' || count(s.attname)
         from pg_class c left join pg_stats s on s.schemaname = 'public' and s.tablename = c.relname
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'm')
         group by c.relname, c.reltuples order by 1",
    );
    assert_eq!(
        known.lines().collect::<Vec<_>>(),
        [
            "child 20 1",
            "counted 7 2",
            "high 501 2",
            "low 999 2",
            // Of its own rows, and of those with its children's.
            "parent 10 2",
            "plain 5000 2",
            "root 1500 2",
        ]
    );
    let more = "select (select count(*) from pg_stats_ext where statistics_name = 'together' \
                and n_distinct is not null), \
                (select count(*) from pg_stats where tablename = 'plain_expr_idx')";
    assert_eq!(pair.target_sql(more), "1|1");
}
