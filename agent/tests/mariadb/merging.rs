//! Rows of a kept database come into the live one beside it, and out again.

use holdfast_agent::task::Context;
use holdfast_proto::task::{
    FailureKind, MergeRows, MergedRows, MergedTable, TaskFailure, UnmergeRows, UnmergedRows,
};

use crate::{
    eventually::eventually,
    server::Server,
    verbs::{self, KEPT, table},
};

/// Numbers from 1 to 14, of either engine.
const NUMBERS: &str =
    "with recursive n (seq) as (select 1 union all select seq + 1 from n where seq < 14)";
/// What both had when they parted.
const BOTH: &str = "
    create table users (id int auto_increment primary key, email varchar(80) not null unique,
        shout varchar(80) as (upper(email)) stored, note varchar(40), boss int,
        doc json, foreign key (boss) references users (id), constraint calm check (note <> 'never'));
    create table orders (id int auto_increment primary key, buyer int not null, sum decimal(10, 2),
        foreign key (buyer) references users (id));
    create sequence numbers;
    create table tickets (id bigint primary key default nextval(numbers), what varbinary(20));
    create table log (line text);
    create table old (id int primary key) engine = MyISAM;
    create table watched (id int primary key);
    create table seen (id int);
    create trigger watch after insert on watched for each row insert into seen values (new.id);
    insert into users (email, doc) NUMBERS select concat('u', seq, '@example.org'), '{}' from n;
    insert into orders (buyer, sum) NUMBERS select seq, seq * 1.5 from n;";

/// A MySQL has no sequences.
fn both(server: &Server) -> String {
    let statements = BOTH.replace("NUMBERS", NUMBERS);
    match server.client() {
        "mysql" => statements
            .replace("create sequence numbers;", "")
            .replace("default nextval(numbers)", "auto_increment"),
        _ => statements,
    }
}

/// New there: user 15 with two orders, users 16 and 17 who are each other's boss; a changed row on each side, which
/// the collation calls equal.
const SINCE: &str = "
    insert into users (id, email, boss) values (15, 'new@example.org', 3), (16, 'a@example.org', null), (17, 'b@example.org', 16);
    update users set boss = 17 where id = 16;
    update users set note = 'HERE' where id = 5;
    insert into orders (id, buyer, sum) values (15, 15, 7), (16, 15, 8);
    insert into tickets (what) values (x'00ff27'), ('b');
    insert into log values ('only a line');
    insert into watched values (1); insert into old values (1);";

struct World {
    server: Server,
    context: Context,
    _dir: tempfile::TempDir,
}

impl World {
    fn start(version: &str) -> Self {
        let (server, dir) = (
            Server::start(version),
            tempfile::tempdir().expect("a directory"),
        );
        let context = server.context(dir.path());
        for database in ["shop", KEPT] {
            server.sql("mysql", &format!("create database {database}"));
            server.sql(database, &both(&server));
        }
        Self {
            server,
            context,
            _dir: dir,
        }
    }

    fn live(&self, sql: &str) -> String {
        self.server.sql("shop", sql)
    }

    fn kept(&self, sql: &str) -> String {
        self.server.sql(KEPT, sql)
    }

    async fn merge(&self, change: fn(&mut MergeRows)) -> Result<MergedRows, TaskFailure> {
        verbs::merge(&self.context, change).await
    }

    async fn undo(&self, change: fn(&mut UnmergeRows)) -> Result<UnmergedRows, TaskFailure> {
        verbs::unmerge(&self.context, change).await
    }

    /// Every row of every table, the counters of both that count by themselves, and which databases there are.
    fn content(&self) -> String {
        self.live(
            "select * from users order by id; select * from orders order by id;
             select id, hex(what) from tickets order by id; select * from watched; select * from seen;
             select count(*) from log; select count(*) from old;
             select schema_name from information_schema.schemata where schema_name like 'shop%'",
        )
    }
}

