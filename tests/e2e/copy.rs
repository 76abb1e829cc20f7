//! Copying between hosts as an operator does it: every step of the way through `ctl`.

use std::{fs, time::Duration};

use e2e::{
    eventually::eventually,
    fleet::Fleet,
    host::{Host, repository, succeed},
    postgres::{Version, psql, run_postgres, schema_of},
};
use serde_json::Value;

const PUBLISHED: [&str; 2] = ["-p", "5432:5432"];

/// Two hosts with a server each, which the fleet has seen.
pub fn two_servers(source: Version, target: Version) -> Fleet {
    let fleet = Fleet::start(2);
    run_postgres(fleet.host("web-1"), "shop-db", source, &PUBLISHED, &[]);
    run_postgres(fleet.host("web-2"), "shop-db", target, &PUBLISHED, &[]);
    fleet.wait_instance("web-1/shop-db");
    fleet.wait_instance("web-2/shop-db");
    fleet
}

/// A database `shop` on web-1 with so many users.
pub fn fill_users(host: &Host, users: u32) {
    psql(host, "shop-db", "postgres", "create database shop");
    let sql = format!(
        "create table users (id int primary key, email text not null, note text, created_at timestamptz not null);
         insert into users select n, 'user' || n || '@example.org', repeat(md5(n::text), 4), now()
         from generate_series(1, {users}) n"
    );
    psql(host, "shop-db", "shop", &sql);
}

fn databases(host: &Host) -> String {
    psql(
        host,
        "shop-db",
        "postgres",
        "select string_agg(datname, ' ' order by datname) from pg_database where datname not like 'template%'",
    )
}

fn every_object(source: Version, target: Version) {
    let fleet = two_servers(source, target);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    psql(
        one,
        "shop-db",
        "postgres",
        "create database every encoding 'UTF8' template template0",
    );
    let sql =
        fs::read_to_string(repository().join("tests/sql/every_object.sql")).expect("the schema");
    psql(one, "shop-db", "every", &sql);
    psql(
        one,
        "shop-db",
        "postgres",
        "select pg_create_physical_replication_slot('keep', true)",
    );
    let before = fingerprint_of_source(one);

    let copy = fleet.ctl.json(&[
        "copy",
        "database",
        "web-1/shop-db/every",
        "web-2/shop-db/every_copy",
    ]);
    assert_eq!(copy["green"], true, "{copy:#}");
    assert_eq!(copy["path"], "direct", "{copy:#}");
    let created = copy["proof"]["created_roles"].as_array().expect("a list");
    assert!(
        created.iter().any(|role| role == "every owner"),
        "{created:?}"
    );
    assert_eq!(
        fingerprint_of_source(one),
        before,
        "the source is as it was"
    );
    assert_eq!(
        properties(one, "every"),
        properties(two, "every_copy"),
        "what pg_dump says only with --create"
    );

    // The judge is what `pg_dump | psql` makes of the same source on the same server, each with its own tools.
    psql(
        two,
        "shop-db",
        "postgres",
        "create database judge encoding 'UTF8' template template0",
    );
    let mut dump = one.command("docker");
    dump.args([
        "exec", "shop-db", "pg_dump", "-U", "postgres", "-d", "every",
    ]);
    psql(two, "shop-db", "judge", &succeed(dump));
    let (expected, copied) = (
        schema_of(two, "shop-db", "judge"),
        schema_of(two, "shop-db", "every_copy"),
    );
    for (number, (left, right)) in expected.lines().zip(copied.lines()).enumerate() {
        assert_eq!(left, right, "line {number} of the dumps");
    }
    assert_eq!(expected.lines().count(), copied.lines().count());
}

/// Of the database itself: owner, grants, limit, comment, settings.
fn properties(host: &Host, database: &str) -> String {
    let sql = format!(
        "select pg_get_userbyid(datdba), (select string_agg(acl::text, ' ' order by acl::text) from unnest(datacl) acl), datconnlimit, encoding, datcollate, shobj_description(d.oid, 'pg_database'),
                (select string_agg(coalesce(r.rolname, '') || setconfig::text, ' ' order by r.rolname)
                 from pg_db_role_setting left join pg_roles r on r.oid = setrole where setdatabase = d.oid)
         from pg_database d where datname = '{database}'"
    );
    psql(host, "shop-db", "postgres", &sql)
}

