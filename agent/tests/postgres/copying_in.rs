//! COPY IN on a bare socket, against a real server: what arrives, and what is said when it does not.

use std::time::Duration;

use crate::support::Server;
use holdfast_agent::engine::postgres::wire::{RawError, RawSession};

const MIB: usize = 1 << 20;

async fn session(server: &Server, table: &str) -> RawSession {
    server.script("postgres", table);
    RawSession::open(&server.route(), "postgres", "copying in", "")
        .await
        .expect("a session")
}

/// Whole rows of one number, about `bytes` long.
fn rows(from: u64, bytes: usize) -> (String, u64) {
    let mut text = String::new();
    let mut number = from;
    while text.len() < bytes {
        text.push_str(&format!("{number}\n"));
        number += 1;
    }
    (text, number)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_arrive_whatever_the_pieces_and_the_session_goes_on() {
    let server = Server::start(17);
    let mut session = session(&server, "CREATE TABLE numbers (n bigint)").await;
    let (text, end) = rows(0, 3 * MIB + 17);
    for piece in [7, (64 << 10) - 1, 64 << 10, MIB, text.len()] {
        session.execute("TRUNCATE numbers").await.expect("emptied");
        let mut copy = session
            .copy_in("COPY numbers FROM STDIN")
            .await
            .expect("begun");
        // The smallest pieces for the first rows only: each is a call of the kernel.
        let (small, large) = text.as_bytes().split_at(if piece < 100 { 700 } else { 0 });
        for piece in small.chunks(piece).chain(large.chunks(piece.max(1000))) {
            copy.send(piece).await.expect("sent");
        }
        assert_eq!(
            copy.finish().await.expect("ended"),
            end,
            "pieces of {piece}"
        );
        let there = server.psql("postgres", "SELECT count(*), sum(n) FROM numbers");
        assert_eq!(there.trim(), format!("{end}|{}", end * (end - 1) / 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_server_refuses_ends_the_copy_long_before_its_end() {
    let server = Server::start(17);
    let mut session = session(&server, "CREATE TABLE numbers (n bigint PRIMARY KEY)").await;
    let mut copy = session
        .copy_in("COPY numbers FROM STDIN")
        .await
        .expect("begun");
    copy.send(b"1\nnobody\n")
        .await
        .expect("the server has not looked yet");
    let (text, _) = rows(2, MIB);
    let mut refused = None;
    // A server that is not listened to takes these to the last byte and drops them.
    for sent in 0..4096 {
        if let Err(error) = copy.send(text.as_bytes()).await {
            refused = Some((sent, error));
            break;
        }
    }
    let (sent, error) = refused.expect("said before 4 GiB were sent");
    assert!(sent < 64, "only after {sent} MiB");
    let RawError::Server { code, message, .. } = error else {
        panic!("not the server's word: {error}");
    };
    assert_eq!(code, "22P02");
    assert!(message.contains("\"nobody\""), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_a_rule_is_told_with_its_detail() {
    let server = Server::start(17);
    let mut session = session(&server, "CREATE TABLE numbers (n bigint PRIMARY KEY)").await;
    let mut copy = session
        .copy_in("COPY numbers FROM STDIN")
        .await
        .expect("begun");
    copy.send(b"1\n1\n").await.expect("sent");
    let error = copy.finish().await.expect_err("twice the same key");
    let said = error.to_string();
    assert!(said.contains("(Key (n)=(1) already exists.)"), "{said}");
    assert!(!error.is_broken());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_tells_the_servers_last_words() {
    let server = Server::start(17);
    let mut session = session(&server, "CREATE TABLE numbers (n bigint)").await;
    let mut copy = session
        .copy_in("COPY numbers FROM STDIN")
        .await
        .expect("begun");
    copy.send(b"1\n").await.expect("sent");
    server.script(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'copying in'",
    );
    let (text, _) = rows(2, MIB);
    let error = loop {
        if let Err(error) = copy.send(text.as_bytes()).await {
            break error;
        }
    };
    assert!(error.is_broken(), "{error}");
    assert!(
        matches!(&error, RawError::Server { code, .. } if code == "57P01"),
        "{error}"
    );
    let none = server.psql("postgres", "SELECT count(*) FROM numbers");
    assert_eq!(none.trim(), "0");
}

/// Its words would fill the socket: a client that only writes, and a server that only talks, wait for each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_talkative_server_is_heard_out() {
    let server = Server::start(17);
    let table = "CREATE TABLE numbers (n bigint); \
                 CREATE FUNCTION talk() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE WARNING '% %', NEW.n, repeat('x', 2000); RETURN NEW; END $$; \
                 CREATE TRIGGER talk BEFORE INSERT ON numbers FOR EACH ROW EXECUTE FUNCTION talk()";
    let mut session = session(&server, table).await;
    let copying = async {
        let mut copy = session.copy_in("COPY numbers FROM STDIN").await?;
        // More than the buffers between the two hold, on both ways.
        let text: String = (0..20_000).map(|n| format!("{n:0>200}\n")).collect();
        copy.send(text.as_bytes()).await?;
        copy.finish().await
    };
    let stored = tokio::time::timeout(Duration::from_mins(2), copying)
        .await
        .expect("neither waits for the other")
        .expect("stored");
    assert_eq!(stored, 20_000);
}