fn reason(table: &MergedTable, key: &str) -> String {
    let row = table.rows.iter().find(|row| row.key == key);
    row.unwrap_or_else(|| panic!("{key} is not in {table:#?}"))
        .reason
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_rows_come_conflicts_are_listed_and_all_of_it_goes_again() {
    for version in ["10.11", "9.7"] {
        come_and_gone(World::start(version)).await;
    }
}

async fn come_and_gone(world: World) {
    world.kept(SINCE);
    world.live("update users set note = 'here' where id = 5");
    let before = world.content();
    let next = "select auto_increment from information_schema.tables where table_schema = 'shop' and table_name = 'users'";
    let counter = world.live(next);

    let dry = world.merge(|spec| spec.dry_run = true).await;
    let dry = dry.expect("a report");
    assert_eq!(
        (world.content(), world.live(next)),
        (before.clone(), counter),
        "a dry run changes nothing"
    );
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
    assert_eq!(
        (users.rows[0].key.as_str(), users.rows[0].columns.as_slice()),
        ("id=5", &["note".to_owned()][..])
    );
    assert_eq!(table(&merged, "orders").merged, 2);
    assert_eq!(table(&merged, "tickets").merged, 2);
    for (name, why) in [
        ("log", "no primary key"),
        ("old", "MyISAM"),
        ("watched", "watch"),
    ] {
        let told = &table(&merged, name).unmergeable;
        assert!(told.contains(why), "{name}: {told}");
    }
    let row = "select concat(email, shout, boss) from users where id = 15";
    assert_eq!(world.live(row), "new@example.orgNEW@EXAMPLE.ORG3");
    let note = "select note from users where id = 5";
    assert_eq!(world.live(note), "here", "the live row stays");
    assert_eq!(
        world.live("select hex(what) from tickets where id = 1"),
        "00FF27"
    );
    // The server counts on behind what came.
    world.live("insert into users (email) values ('next@example.org'); insert into tickets (what) values ('c')");
    assert_eq!(world.live("select max(id) from users"), "18");
    assert_eq!(
        world.live("delete from users where id = 18; select count(*) from tickets where id > 2"),
        "1"
    );
    world.live("delete from tickets where id > 2");

    let again = world.merge(|_| {}).await.expect("merged before");
    assert_eq!(again, merged, "a repetition says what was done");
    let undone = world.undo(|_| {}).await.expect("undone");
    assert_eq!((undone.removed, undone.restored), (7, 0));
    let again = world.undo(|_| {}).await.expect("undone before");
    assert_eq!((again.removed, again.existed), (0, true));
    world
        .undo(|spec| spec.forget = true)
        .await
        .expect("forgotten");
    assert_eq!(world.content(), before);
    let gone = world.undo(|_| {}).await.expect_err("nothing is known");
    assert_eq!(gone.kind, FailureKind::Conflict);
    let unwound = world.undo(|spec| spec.succeeded = false).await;
    assert!(!unwound.expect("nothing there").existed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kept_row_wins_when_asked_to_and_an_undo_takes_nothing_that_was_changed_since() {
    for version in ["11.8", "9.7"] {
        the_kept_row_wins(World::start(version)).await;
    }
}

async fn the_kept_row_wins(world: World) {
    world.kept(
        "alter table users drop constraint calm; alter table orders modify sum decimal(20, 2);
         update users set note = 'there', email = 'other@example.org' where id = 5;
         insert into users (id, email, note) values (15, 'taken@example.org', null), (16, 'fine@example.org', 'never'),
           (17, 'good@example.org', null);
         insert into orders (id, buyer, sum) values (15, 15, 1), (16, 17, 3)",
    );
    // Somebody registered here with the same address.
    world.live("insert into users (id, email) values (99, 'taken@example.org')");
    let before = world.content();
    let merged = world.merge(|spec| spec.take = true).await.expect("merged");
    let users = table(&merged, "users");
    assert_eq!(
        (users.conflicts, users.taken, users.merged, users.refused),
        (1, 1, 1, 2),
        "{users:#?}"
    );
    let taken = reason(users, "id=15");
    assert!(
        taken.contains("email") && taken.contains("id=99"),
        "{taken}"
    );
    assert!(reason(users, "id=16").contains("check"), "{users:#?}");
    let orders = table(&merged, "orders");
    assert_eq!((orders.merged, orders.refused), (1, 1), "{orders:#?}");
    assert!(reason(orders, "id=15").contains("does not stand"));
    let row = "select concat(note, email, shout) from users where id = 5";
    assert_eq!(world.live(row), "thereother@example.orgOTHER@EXAMPLE.ORG");
    let orphans = "select count(*) from orders o where not exists (select 1 from users u where u.id = o.buyer)";
    assert_eq!(world.live(orphans), "0");

    let refused = |failure: TaskFailure, word: &str| {
        assert_eq!(failure.kind, FailureKind::Conflict, "{failure}");
        assert!(failure.message.contains(word), "{failure}");
    };
    world.live("update users set note = 'mine now' where id = 17");
    refused(world.undo(|_| {}).await.expect_err("changed"), "id=17");
    world
        .live("update users set note = null where id = 17; insert into orders (buyer) values (17)");
    refused(world.undo(|_| {}).await.expect_err("referred to"), "orders");
    assert_eq!(
        world.live("select count(*) from users"),
        "16",
        "nothing was taken out"
    );
    world.live("delete from orders where sum is null");
    let undone = world.undo(|spec| spec.succeeded = false).await;
    let undone = undone.expect("undone");
    assert_eq!((undone.removed, undone.restored), (2, 1));
    assert_eq!(world.content(), before);
}

/// The connection is gone between the first row and the commit, as a killed agent's is.
#[tokio::test(flavor = "multi_thread")]
async fn cut_off_in_the_middle_nothing_has_come_and_the_next_attempt_brings_all() {
    let world = World::start("10.11");
    world.kept(SINCE);
    let before = world.content();
    // It comes to a row that this transaction holds, after its comparison and its first rows.
    let holding = "set session innodb_lock_wait_timeout = 50; start transaction; \
        select * from orders for update; select sleep(60); rollback";
    let (id, cut) = (
        world.server.id.clone(),
        world.live("select connection_id()"),
    );
    assert!(!cut.is_empty());
    let holder = std::thread::spawn(move || {
        let words = [
            "exec", &id, "mariadb", "-uroot", "-psecret", "shop", "-e", holding,
        ];
        std::process::Command::new("docker").args(words).output()
    });
    let ask = |sql: &str| world.server.sql("information_schema", sql);
    let until = async |sql: &'static str| {
        let mut found = String::new();
        eventually(sql, async || {
            found = ask(sql);
            !found.is_empty()
        })
        .await;
        found
    };
    let sleeper = until("select id from processlist where info like 'select sleep%'").await;
    let kill = async {
        let waiting =
            until("select trx_mysql_thread_id from innodb_trx where trx_state = 'LOCK WAIT'").await;
        ask(&format!("kill connection {waiting}"));
        ask(&format!("kill connection {sleeper}"));
    };
    let (merged, ()) = tokio::join!(world.merge(|_| {}), kill);
    let failure = merged.expect_err("the session was ended");
    assert!(failure.retryable, "{failure}");
    let _ = holder.join();
    let rows =
        "select count(*) from users; select count(*) from orders; select count(*) from tickets";
    assert_eq!(world.live(rows), "14\n14\n0", "nothing has come");
    let merged = world.merge(|_| {}).await.expect("merged");
    assert_eq!(table(&merged, "users").merged, 3);
    world
        .undo(|spec| spec.succeeded = false)
        .await
        .expect("undone");
    assert_eq!(world.content(), before);
}
