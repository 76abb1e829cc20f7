//! Backups as an operator makes, sees and keeps them, read back by Debian's own restic and psql.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use e2e::{
    ctl::Said,
    eventually::eventually,
    fleet::Fleet,
    host::{Host, succeed},
    postgres::{Version, psql, run_postgres},
};
use serde_json::Value;

use crate::{
    copy::{fill_users, two_servers},
    faults::{wait_for_end, wait_for_step},
};

const SHOP: &str = "web-1/shop-db/shop";
/// Some ten MiB.
const USERS: u32 = 60_000;

fn back_up(fleet: &Fleet) -> Value {
    let made = fleet.ctl.json(&["backup", "create", SHOP]);
    made["backups"][0]["backup"].clone()
}

fn listed(fleet: &Fleet) -> Vec<Value> {
    let list = fleet.ctl.json(&["backup", "list", SHOP]);
    list["backups"].as_array().expect("a list").clone()
}

fn number(backup: &Value) -> String {
    backup["id"].to_string()
}

/// What stands in the table, in one line.
fn content(host: &Host, database: &str) -> String {
    let sql = "select count(*), md5(string_agg(u::text, ',' order by id)) from users u";
    psql(host, "shop-db", database, sql)
}

#[test]
fn backups_are_made_seen_compared_pinned_and_deleted() {
    let fleet = two_servers(Version::V15, Version::V15);
    let one = fleet.host("web-1");
    fill_users(one, 5_000);
    let first = back_up(&fleet);
    assert_eq!(
        (&first["kind"], &first["state"]),
        (&"full".into(), &"stored".into())
    );

    psql(
        one,
        "shop-db",
        "shop",
        "insert into users select n, 'x', 'y', now() from generate_series(5001, 5500) n; create table orders (id int primary key)",
    );
    let second = back_up(&fleet);
    let schema = fleet.ctl.json(&["backup", "create", SHOP, "--schema-only"]);
    assert_eq!(schema["backups"][0]["backup"]["kind"], "schema-only");
    let ids: Vec<String> = listed(&fleet).iter().map(number).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[1..], [number(&second), number(&first)]);

    // The latest is the latest that holds everything.
    let latest = fleet
        .ctl
        .json(&["backup", "show", &format!("{SHOP}@latest")]);
    assert_eq!(latest["backup"]["id"], second["id"]);
    let users = table(&latest, "users");
    assert_eq!(users["rows"], 5_500, "{latest:#}");
    let diff = fleet.ctl.json(&["backup", "diff", &number(&second)]);
    let changes = diff["changes"].as_array().expect("a list");
    let told: Vec<_> = changes
        .iter()
        .map(|c| (&c["name"], &c["kind"], &c["rows_after"]))
        .collect();
    assert!(
        told.contains(&(&"users".into(), &"grew".into(), &5_500.into())),
        "{diff:#}"
    );
    assert!(
        told.contains(&(&"orders".into(), &"came".into(), &0.into())),
        "{diff:#}"
    );
    assert_eq!(diff["schema_changed"], true);

    deletions(&fleet, &first, &second);
    refusals(&fleet);
}

fn table<'a>(shown: &'a Value, name: &str) -> &'a Value {
    let mut tables = shown["tables"].as_array().expect("a list").iter();
    tables
        .find(|table| table["name"] == name)
        .expect("the table")
}

fn deletions(fleet: &Fleet, first: &Value, second: &Value) {
    let (old, new) = (number(first), number(second));
    let delete = |args: &[&str]| -> Said {
        let mut all = vec!["backup", "delete"];
        all.extend(args);
        fleet.ctl.run(&all)
    };
    let refused = delete(&[&new, "--yes"]);
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.err.contains("the newest good one"), "{refused:?}");
    fleet.ctl.ok(&["backup", "pin", &old]);
    let pinned = delete(&[&old, "--yes"]);
    assert_eq!(pinned.code, 6, "{pinned:?}");
    assert!(pinned.err.contains("ctl backup unpin"), "{pinned:?}");
    fleet.ctl.ok(&["backup", "unpin", &old]);
    let deleted = fleet.ctl.json(&["backup", "delete", &old, "--yes"]);
    assert_eq!(deleted["backup"]["deleted_by"], "operator/admin");
    assert!(!deleted["backup"]["goes_at"].is_null(), "{deleted:#}");
    // Nobody is asked on a pipe, and force wants the name.
    assert_eq!(delete(&[&new, "--force", "--yes"]).code, 2);
    assert_eq!(
        delete(&[&new, "--force", "--yes=web-1/shop-db/other"]).code,
        6
    );
    assert_eq!(delete(&[&new, "--force"]).code, 2);
    // The scheduler has looked at the mark, and leaves it.
    let preview = fleet.ctl.json(&["retention", "preview", SHOP]);
    let lines = preview["backups"].as_array().expect("a list");
    let line = lines
        .iter()
        .find(|line| line["backup"] == first["id"])
        .expect("it");
    assert_eq!(
        line["reasons"][0], "deleted by operator/admin",
        "{preview:#}"
    );
    let forced = format!("--yes={SHOP}");
    assert_eq!(delete(&[&new, "--force", &forced]).code, 0);
    // Until the scheduler finds that the old one is the newest now, none is left to choose.
    let latest = ["-o", "json", "backup", "show", &format!("{SHOP}@latest")];
    let said = fleet.ctl.run(&latest);
    let old_one = serde_json::from_str::<Value>(&said.out)
        .is_ok_and(|shown| shown["backup"]["id"] == first["id"]);
    assert!(said.code == 3 || old_one, "{said:?}");
    // A pin takes it back.
    fleet.ctl.ok(&["backup", "pin", &new]);
    let latest = fleet
        .ctl
        .json(&["backup", "show", &format!("{SHOP}@latest")]);
    assert_eq!(latest["backup"]["id"], second["id"]);
    nothing_is_pruned_before_its_time(fleet);
}

