//! What a report says of a server's health, against what the server itself says.
//!
//! Needs Docker on its usual socket and the images `holdfast-test/postgres:15` and `:17`.

use crate::eventually::eventually;
use crate::observed::{Observed, SERVER_START, Started, up};
use crate::support::Server;
use holdfast_agent::engine::postgres::{
    health::{self, Memory},
    route::Route,
};
use holdfast_proto::fleet::{Database, InstanceHealth};

/// The health of now.
async fn looked_at(observed: &Observed, name: &str) -> InstanceHealth {
    // The answer comes a moment before the report; at the second answer the first is reported.
    for _ in 0..2 {
        let answer = observed.look_at(name).await;
        assert!(answer.up, "{name} is down: {}", answer.down_reason);
    }
    let newest = observed.reports.subscribe().borrow().clone();
    let instance = newest.and_then(|snapshot| up(&snapshot, name));
    instance.and_then(|up| up.health).expect("it was up")
}

fn database<'a>(health: &'a InstanceHealth, name: &str) -> &'a Database {
    let found = health.databases.iter().find(|d| d.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", health.databases))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_report_says_of_a_15_is_so() {
    what_is_reported_is_so(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_report_says_of_a_17_is_so() {
    what_is_reported_is_so(17).await;
}

async fn what_is_reported_is_so(version: u32) {
    let server = Started::server(
        &format!("health{version}"),
        version,
        &["-e", "POSTGRES_INITDB_ARGS=--data-checksums"],
        &[
            "wal_level=logical",
            "archive_mode=on",
            "archive_command=false",
            "max_connections=37",
        ],
    );
    let observed = Observed::start();
    let is_up = observed.until("the server is up", SERVER_START, |s| up(s, &server.0));
    is_up.await;
    for sql in [
        "create database shop template template0 encoding 'LATIN1' locale 'C'",
        "alter database shop allow_connections false",
        "select pg_create_physical_replication_slot('standby', true)",
        "select pg_create_logical_replication_slot('cdc', 'pgoutput')",
        "create table filler as select repeat('x', 1000) from generate_series(1, 5000)",
        "select pg_switch_wal()",
    ] {
        server.psql(sql);
    }
    server.psql("checkpoint");
    let nap = "select pg_sleep(600), 'a long nap'";
    for _ in 0..3 {
        crate::observed::said(&["exec", "-d", &server.0, "psql", "-U", "postgres", "-c", nap]);
    }
    let naps = "from pg_stat_activity where query like '%a long nap%' and state = 'active' \
                and pid <> pg_backend_pid() and clock_timestamp() - query_start > '1 s'";
    eventually("three sessions have slept for a second", async || {
        server.psql(&format!("select count(*) {naps}")) == "3"
    })
    .await;
    eventually("archiving has failed", async || {
        server.psql("select failed_count > 0 from pg_stat_archiver") == "t"
    })
    .await;

    let health = looked_at(&observed, &server.0).await;
    assert_eq!(health.version, server.psql("show server_version"));
    assert_eq!(
        health.version_num.to_string(),
        server.psql("show server_version_num")
    );
    assert_eq!(
        health.system_identifier,
        server.psql("select system_identifier from pg_control_system()")
    );
    assert!(!health.in_recovery);
    let started = health.started_at.expect("a start").timestamp_micros();
    let micros = "(extract(epoch from pg_postmaster_start_time()) * 1000000)::int8";
    assert_eq!(
        started.to_string(),
        server.psql(&format!("select {micros}"))
    );

    // Others may watch the same engine: what they use comes on top.
    assert_eq!(health.connections_max, 37);
    assert!((3..13).contains(&health.connections_used), "{health:?}");
    let longest = server.psql(&format!(
        "select extract(epoch from max(clock_timestamp() - query_start)) {naps}"
    ));
    let longest: f64 = longest.parse().expect("seconds");
    let told = health.longest_query_seconds;
    assert!(1.0 <= told && told <= longest, "{told} of {longest}");
    assert_eq!(health.long_queries, [], "none is older than five minutes");

    let archiver = &health.archiver;
    assert!(archiver.on && archiver.failed > 0, "{archiver:?}");
    assert_eq!((archiver.archived, archiver.last_archived_at), (0, None));
    assert!(archiver.last_failed_at >= health.started_at, "{archiver:?}");
    let segment = "select last_failed_wal from pg_stat_archiver";
    assert_eq!(archiver.last_failed_wal, server.psql(segment));

    let slots = health.slots.iter().map(|slot| {
        assert!(slot.lag_bytes > 5_000_000, "{slot:?}");
        (slot.name.as_str(), slot.kind.as_str(), slot.active)
    });
    assert_eq!(
        slots.collect::<Vec<_>>(),
        [("cdc", "logical", false), ("standby", "physical", false)]
    );

    let age = server.psql("select max(age(datfrozenxid)) from pg_database");
    let age: u32 = age.parse().expect("a number");
    assert!(health.transaction_id_age > 0);
    assert!(age - health.transaction_id_age < 1000, "{health:?}");
    assert!(health.checksums_on && health.checksum_failures == 0);

    assert_eq!(health.data_directory, "/var/lib/postgresql/data");
    let disk = server.exec(&["stat", "-f", "-c", "%S %b %f %a", &health.data_directory]);
    let disk: Vec<u64> = disk.split(' ').map(|n| n.parse().expect("n")).collect();
    // As `df` counts: what is kept for root is neither used nor free.
    let total = disk[0] * (disk[1] - disk[2] + disk[3]);
    assert!(
        total.abs_diff(health.disk_total_bytes) < 1 << 30,
        "{disk:?}"
    );
    let free = disk[0] * disk[3];
    assert!(
        free.abs_diff(health.disk_free_bytes) < 1 << 30,
        "{free} {health:?}"
    );

    let names: Vec<_> = health.databases.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["postgres", "shop", "template0", "template1"]);
    let shop = database(&health, "shop");
    assert_eq!(
        (
            shop.owner.as_str(),
            shop.encoding.as_str(),
            shop.collation.as_str()
        ),
        ("postgres", "LATIN1", "C")
    );
    assert!(!shop.allows_connections && !shop.is_template);
    let template = database(&health, "template1");
    assert!(template.allows_connections && template.is_template);
    for database in &health.databases {
        let size = server.psql(&format!("select pg_database_size('{}')", database.name));
        let size: u64 = size.parse().expect("bytes");
        assert!(
            size.abs_diff(database.size_bytes) < 2 << 20,
            "{size} {database:?}"
        );
    }
    assert!(database(&health, "postgres").size_bytes > shop.size_bytes + 4_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_says_that_it_is_one_and_what_its_own_slots_keep() {
    let primary = Started::server("primary", 17, &[], &[]);
    let observed = Observed::start();
    let is_up = observed.until("the primary is up", SERVER_START, |s| up(s, &primary.0));
    is_up.await;
    let line = "echo 'host replication all all scram-sha-256' >>$PGDATA/pg_hba.conf";
    primary.exec(&["sh", "-c", line]);
    primary.psql("select pg_reload_conf()");
    let address = primary.inspect("{{.NetworkSettings.IPAddress}}");
    let script = format!(
        "install -d -o postgres /run/postgresql /standby
         as_postgres='setpriv --reuid=postgres --regid=postgres --init-groups'
         $as_postgres pg_basebackup -h {address} -U postgres -R -D /standby/data &&
         exec $as_postgres postgres -D /standby/data"
    );
    let standby = Started::run(
        "standby",
        &["-e", "PGPASSWORD=secret", "--entrypoint", "sh"],
        "holdfast-test/postgres:17",
        &["-c", &script],
    );
    let is_up = observed.until("the standby is up", SERVER_START, |s| up(s, &standby.0));
    is_up.await;
    standby.psql("select pg_create_physical_replication_slot('cascade', true)");
    let received =
        "select pg_last_wal_receive_lsn() - restart_lsn > 3000000 from pg_replication_slots";
    primary.psql("create table filler as select repeat('x', 1000) from generate_series(1, 5000)");
    eventually("the standby has received it", async || {
        standby.psql(received) == "t"
    })
    .await;

    let (first, second) = (
        looked_at(&observed, &primary.0).await,
        looked_at(&observed, &standby.0).await,
    );
    assert!(!first.in_recovery && second.in_recovery);
    assert_eq!(first.system_identifier, second.system_identifier);
    assert_eq!(second.data_directory, "/standby/data");
    assert!(!second.checksums_on && !second.archiver.on);
    assert_eq!((first.slots.len(), second.slots.len()), (0, 1));
    assert!(second.slots[0].lag_bytes > 3_000_000, "{:?}", second.slots);
}

/// A server whose user "probe" may read everything, and a way in as that user.
fn probed(version: u32) -> (Server, Route) {
    let server = Server::start(version);
    for sql in [
        "create role probe login password 'secret'",
        "select pg_create_physical_replication_slot('standby', true)",
    ] {
        let _ = server.psql("postgres", sql);
    }
    let route = Route {
        user: "probe".to_owned(),
        ..server.route()
    };
    (server, route)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_stays_as_it_was_known_and_is_no_zero() {
    let (server, route) = probed(15);
    let read = async |memory: &mut Memory| {
        let client = route.connect("postgres").await.expect("let in");
        let health = health::read(&client, "shop-db", memory, None).await;
        health.expect("a refusal fails no more than its own part")
    };
    let mut memory = Memory::default();
    let known = read(&mut memory).await;
    assert_eq!(known.slots.len(), 1);
    assert!(!known.system_identifier.is_empty());

    for what in [
        "select on pg_replication_slots",
        "select on pg_stat_archiver",
        "execute on function pg_control_system()",
        "execute on function pg_database_size(oid)",
    ] {
        let _ = server.psql("postgres", &format!("revoke {what} from public"));
    }
    let _ = server.psql("postgres", "select pg_drop_replication_slot('standby')");
    let refused = read(&mut memory).await;
    assert_eq!(refused.slots[0].name, "standby");
    assert_eq!(refused.system_identifier, known.system_identifier);
    assert_eq!(refused.archiver, known.archiver);
    assert_eq!(refused.version, known.version);
    assert_eq!(
        database(&refused, "postgres").size_bytes,
        database(&known, "postgres").size_bytes
    );
    let never_known = read(&mut Memory::default()).await;
    assert_eq!(never_known.system_identifier, "");
    assert_eq!(database(&never_known, "postgres").size_bytes, 0);

    let again = "grant select on pg_replication_slots to public";
    let _ = server.psql("postgres", again);
    assert_eq!(
        read(&mut memory).await.slots,
        [],
        "what is known is renewed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_lost_in_the_middle_is_an_error_and_no_health() {
    let (server, route) = probed(17);
    let holder = server.route().connect("postgres").await.expect("let in");
    // A view of one function: nobody else waits for it.
    let lock = "begin; lock table pg_stat_archiver in access exclusive mode";
    holder.batch_execute(lock).await.expect("locked");
    let mut memory = Memory::default();
    let client = route.connect("postgres").await.expect("let in");
    let late = health::read(&client, "shop-db", &mut memory, None).await;
    assert_eq!(late.expect("the lock costs one part").slots.len(), 1);

    let ending = tokio::spawn(async move {
        let end = "do $$ begin loop \
             perform pg_terminate_backend(pid) from pg_stat_activity \
               where usename = 'probe' and wait_event_type = 'Lock'; \
             exit when found; \
             perform pg_sleep(0.01); perform pg_stat_clear_snapshot(); \
           end loop; end $$";
        let client = server.route().connect("postgres").await.expect("let in");
        client
            .batch_execute(end)
            .await
            .expect("it was found waiting");
        server
    });
    let lost = health::read(&client, "shop-db", &mut memory, None).await;
    let _server = ending.await.expect("ended");
    assert!(lost.is_err(), "{lost:?}");
}