/// What must be the same on the source after a copy as before.
fn fingerprint_of_source(host: &Host) -> String {
    psql(
        host,
        "shop-db",
        "postgres",
        "select (select string_agg(slot_name || active || restart_lsn, ',') from pg_replication_slots),
                (select md5(string_agg(name || setting, ',' order by name)) from pg_settings where source <> 'session'),
                (select string_agg(datname || oid, ',' order by oid) from pg_database),
                (select string_agg(rolname, ',' order by oid) from pg_authid)",
    )
}

#[test]
fn every_object_from_15_to_15() {
    every_object(Version::V15, Version::V15);
}

#[test]
fn every_object_from_15_to_17() {
    every_object(Version::V15, Version::V17);
}

#[test]
fn every_object_from_17_to_17() {
    every_object(Version::V17, Version::V17);
}

#[test]
fn preflight_names_every_failure_at_once_and_touches_nothing() {
    let fleet = two_servers(Version::V17, Version::V15);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    fill_users(one, 10);
    psql(two, "shop-db", "postgres", "create database shop_test");
    let said = fleet.ctl.run(&[
        "-o",
        "json",
        "copy",
        "database",
        "web-1/shop-db/shop",
        "web-2/shop-db/shop_test",
    ]);
    assert_ne!(said.code, 0, "{}", said.out);
    let copy: Value = serde_json::from_str(&said.out).expect("JSON");
    let failed: Vec<_> = copy["preflight"]
        .as_array()
        .expect("lines")
        .iter()
        .filter(|line| line["verdict"] == "failed")
        .map(|line| format!("{} {}", line["question"], line["detail"]))
        .collect();
    assert!(
        failed.iter().any(|line| line.contains("older")),
        "older target: {failed:?}"
    );
    assert!(
        failed.iter().any(|line| line.contains("exists")),
        "taken name: {failed:?}"
    );
    assert_eq!(databases(two), "postgres shop_test");

    let dry = fleet.ctl.json(&[
        "copy",
        "database",
        "--dry-run",
        "web-1/shop-db/shop",
        "web-1/shop-db/shop_b",
    ]);
    assert_eq!(dry["dry_run"], true, "{dry:#}");
    assert_eq!(databases(one), "postgres shop");
}

#[test]
fn a_replaced_database_comes_back_by_one_command_and_goes_when_its_time_is_over() {
    let fleet = two_servers(Version::V15, Version::V15);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    fill_users(one, 100);
    psql(two, "shop-db", "postgres", "create database shop_test");
    psql(two, "shop-db", "shop_test", "create table precious ()");
    let args = [
        "copy",
        "database",
        "web-1/shop-db/shop",
        "web-2/shop-db/shop_test",
        "--replace",
        "--yes",
    ];
    let copy = fleet.ctl.json(&args);
    let job = copy["job"]["id"].to_string();
    assert_eq!(
        databases(two),
        format!("postgres shop_test shop_test__before_{job}")
    );
    assert_eq!(
        psql(two, "shop-db", "shop_test", "select count(*) from users"),
        "100"
    );

    fleet.ctl.ok(&["job", "undo", &job]);
    let state = || fleet.ctl.json(&["job", "show", &job])["job"]["state"].clone();
    eventually(Duration::from_secs(30), "the undo", || {
        if state() == "undone" {
            Ok(())
        } else {
            Err(state())
        }
    });
    assert_eq!(
        psql(
            two,
            "shop-db",
            "shop_test",
            "select count(*) from pg_tables where tablename = 'precious'"
        ),
        "1"
    );
    assert_eq!(
        databases(two),
        format!("postgres shop_test shop_test__undone_{job}")
    );

    let mut short = args.to_vec();
    short.extend(["--keep", "3s"]);
    let second = fleet.ctl.json(&short)["job"]["id"].to_string();
    eventually(Duration::from_secs(90), "the sweep", || {
        let now = databases(two);
        if now.contains(&format!("shop_test__before_{second}")) {
            Err(now)
        } else {
            Ok(())
        }
    });
    assert!(
        databases(two).contains("shop_test"),
        "only what was kept is swept"
    );
    let swept = format!("shop_test__before_{second}");
    eventually(Duration::from_secs(10), "a line in the log", || {
        let log = fleet.controller.log();
        let mut lines = log.lines();
        let said = lines.any(|line| line.contains(&swept) && line.contains("swept"));
        if said { Ok(()) } else { Err(log) }
    });
    let audit = fleet.ctl.json(&["audit", "list"]);
    let mut entries = audit["entries"].as_array().into_iter().flatten();
    assert!(
        entries.any(|entry| {
            entry["action"] == "job.sweep"
                && entry["subject"]
                    .as_str()
                    .is_some_and(|s| s.ends_with(&swept))
        }),
        "{audit:#}"
    );
}