/// Marked or not, a backup has a day: pruning by hand takes none of them, and the repository stays sound.
fn nothing_is_pruned_before_its_time(fleet: &Fleet) {
    let before = listed(fleet);
    let dry = fleet
        .ctl
        .json(&["repository", "prune", "web-1", "--dry-run"]);
    assert_eq!(dry["due"], serde_json::json!([]), "{dry:#}");
    assert_eq!(dry["job"], Value::Null, "{dry:#}");
    let pruned = fleet.ctl.json(&["repository", "prune", "web-1"]);
    assert_eq!(pruned["pruned"]["backups"], serde_json::json!([]));
    assert_eq!(pruned["pruned"]["missing_backups"], serde_json::json!([]));
    let kept = |backups: &[Value]| -> Vec<String> { backups.iter().map(number).collect() };
    assert_eq!(kept(&listed(fleet)), kept(&before));
    let check = ["repository", "check", "web-1", "--read-data", "100%"];
    assert_eq!(fleet.ctl.json(&check)["sound"], true);
}

fn refusals(fleet: &Fleet) {
    let near = fleet.ctl.run(&["backup", "create", "web-1/shopdb/shop"]);
    assert_eq!(near.code, 3, "{near:?}");
    assert!(near.err.contains("shop-db"), "{near:?}");
    // One of two fails: the other is there, and the exit code tells.
    let both = [
        "-o",
        "json",
        "backup",
        "create",
        SHOP,
        "web-1/shop-db/nothing",
    ];
    let said = fleet.ctl.run(&both);
    assert_eq!(said.code, 6, "{said:?}");
    let made: Value = serde_json::from_str(&said.out).expect("JSON");
    let of = |name: &str| {
        let mut all = made["backups"].as_array().expect("a list").iter();
        all.find(|made| made["database"] == name).expect("it")["backup"].is_null()
    };
    assert!(!of(SHOP) && of("web-1/shop-db/nothing"), "{made:#}");
}

#[test]
fn a_killed_agent_or_controller_leaves_no_half_backup_and_restic_alone_restores_it() {
    let mut fleet = two_servers(Version::V15, Version::V15);
    fill_users(fleet.host("web-1"), USERS);
    let mut count = 0;
    for victim in ["controller", "web-1"] {
        let args = ["backup", "create", SHOP, "--bandwidth", "3MB", "--detach"];
        let made = fleet.ctl.json(&args);
        let id = made["backups"][0]["job"]["id"].to_string();
        wait_for_step(&fleet, &id, "store");
        wait_for_rows(&fleet);
        assert_eq!(listed(&fleet).len(), count, "nothing counts before its end");
        if victim == "controller" {
            fleet.controller.kill_9();
            fleet.restart_controller();
        } else {
            let member = fleet.member_mut(victim);
            member.agent.kill_9();
            member.restart_agent();
        }
        let ended = wait_for_end(&fleet, &id);
        assert_eq!(ended["job"]["state"], "succeeded", "{victim}: {ended:#}");
        count += 1;
        let own: Vec<_> = listed(&fleet)
            .into_iter()
            .filter(|backup| backup["job"] == made["backups"][0]["job"]["id"])
            .collect();
        assert_eq!((own.len(), listed(&fleet).len()), (1, count), "{victim}");
    }
    restored_by_hand(&fleet, &listed(&fleet)[0]);
}

/// Rows are being read: the kill hits the middle.
fn wait_for_rows(fleet: &Fleet) {
    let sql =
        "select count(*) from pg_stat_activity where query ilike 'copy %' and state = 'active'";
    eventually(Duration::from_secs(60), "rows on their way", || match psql(
        fleet.host("web-1"),
        "shop-db",
        "postgres",
        sql,
    )
    .as_str()
    {
        "0" => Err("none"),
        _ => Ok(()),
    });
}

