//! Rows of a kept database come into the live one, and out again, on a real PostgreSQL.

use crate::eventually::eventually;
use crate::support::Server;
use crate::verbs::{KEPT, table};
use holdfast_agent::task::Context;
use holdfast_proto::task::{
    FailureKind, MergeRows, MergedRows, MergedTable, TaskFailure, UnmergeRows, UnmergedRows,
};

/// What both had when they parted.
const BOTH: &str = "
    create table users (id int generated always as identity primary key, email text not null unique,
        shout text generated always as (upper(email)) stored, note text check (note <> 'never'),
        boss int references users (id));
    create table orders (id serial primary key, by int not null references users (id), sum numeric);
    create table tags (name text primary key);
    create table log (line text);
    create table seen (id int);
    create function seen() returns trigger language plpgsql as
        'begin insert into public.seen values (new.id); return new; end';
    create trigger seen after insert or update on users for each row execute function seen();
    insert into users (email) select 'u' || n || '@example.org' from generate_series(1, 14) n;
    insert into orders (by, sum) select n, n * 1.5 from generate_series(1, 14) n;
    truncate seen;";

struct World {
    server: Server,
    context: Context,
    _dir: tempfile::TempDir,
}

impl World {
    fn start(version: u32, both: &str) -> Self {
        let (server, dir) = (
            Server::start(version),
            tempfile::tempdir().expect("a directory"),
        );
        let context = server.context(dir.path());
        for database in ["shop", KEPT] {
            let _ = server.psql("postgres", &format!("create database {database}"));
            server.script(database, both);
        }
        Self {
            server,
            context,
            _dir: dir,
        }
    }

    fn live(&self, sql: &str) -> String {
        self.server.psql("shop", sql)
    }

    fn kept(&self, sql: &str) -> String {
        self.server.psql(KEPT, sql)
    }

    async fn merge(&self, change: fn(&mut MergeRows)) -> Result<MergedRows, TaskFailure> {
        crate::verbs::merge(&self.context, change).await
    }

    async fn undo(&self, change: fn(&mut UnmergeRows)) -> Result<UnmergedRows, TaskFailure> {
        crate::verbs::unmerge(&self.context, change).await
    }

    /// Every row of every table, and where the sequences stand.
    fn content(&self) -> String {
        self.live(
            "select (select string_agg(u::text, ' ' order by id) from users u),
                (select string_agg(o::text, ' ' order by id) from orders o),
                (select string_agg(name, ' ' order by name) from tags), (select count(*) from log),
                (select count(*) from pg_namespace where nspname like '%merged%')",
        )
    }
}

/// New there: user 15 with two orders, user 16 whose boss is 17, user 17 whose boss is 16; a changed row on each side.
const SINCE: &str = "
    insert into users (email, boss) values ('new@example.org', 3), ('a@example.org', null), ('b@example.org', 16);
    update users set boss = 17 where id = 16;
    update users set note = 'there' where id = 5;
    insert into orders (by, sum) values (15, 7), (15, 8);
    insert into tags values ('ö;''x');
    insert into log values ('only a line');";