#[test]
fn a_part_of_a_database_goes_as_the_options_say() {
    let fleet = two_servers(Version::V15, Version::V17);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    fill_users(one, 20_000);
    psql(
        one,
        "shop-db",
        "shop",
        "create schema app; create table app.log (n int); insert into app.log select generate_series(1, 50);
         create table app.kept (n int primary key); insert into app.kept select generate_series(1, 70);
         create table app.left_out (n int)",
    );
    let copy = |target: &str, options: &[&str]| {
        let target = format!("web-2/shop-db/{target}");
        let args = [
            &["copy", "database", "web-1/shop-db/shop", &target],
            options,
        ]
        .concat();
        fleet.ctl.json(&args)
    };
    let tables = |database: &str| {
        let sql = "select string_agg(schemaname || '.' || relname, ' ' order by schemaname, relname) from pg_stat_user_tables";
        psql(two, "shop-db", database, sql)
    };
    let some = copy(
        "some",
        &[
            "--proof",
            "transit",
            "--table",
            "app.*",
            "--exclude-table",
            "app.left_out",
            "--exclude-table-data",
            "app.log",
            "--jobs",
            "4",
        ],
    );
    assert_eq!(some["green"], true, "{some:#}");
    assert_eq!(some["proof_level"], "transit", "{some:#}");
    assert_eq!(some["rows"], 70, "{some:#}");
    assert_eq!(tables("some"), "app.kept app.log");
    assert_eq!(
        psql(two, "shop-db", "some", "select count(*) from app.log"),
        "0"
    );

    let schema = copy("schema", &["--schema-only"]);
    assert_eq!(schema["rows"], 0, "{schema:#}");
    assert_eq!(
        tables("schema"),
        "app.kept app.left_out app.log public.users"
    );
    assert_eq!(
        psql(two, "shop-db", "schema", "select count(*) from users"),
        "0"
    );

    let started = std::time::Instant::now();
    let slow = copy("slow", &["--bandwidth", "1MB"]);
    let bytes = slow["bytes"].as_u64().expect("a number");
    let least = Duration::from_millis(bytes / 1000 * 8 / 10);
    assert!(
        least > Duration::from_secs(2),
        "{bytes} bytes are too few to tell"
    );
    assert!(
        started.elapsed() >= least,
        "{bytes} bytes in {:?}",
        started.elapsed()
    );
}

#[test]
fn hosts_that_do_not_reach_each_other_copy_through_the_controller() {
    let fleet = two_servers(Version::V15, Version::V17);
    fleet.host("web-1").alone();
    fleet.host("web-2").alone();
    fill_users(fleet.host("web-1"), 20_000);
    let copy = fleet.ctl.json(&[
        "copy",
        "database",
        "web-1/shop-db/shop",
        "web-2/shop-db/shop_test",
    ]);
    assert_eq!(copy["green"], true, "{copy:#}");
    assert_eq!(copy["path"], "relay", "{copy:#}");
    assert_eq!(copy["rows"], 20_000, "{copy:#}");
}

