//! User-count checks on a real server: what they read, what they refuse, what they never do.

use std::time::Duration;

use crate::eventually::eventually;
use crate::support::Server;
use holdfast_agent::task::run_check;
use holdfast_proto::{
    check::CheckOutcome,
    task::{DatabaseTarget, FailureKind, RunCheck},
};

fn check(count: &str, newest: &str) -> RunCheck {
    RunCheck {
        target: DatabaseTarget {
            instance: "shop-db".to_owned(),
            database: "postgres".to_owned(),
        },
        count_sql: count.to_owned(),
        newest_sql: newest.to_owned(),
        timeout: Duration::from_secs(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reads_numbers_and_times_of_every_kind_and_changes_nothing() {
    let server = Server::start(15);
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    let _ = server.psql(
        "postgres",
        "create table users(id int, at timestamp default '2026-01-02 03:04:05'); \
         insert into users select generate_series(1, 7); alter database postgres set timezone to 'Asia/Tokyo'",
    );
    let run = async |count: &str, newest: &str| -> CheckOutcome {
        run_check::run(check(count, newest), &context)
            .await
            .unwrap()
    };
    for count in [
        "select count(*) from users",
        "select 7::smallint",
        "select count(*)::int from users -- all of them",
        "select sum(1) from users",
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
        (
            "select timestamptz '2026-01-02 03:04:05+09'",
            "2026-01-01T18:04:05Z",
        ),
        ("select date '2026-01-02'", "2026-01-02T00:00:00Z"),
    ] {
        let outcome = run("select 7", newest).await;
        assert_eq!(
            outcome.newest,
            Some(expected.parse().unwrap()),
            "{newest}: {outcome:?}"
        );
    }
    assert_eq!(
        run("select 0", "select max(at) from users where id > 99")
            .await
            .newest,
        None
    );
    for (count, words) in [
        ("select count(*) from nobody", "does not exist"),
        ("select 1; drop table users", "multiple commands"),
        ("delete from users returning 1", "read-only transaction"),
        ("copy users to program 'true'", "it is no query"),
        ("select id from users", "it gives more"),
        ("select id from users where false", "it gives no row"),
        ("select 1, 2", "it gives 2 columns"),
        ("select 'seven'", "it gives text"),
        ("select null::int", "it gives NULL"),
        ("select 1.5", "not a whole number"),
        ("select 1 from pg_sleep(9)", "longer than 1 s"),
    ] {
        let outcome = run(count, "").await;
        assert!(outcome.error.contains(words), "{count}: {outcome:?}");
        assert_eq!(outcome.count, None);
    }
    // The limit is one for both statements, and neither lifts it.
    for (count, newest) in [
        (
            "select 1 from pg_sleep(0.7)",
            "select now() from pg_sleep(0.7)",
        ),
        (
            "select 1 from set_config('statement_timeout', '0', true)",
            "select now() from pg_sleep(9)",
        ),
    ] {
        let begun = std::time::Instant::now();
        let outcome = run(count, newest).await;
        assert!(outcome.error.contains("longer than 1 s"), "{outcome:?}");
        assert!(begun.elapsed() < Duration::from_secs(8), "{newest}");
    }
    assert_eq!(
        server.psql("postgres", "select count(*) from users").trim(),
        "7"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_check_ends_and_its_statement_too() {
    let server = Server::start(17);
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    let slow = RunCheck {
        timeout: Duration::from_secs(600),
        ..check("select 1 from pg_sleep(599)", "")
    };
    let running = "select count(*) from pg_stat_activity where query like '%pg_sleep(599)%' \
                   and state = 'active' and pid <> pg_backend_pid()";
    let cancel = context.cancel.clone();
    let task = tokio::spawn(async move { run_check::run(slow, &context).await });
    eventually("the statement runs", async || {
        server.psql("postgres", running).trim() == "1"
    })
    .await;
    cancel.cancel();
    let failure = task.await.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled);
    eventually("the statement ended", async || {
        server.psql("postgres", running).trim() == "0"
    })
    .await;
}

/// A server that stops nothing by itself: its limit was lifted while the transaction began.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_does_not_hold_a_check_up() {
    let server = Server::start(15);
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    let checking = tokio::spawn({
        let context = context.clone();
        async move { run_check::run(check("select 1 from pg_sleep(9)", ""), &context).await }
    });
    eventually("the statement runs", async || {
        let running = "select count(*) from pg_stat_activity where query like '%pg_sleep(9)%' \
                       and state = 'active' and pid <> pg_backend_pid()";
        checking.is_finished() || server.psql("postgres", running).trim() == "1"
    })
    .await;
    server.pause();
    let outcome = checking.await.unwrap().unwrap();
    server.resume();
    assert!(outcome.error.contains("longer than 1 s"), "{outcome:?}");
    assert!(outcome.error.contains("told to"), "{outcome:?}");
}