#[tokio::test(flavor = "multi_thread")]
async fn the_new_rows_come_conflicts_are_listed_and_all_of_it_goes_again() {
    let world = World::start(15, BOTH);
    let _ = world.kept(SINCE);
    let _ = world.live("update users set note = 'here' where id = 5; truncate seen");
    let before = world.content();

    let dry = world
        .merge(|spec| spec.dry_run = true)
        .await
        .expect("a report");
    assert_eq!(world.content(), before, "a dry run changes nothing");
    let merged = world.merge(|_| {}).await.expect("merged");
    assert_eq!(merged, dry, "a dry run says what would come");

    let users = table(&merged, "users");
    assert_eq!(
        (
            users.only_there,
            users.merged,
            users.equal,
            users.conflicts,
            users.taken,
            users.refused
        ),
        (3, 3, 13, 1, 0, 0),
        "{users:#?}"
    );
    assert_eq!(users.rows.len(), 1);
    assert_eq!(
        (users.rows[0].key.as_str(), users.rows[0].columns.as_slice()),
        ("id=5", &["note".to_owned()][..])
    );
    let orders = table(&merged, "orders");
    assert_eq!((orders.merged, orders.equal), (2, 14), "{orders:#?}");
    assert_eq!(table(&merged, "tags").merged, 1);
    assert!(table(&merged, "log").unmergeable.contains("no primary key"));

    assert_eq!(
        world.live("select email || shout from users where id = 15"),
        "new@example.orgNEW@EXAMPLE.ORG"
    );
    assert_eq!(
        world.live("select note from users where id = 5"),
        "here",
        "the live row stays"
    );
    assert_eq!(
        world.live("select count(*) from seen"),
        "0",
        "triggers ran when the rows lived first"
    );
    assert_eq!(world.live("show session_replication_role"), "origin");
    // The server counts on behind what came.
    let next = world.live(
        "insert into users (email) values ('next@example.org') returning id;
         insert into orders (by) values (1) returning id",
    );
    assert_eq!(next, "18\n17");
    let _ = world.live("delete from users where id = 18; delete from orders where id = 17");

    let again = world.merge(|_| {}).await.expect("merged before");
    assert_eq!(again, merged, "a repetition says what was done");

    let undone = world.undo(|_| {}).await.expect("undone");
    assert_eq!((undone.removed, undone.restored), (6, 0));
    let again = world.undo(|_| {}).await.expect("undone before");
    assert_eq!((again.removed, again.existed), (0, true));
    world
        .undo(|spec| spec.forget = true)
        .await
        .expect("forgotten");
    assert_eq!(world.content(), before);
    let gone = world
        .undo(|_| {})
        .await
        .expect_err("nothing is known of it");
    assert_eq!(gone.kind, FailureKind::Conflict);
    let unwound = world
        .undo(|spec| spec.succeeded = false)
        .await
        .expect("nothing there");
    assert!(!unwound.existed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kept_row_wins_when_asked_to_and_gives_way_again() {
    let world = World::start(15, BOTH);
    let _ = world.kept("update users set note = 'there', email = 'other@example.org' where id = 5");
    let _ = world.live("update users set note = 'here' where id = 5");
    let before = world.content();
    let merged = world.merge(|spec| spec.take = true).await.expect("merged");
    let users = table(&merged, "users");
    assert_eq!((users.conflicts, users.taken, users.merged), (1, 1, 0));
    assert_eq!(users.rows[0].columns, ["email", "note"]);
    let row = "select note || email || shout from users where id = 5";
    assert_eq!(world.live(row), "thereother@example.orgOTHER@EXAMPLE.ORG");
    let undone = world
        .undo(|spec| spec.succeeded = false)
        .await
        .expect("undone");
    assert_eq!((undone.removed, undone.restored), (0, 1));
    assert_eq!(world.content(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_stand_is_refused_with_its_reason_and_what_refers_to_it_too() {
    let world = World::start(17, BOTH);
    let _ = world.kept(
        "alter table users drop constraint users_note_check;
         insert into users (email, note) values ('taken@example.org', null), ('fine@example.org', 'never'), ('good@example.org', null);
         insert into orders (by, sum) values (15, 1), (16, 2), (17, 3), (4, 4);
         create table only_there (id int primary key); alter table tags add rank int; insert into tags values ('t', 1)",
    );
    // Somebody registered here with the same address, and user 4 is gone.
    let _ = world.live(
        "insert into users (id, email) overriding system value values (99, 'taken@example.org');
         delete from orders where by = 4; delete from users where id = 4; create table only_here (id int primary key)",
    );
    let merged = world
        .merge(|spec| spec.tables = vec!["users".into(), "orders".into()])
        .await;
    let merged = merged.expect("merged");
    let users = table(&merged, "users");
    // User 4 was deleted here since: it comes back, as does everything that only the kept database has.
    assert_eq!(
        (users.only_there, users.merged, users.refused),
        (4, 2, 2),
        "{users:#?}"
    );
    let reason = |table: &MergedTable, key: &str| {
        let row = table.rows.iter().find(|row| row.key == key);
        row.unwrap_or_else(|| panic!("{key} in {table:#?}"))
            .reason
            .clone()
    };
    assert!(
        reason(users, "id=15").contains("users_email_key")
            && reason(users, "id=15").contains("id=99")
    );
    assert!(reason(users, "id=16").contains("users_note_check"));
    let orders = table(&merged, "orders");
    assert_eq!((orders.merged, orders.refused), (3, 2), "{orders:#?}");
    assert!(
        reason(orders, "id=15").contains("orders_by_fkey"),
        "{orders:#?}"
    );
    let orphans =
        "select count(*) from orders o where not exists (select from users where id = o.by)";
    assert_eq!(world.live(orphans), "0");
    assert!(
        merged.tables.iter().all(|table| table.name != "only_there"),
        "it was not asked for"
    );

    let all = world
        .merge(|spec| {
            spec.ledger = "shop__merged_3".into();
            spec.dry_run = true;
        })
        .await;
    let all = all.expect("a report");
    assert!(
        table(&all, "only_there")
            .unmergeable
            .contains("not in the live database")
    );
    assert!(
        table(&all, "only_here")
            .unmergeable
            .contains("only the live database")
    );
    assert_eq!(table(&all, "tags").left_out_columns, ["rank"]);
    assert_eq!(table(&all, "tags").only_there, 1);
    let missed = world.merge(|spec| {
        spec.tables = vec!["nothing*".into()];
        spec.dry_run = true;
        spec.ledger = "shop__merged_4".into();
    });
    assert_eq!(
        missed.await.expect_err("no such table").kind,
        FailureKind::Invalid
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_never_takes_what_became_somebody_s_own() {
    let world = World::start(15, BOTH);
    let _ = world.kept(SINCE);
    world.merge(|_| {}).await.expect("merged");
    let refused = |failure: TaskFailure, word: &str| {
        assert_eq!(failure.kind, FailureKind::Conflict, "{failure}");
        assert!(
            !failure.retryable && failure.message.contains(word),
            "{failure}"
        );
    };
    let _ = world.live("update users set note = 'mine now' where id = 15");
    refused(world.undo(|_| {}).await.expect_err("changed"), "id=15");
    let _ = world
        .live("update users set note = null where id = 15; insert into orders (by) values (15)");
    refused(
        world.undo(|_| {}).await.expect_err("referred to"),
        "public.orders",
    );
    assert_eq!(
        world.live("select count(*) from users"),
        "17",
        "nothing was taken out"
    );
    let _ = world.live("delete from orders where sum is null");
    world.undo(|_| {}).await.expect("undone");
    assert_eq!(world.live("select count(*) from users"), "14");
}

/// The connection is gone between the first row and the commit, as a killed agent's is.
#[tokio::test(flavor = "multi_thread")]
async fn cut_off_in_the_middle_nothing_has_come_and_the_next_attempt_brings_all() {
    let world = World::start(15, BOTH);
    let _ = world.kept(SINCE);
    let before = world.content();
    // It waits for this lock, with its own turn taken and its comparison done.
    let blocker = world
        .server
        .route()
        .connect("shop")
        .await
        .expect("a session");
    let locked = blocker
        .batch_execute("begin; lock table orders in row exclusive mode")
        .await;
    locked.expect("a lock");
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'LOCK TABLE%'";
    let kill = async {
        eventually("it waits for the lock", async || world.live(waiting) == "1").await;
        let killed =
            "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'";
        let _ = world.live(killed);
    };
    let (merged, ()) = tokio::join!(world.merge(|_| {}), kill);
    let failure = merged.expect_err("the session was ended");
    assert!(failure.retryable, "{failure}");
    assert_eq!(world.content(), before);
    blocker.batch_execute("rollback").await.expect("free");
    let merged = world.merge(|_| {}).await.expect("merged");
    assert_eq!(table(&merged, "users").merged, 3);
}

/// Keys and rules that ordinary tables do not have.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_kind_and_rules_of_every_kind() {
    let both = "
        create extension if not exists citext; create extension if not exists btree_gist;
        create schema \"odd.one\";
        create table \"odd.one\".\"ta\"\"ble\" (\"k;1\" citext, k2 timestamptz, doc json, primary key (\"k;1\", k2));
        create table rooms (id uuid primary key, room int, during tsrange, exclude using gist (room with =, during with &&));
        create table half (id bigint primary key, name text, gone bool default false);
        create unique index half_name on half (lower(name)) where not gone;
        create table parted (id int, day date, primary key (id, day)) partition by range (day);
        create table parted_1 partition of parted for values from ('2026-01-01') to ('2027-01-01');
        insert into half values (1, 'Ann'); insert into parted values (1, '2026-05-05');";
    let world = World::start(15, both);
    let _ = world.kept(
        "insert into \"odd.one\".\"ta\"\"ble\" values ('A', '2026-01-01 00:00:00+02', '{\"b\": 1}');
         insert into rooms values ('00000000-0000-0000-0000-000000000001', 1, '[2026-01-01, 2026-01-03)');
         insert into rooms values ('00000000-0000-0000-0000-000000000002', 2, '[2026-01-01, 2026-01-03)');
         insert into half values (2, 'BOB', false), (3, 'eve', true), (4, 'dan', false);
         insert into parted values (2, '2026-06-06')",
    );
    let _ = world.live(
        "insert into rooms values ('00000000-0000-0000-0000-000000000009', 1, '[2026-01-02, 2026-01-09)');
         insert into half values (9, 'bob', false), (8, 'Eve', false)",
    );
    let merged = world.merge(|_| {}).await.expect("merged");
    let counts = |name: &str| {
        let table = table(&merged, name);
        (table.merged, table.refused, table.equal)
    };
    assert_eq!(counts("ta\"ble"), (1, 0, 0), "{merged:#?}");
    assert_eq!(counts("rooms"), (1, 1, 0), "{merged:#?}");
    assert_eq!(counts("half"), (2, 1, 1), "{merged:#?}");
    assert_eq!(counts("parted"), (1, 0, 1), "{merged:#?}");
    world.undo(|_| {}).await.expect("undone");
    assert_eq!(world.live("select count(*) from half"), "3");
}