#[test]
fn names_with_quotes_dots_spaces_unicode_and_63_bytes() {
    let fleet = two_servers(Version::V15, Version::V15);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    let long = format!("{}ü", "x".repeat(61));
    for (index, name) in ["we\"ird.na'me / ü $1", &long].into_iter().enumerate() {
        let quoted = name.replace('"', "\"\"");
        psql(
            one,
            "shop-db",
            "postgres",
            &format!("create database \"{quoted}\""),
        );
        psql(
            one,
            "shop-db",
            name,
            "create table \"T a.b\"\"c\" (\"ö\" int); insert into \"T a.b\"\"c\" values (1), (2)",
        );
        let target = format!("web-2/shop-db/{name}");
        let copy = fleet.ctl.json(&[
            "copy",
            "database",
            &format!("web-1/shop-db/{name}"),
            &target,
        ]);
        assert_eq!(copy["green"], true, "{copy:#}");
        // Once more, in its own place: the kept name must fit into 63 bytes too.
        let again = fleet.ctl.json(&[
            "copy",
            "database",
            &format!("web-1/shop-db/{name}"),
            &target,
            "--replace",
            "--yes",
        ]);
        assert_eq!(again["green"], true, "{again:#}");
        assert_eq!(
            psql(
                two,
                "shop-db",
                name,
                "select sum(\"ö\") from \"T a.b\"\"c\""
            ),
            "3",
            "{index}"
        );
    }
}

#[test]
fn an_empty_database_is_copied_and_the_proof_says_so() {
    let fleet = two_servers(Version::V15, Version::V17);
    psql(
        fleet.host("web-1"),
        "shop-db",
        "postgres",
        "create database nothing",
    );
    let copy = fleet.ctl.json(&[
        "copy",
        "database",
        "web-1/shop-db/nothing",
        "web-2/shop-db/nothing",
    ]);
    assert_eq!(
        (&copy["green"], &copy["rows"]),
        (&Value::Bool(true), &Value::from(0)),
        "{copy:#}"
    );
}

#[test]
fn a_gigabyte_goes_through_agents_that_stay_small() {
    let fleet = two_servers(Version::V15, Version::V15);
    let one = fleet.host("web-1");
    psql(one, "shop-db", "postgres", "create database big");
    psql(
        one,
        "shop-db",
        "big",
        "create table big (id bigint primary key, filler text);
         alter table big alter filler set storage external;
         insert into big select n, repeat(md5(n::text), 31) from generate_series(1, 1000000) n",
    );
    let mut copy = fleet.ctl.command();
    copy.args([
        "-o",
        "json",
        "copy",
        "database",
        "web-1/shop-db/big",
        "web-2/shop-db/big",
    ]);
    let mut child = copy
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("ctl starts");
    let mut peak = 0;
    eventually(Duration::from_secs(300), "the end of the copy", || {
        for name in ["web-1", "web-2"] {
            peak = peak.max(fleet.member(name).agent.resident_bytes());
        }
        match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(other),
        }
    });
    let output = child.wait_with_output().expect("its output");
    let copy: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(copy["green"], true, "{copy:#}");
    assert!(
        copy["bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 1_000_000_000),
        "{copy:#}"
    );
    assert!(peak < 150 << 20, "an agent took {} MiB", peak >> 20);
}

#[test]
fn a_user_count_that_falls_is_found_and_one_that_cannot_be_counted_is_not_green() {
    let fleet = two_servers(Version::V15, Version::V15);
    let one = fleet.host("web-1");
    fill_users(one, 100);
    fleet.ctl.ok(&[
        "check",
        "set",
        "web-1/shop-db/shop",
        "users",
        "--count",
        "select count(*) from users",
        "--min",
        "10",
        "--max-drop",
        "10%",
        "--every",
        "5s",
    ]);
    let invalid = fleet.ctl.run(&[
        "check",
        "set",
        "web-1/shop-db/shop",
        "bad",
        "--count",
        "select nonsense",
    ]);
    assert_ne!(invalid.code, 0, "{}", invalid.out);
    let wait_for = |verdict: &str| {
        eventually(Duration::from_secs(30), verdict, || {
            let list = fleet.ctl.json(&["check", "list"]);
            let last = list["checks"][0]["last"]["verdict"].clone();
            if last == verdict { Ok(()) } else { Err(list) }
        });
    };
    wait_for("ok");
    psql(one, "shop-db", "shop", "delete from users where id > 5");
    wait_for("suspicious");
    eventually(Duration::from_secs(10), "a finding", || {
        let findings = fleet.ctl.json(&["finding", "list"]);
        let found = findings["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|finding| {
                finding["subject"]
                    .as_str()
                    .is_some_and(|subject| subject.starts_with("web-1/shop-db/shop"))
            });
        if found { Ok(()) } else { Err(findings) }
    });
    psql(one, "shop-db", "shop", "drop table users");
    wait_for("could-not-run");
}