/// With nothing but the exported key, the repository, restic and psql.
fn restored_by_hand(fleet: &Fleet, backup: &Value) {
    let key = fleet.dir().join("recovery.json");
    fleet
        .ctl
        .ok(&["repository", "key", "export", key.to_str().expect("UTF-8")]);
    let key: Value = serde_json::from_slice(&fs::read(&key).expect("the key")).expect("JSON");
    let password = key["recovery_password"].as_str().expect("a password");
    let repository = key["repositories"][0]["location"]
        .as_str()
        .expect("a place");
    restic(repository, password, &["check"]);
    let out = fleet.dir().join("by-hand");
    let snapshot = backup["snapshot"].as_str().expect("a snapshot");
    let target = out.to_str().expect("UTF-8");
    restic(
        repository,
        password,
        &["restore", snapshot, "--target", target],
    );
    let script = find(&out, "restore.sh").expect("the script");
    let two = fleet.host("web-2");
    let files = format!("{}/.", script.parent().expect("a directory").display());
    two.docker(&["exec", "shop-db", "mkdir", "/tmp/backup"]);
    two.docker(&["cp", &files, "shop-db:/tmp/backup"]);
    psql(
        two,
        "shop-db",
        "postgres",
        "create database by_hand template template0",
    );
    two.docker(&[
        "exec",
        "shop-db",
        "bash",
        "/tmp/backup/restore.sh",
        "-U",
        "postgres",
        "-d",
        "by_hand",
    ]);
    assert_eq!(
        content(two, "by_hand"),
        content(fleet.host("web-1"), "shop")
    );
}

fn restic(repository: &str, password: &str, arguments: &[&str]) {
    let mut command = Command::new("/usr/bin/restic");
    command
        .args(["--no-cache", "-r", repository])
        .args(arguments);
    command.env("RESTIC_PASSWORD", password);
    succeed(command);
}

fn find(under: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(under).ok()?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find_map(|path| {
        if path.is_dir() {
            find(&path, name)
        } else {
            path.ends_with(name).then_some(path)
        }
    })
}

const COMPOSE: [&str; 4] = [
    "--label",
    "com.docker.compose.project=shop",
    "--label",
    "com.docker.compose.service=db",
];

#[test]
fn before_a_deployment_all_is_backed_up_and_afterwards_a_swapped_volume_and_lost_users_are_told() {
    let fleet = Fleet::start(1);
    let one = fleet.host("web-1");
    run_postgres(one, "shop-db", Version::V15, &COMPOSE, &[]);
    fill_users(one, 14);
    fleet.wait_instance("web-1/shop-db");
    eventually(
        Duration::from_secs(30),
        "the database in the report",
        || {
            let list = fleet.ctl.json(&["database", "list"]);
            if list.to_string().contains("\"shop\"") {
                Ok(())
            } else {
                Err(list)
            }
        },
    );
    let check = [
        "check",
        "set",
        SHOP,
        "users",
        "--count",
        "select count(*) from users",
    ];
    fleet
        .ctl
        .ok(&[&check[..], &["--min", "10", "--every", "1h"]].concat());

    let before = fleet
        .ctl
        .json(&["backup", "before-deploy", "--project", "shop"]);
    let volumes = &before["deployment"]["volumes"];
    assert_eq!(volumes[0]["name"], "shop-db-data", "{before:#}");
    assert_eq!(before["deployment"]["counts"][0]["count"], 14, "{before:#}");
    assert_eq!(listed(&fleet).len(), 1);
    let after = ["backup", "before-deploy", "--project", "shop", "--after"];
    fleet.ctl.ok(&after);

    psql(one, "shop-db", "shop", "delete from users where id > 5");
    let fewer = fleet.ctl.run(&after);
    assert_eq!(fewer.code, 8, "{fewer:?}");
    assert!(
        fewer.out.contains("14 → 5: 5 is below the minimum of 10"),
        "{fewer:?}"
    );
    // With users missing nobody shall deploy.
    assert_eq!(fleet.ctl.run(&after[..4]).code, 8);

    one.docker(&["rm", "-f", "shop-db"]);
    let other = ["-v", "manual_data:/var/lib/postgresql/data"];
    run_postgres(
        one,
        "shop-db",
        Version::V15,
        &[&COMPOSE[..], &other].concat(),
        &[],
    );
    eventually(Duration::from_secs(60), "the swap told", || {
        let swapped = fleet.ctl.run(&after);
        let told = swapped
            .out
            .contains("was shop-db-data, is manual_data: another volume");
        let data = swapped.out.contains("other data");
        if swapped.code == 8 && told && data {
            Ok(())
        } else {
            Err(swapped)
        }
    });
    let unknown = fleet
        .ctl
        .run(&["backup", "before-deploy", "--project", "shpo"]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    assert!(
        unknown.err.contains("did you mean project shop?"),
        "{unknown:?}"
    );
}
