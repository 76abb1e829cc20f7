//! User-count checks: what they read, what they refuse, what they never do.

use std::time::{Duration, Instant};

use holdfast_agent::task::run_check;
use holdfast_proto::{
    check::CheckOutcome,
    task::{DatabaseTarget, FailureKind, RunCheck},
};

use crate::{eventually::eventually, server::Server};

fn check(count: &str, newest: &str) -> RunCheck {
    RunCheck {
        target: DatabaseTarget {
            instance: "shop-db".to_owned(),
            database: "shop".to_owned(),
        },
        count_sql: count.to_owned(),
        newest_sql: newest.to_owned(),
        timeout: Duration::from_secs(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reads_numbers_and_times_and_changes_nothing() {
    let server = Server::start_with("11.8", &["--default-time-zone=+09:00"]);
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    server.sql(
        "",
        "create database shop; create table shop.users (id int primary key, at datetime default '2026-01-02 03:04:05', \
         stamp timestamp default '2026-01-02 12:04:05', born date default '2026-01-02', never datetime default null); \
         insert into shop.users (id) select seq from shop.seq_1_to_7; create table shop.my (a int) engine=MyISAM;\ndelimiter //\ncreate function shop.writes() returns int deterministic \
         begin insert into users (id) values (99); return 1; end //\n",
    );
    let run = async |count: &str, newest: &str| -> CheckOutcome {
        run_check::run(check(count, newest), &context)
            .await
            .unwrap()
    };
    for count in [
        "select count(*) from users",
        "select cast(7 as signed)",
        "select 7 -- all of them",
        "select sum(1) from users",
        "select cast(7 as unsigned)",
    ] {
        let outcome = run(count, "").await;
        assert_eq!(
            (outcome.count, outcome.error.as_str()),
            (Some(7), ""),
            "{count}"
        );
        assert_eq!(outcome.newest, None);
    }
    for (newest, expected) in [
        ("select max(at) from users", "2026-01-02T03:04:05Z"),
        ("select max(stamp) from users", "2026-01-02T03:04:05Z"),
        ("select max(born) from users", "2026-01-02T00:00:00Z"),
    ] {
        let outcome = run("select 1", newest).await;
        assert_eq!(outcome.error, "", "{newest}");
        assert_eq!(
            outcome.newest.unwrap(),
            expected.parse::<chrono::DateTime<chrono::Utc>>().unwrap(),
            "{newest}"
        );
    }
    assert_eq!(
        run("select 1", "select max(never) from users").await.newest,
        None
    );
    for (count, newest, words) in [
        (
            "select * from nowhere",
            "",
            "the count failed: Table 'shop.nowhere' doesn't exist",
        ),
        (
            "select 1, 2",
            "",
            "exactly one row with one value, but it gives 2 columns",
        ),
        ("select id from users", "", "but it gives more"),
        (
            "select id from users where id > 99",
            "",
            "but it gives no row",
        ),
        (
            "select 'seven'",
            "",
            "exactly one integer, but it gives text",
        ),
        ("select null + 1", "", "it gives NULL"),
        ("select 1.5", "", "it is not a whole number"),
        (
            "select 1",
            "select 7",
            "exactly one timestamp or date, but it gives",
        ),
        ("delete from users", "", "READ ONLY transaction"),
        (
            "select 1; delete from users",
            "",
            "the count failed: You have an error in your SQL syntax",
        ),
        ("commit", "", "but it is no query"),
        ("select 1 into outfile '/tmp/a'", "", "but it is no query"),
        ("select writes()", "", "READ ONLY transaction"),
        (
            "select sleep(30)",
            "",
            "the count was stopped: the check took longer than 1 s",
        ),
    ] {
        let outcome = run(count, newest).await;
        assert_eq!(outcome.count, None, "{count}");
        assert!(
            outcome.error.contains(words),
            "{count}: {:?}",
            outcome.error
        );
    }
    assert_eq!(
        server.sql(
            "shop",
            "select count(*) from users; select count(*) from my"
        ),
        "7\n0"
    );
    let elsewhere = RunCheck {
        target: DatabaseTarget {
            instance: "shop-db".to_owned(),
            database: "nowhere".to_owned(),
        },
        ..check("select 1", "")
    };
    let failure = run_check::run(elsewhere, &context).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure:?}");
    assert!(
        failure.message.contains("Unknown database 'nowhere'"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_check_leaves_no_statement_behind() {
    let server = Server::start("10.11");
    server.sql("", "create database shop");
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    let mut slow = check(
        "select sleep(600) + count(*) from information_schema.tables",
        "",
    );
    slow.timeout = Duration::from_secs(500);
    let cancel = context.cancel.clone();
    let running = tokio::spawn(async move { run_check::run(slow, &context).await });
    let runs = || {
        server.sql(
            "",
            "select count(*) from information_schema.processlist where info like 'select sleep%'",
        )
    };
    eventually("the check runs", async || runs() == "1").await;
    let begun = Instant::now();
    cancel.cancel();
    let failure = running.await.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(10));
    eventually("the statement has ended", async || runs() == "0").await;
}
