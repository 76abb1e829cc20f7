//! Backups that come back: what was lost, on which host, what a kill leaves, and what damage does.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e::{
    eventually::eventually,
    fleet::{Fleet, Plan},
    host::Host,
    postgres::{Version, psql, start_postgres},
};
use serde_json::Value;

use crate::{
    copy::{fill_users, two_servers},
    faults::{USERS, assert_whole_or_nothing, job, wait_for_end, wait_for_step},
};

const SHOP: &str = "web-1/shop-db/shop";
const LATEST: &str = "web-1/shop-db/shop@latest";

fn back_up(fleet: &Fleet) {
    fleet.ctl.ok(&["backup", "create", SHOP]);
}

fn databases(host: &Host) -> String {
    psql(
        host,
        "shop-db",
        "postgres",
        "select string_agg(datname, ' ' order by datname) from pg_database where datname not like 'template%'",
    )
}

/// Every row, in one line.
fn rows(host: &Host, database: &str) -> String {
    let sql = "select count(*), md5(string_agg(md5(users::text), '' order by id)) from users";
    psql(host, "shop-db", database, sql)
}

#[test]
fn what_was_lost_comes_back_with_its_proof_and_goes_back_by_one_command() {
    let fleet = two_servers(Version::V15, Version::V17);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    fill_users(one, 5_000);
    let check = [
        "check",
        "set",
        SHOP,
        "users",
        "--count",
        "select count(*) from users",
        "--min",
        "100",
    ];
    fleet.ctl.ok(&check);
    back_up(&fleet);
    let before = rows(one, "shop");
    // Somebody deletes too much, and somebody else goes on working.
    psql(
        one,
        "shop-db",
        "shop",
        "delete from users where id > 10; insert into users values (9999, 'new@example.org', null, now())",
    );
    let after = rows(one, "shop");

    // Nothing is touched without being named.
    let taken = fleet.ctl.run(&["restore", LATEST]);
    assert_eq!(taken.code, 6, "{taken:#?}");
    assert!(
        taken.err.contains("web-1/shop-db/shop exists"),
        "{taken:#?}"
    );
    let dry = fleet
        .ctl
        .run(&["restore", LATEST, "--replace", "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:#?}");
    assert!(dry.out.contains("✓ repository holds it"), "{dry:#?}");
    assert_eq!(rows(one, "shop"), after);

    let restored = fleet.ctl.json(&["restore", LATEST, "--replace", "--yes"]);
    assert_eq!(restored["green"], true, "{restored:#}");
    assert_eq!(restored["path"], "repository", "{restored:#}");
    assert_eq!(restored["rows"], 5_000, "{restored:#}");
    let held = &restored["proof"]["checks"][0];
    assert_eq!(
        (&held["name"], &held["outcome"]["count"]),
        (&"users".into(), &5_000.into())
    );
    assert_eq!(rows(one, "shop"), before);
    let id = restored["job"]["id"].to_string();
    assert_eq!(databases(one), format!("postgres shop shop__before_{id}"));
    assert_eq!(rows(one, &format!("shop__before_{id}")), after);

    let checklist = restored["checklist"].as_array().expect("a list");
    let answer = |question: &str| {
        let mut lines = checklist.iter();
        let line = lines.find(|line| line["question"] == question);
        line.expect("the question")["verdict"].clone()
    };
    assert_eq!(answer("database is there"), "passed", "{restored:#}");
    assert_eq!(answer("applications are connected"), "warning");
    fleet.ctl.ok(&["job", "undo", &id]);
    assert_eq!(rows(one, "shop"), after);
    assert_eq!(databases(one), format!("postgres shop shop__undone_{id}"));

    what_uses_it_stands_still(&fleet);

    // Some tables come back beside the live database, and never in its place.
    let some = fleet.ctl.json(&["restore", LATEST, "--table", "us*"]);
    assert_eq!(some["green"], true, "{some:#}");
    let beside = format!("shop__tables_{}", some["backup"]);
    assert_eq!(some["target"], format!("web-1/shop-db/{beside}"));
    assert_eq!(
        (rows(one, &beside), rows(one, "shop")),
        (before.clone(), after)
    );
    let none = fleet.ctl.run(&["restore", LATEST, "--table", "gone"]);
    assert_eq!(none.code, 6, "{none:#?}");

    // The database is gone, then its server too: another host takes it, of a newer version.
    psql(one, "shop-db", "postgres", "drop database shop");
    let again = fleet.ctl.json(&["restore", LATEST]);
    assert_eq!(again["green"], true, "{again:#}");
    assert_eq!(rows(one, "shop"), before);
    one.docker(&["rm", "-f", "shop-db"]);
    let there = fleet
        .ctl
        .json(&["restore", LATEST, "--to", "web-2/shop-db/shop_saved"]);
    assert_eq!(there["green"], true, "{there:#}");
    assert_eq!(rows(two, "shop_saved"), before);
    let audit = fleet.ctl.ok(&["audit", "list"]);
    assert!(audit.contains("job.restore"), "{audit}");

    recoveries_are_held_against_their_target(&fleet);
    damaged_is_never_published(&fleet);
}

/// Stopped for the exchange and started again, there and back; and what is replaced is backed up first.
fn what_uses_it_stands_still(fleet: &Fleet) {
    let one = fleet.host("web-1");
    apply(
        fleet,
        "{name: shop, select: {name: shop}, backup: {schedule: monthly}, hooks: {stop: [web, gone]}}",
    );
    let idle = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";
    let image = Version::V15.image();
    let run = [
        "run",
        "-d",
        "--name",
        "web",
        "--entrypoint",
        "sh",
        image,
        "-c",
        idle,
    ];
    one.docker(&run);
    eventually(Duration::from_secs(30), "the container is listed", || {
        let list = fleet.ctl.ok(&["container", "list"]);
        if list.contains(" web ") {
            Ok(())
        } else {
            Err(list)
        }
    });
    let started = || {
        one.docker(&[
            "inspect",
            "-f",
            "{{.State.Running}} {{.State.StartedAt}}",
            "web",
        ])
    };
    let at_first = started();
    let stood = rows(one, "shop");
    let dry = ["restore", LATEST, "--replace", "--dry-run"];
    let dry = fleet.ctl.run(&dry);
    assert!(
        dry.out.contains("gone is no container of web-1"),
        "{dry:#?}"
    );
    assert_eq!(started(), at_first);
    let restored = fleet.ctl.json(&["restore", LATEST, "--replace", "--yes"]);
    let id = restored["job"]["id"].to_string();
    let steps = fleet.ctl.ok(&["job", "show", &id]);
    assert!(
        steps.contains("stopped web") && steps.contains("started web"),
        "{steps}"
    );
    let after = started();
    assert!(after.starts_with("true ") && after != at_first, "{after}");
    fleet.ctl.ok(&["job", "undo", &id]);
    let back = started();
    assert!(back.starts_with("true ") && back != after, "{back}");
    assert_eq!(rows(one, "shop"), stood);

    let backups = fleet.ctl.json(&["backup", "list", SHOP]);
    let all = backups["backups"].as_array().expect("a list");
    let kinds: Vec<_> = all.iter().map(|backup| &backup["kind"]).collect();
    assert_eq!(
        kinds,
        ["before-replace", "before-replace", "full"],
        "{backups:#}"
    );
    // What was replaced last comes back by its number alone.
    let saved = all[0]["id"].to_string();
    let aside = ["restore", &saved, "--to", "web-1/shop-db/shop_saved"];
    fleet.ctl.ok(&aside);
    assert_eq!(rows(one, "shop_saved"), stood);
    psql(one, "shop-db", "postgres", "drop database shop_saved");
    let bare = [
        "restore",
        LATEST,
        "--replace",
        "--yes",
        "--no-hooks",
        "--no-safety-backup",
    ];
    let bare = fleet.ctl.json(&bare);
    assert_eq!(bare["green"], true, "{bare:#}");
    assert_eq!(started(), back, "nobody was stopped");
    fleet
        .ctl
        .ok(&["job", "undo", &bare["job"]["id"].to_string()]);
    one.docker(&["rm", "-f", "web"]);
}

/// One policy; for everything else the test makes its own backups.
fn apply(fleet: &Fleet, policy: &str) {
    let file = fleet.dir().join("fleet.yaml");
    let none = "default: {protect: false, reason: the test makes its own backups}";
    fs::write(&file, format!("{none}\npolicies: [{policy}]\n")).expect("a policy file");
    let file = file.to_str().expect("UTF-8");
    fleet.ctl.ok(&["apply", "-f", file, "--yes"]);
}

/// Of all of them the whole ones: a dry run and some tables are none.
fn recoveries_are_held_against_their_target(fleet: &Fleet) {
    apply(
        fleet,
        "{name: shop, select: {name: shop}, backup: {schedule: monthly}, rto: {restore: 30m}}",
    );
    let objectives = fleet.ctl.json(&["objectives", SHOP]);
    let mut all = objectives["objectives"].as_array().expect("a list").iter();
    let recovery = all.find(|objective| objective["scenario"] == "restore");
    let recovery = recovery.expect("restores are measured");
    assert_eq!(recovery["verdict"], "holds", "{objectives:#}");
    let trend = recovery["trend_seconds"].as_array().map(Vec::len);
    assert_eq!(trend, Some(6), "{objectives:#}");
}

/// Every pack of the repository has another byte in its middle.
fn damaged_is_never_published(fleet: &Fleet) {
    let two = fleet.host("web-2");
    let before = databases(two);
    for pack in packs(&fleet.state_dir().join("repositories/web-1/data")) {
        let mut bytes = fs::read(&pack).expect("a pack");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        // Written once and never again, as its mode says.
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).expect("a mode");
        fs::write(&pack, bytes).expect("a pack");
    }
    let said = fleet.ctl.run(&[
        "-o",
        "json",
        "restore",
        LATEST,
        "--to",
        "web-2/shop-db/shop_damaged",
    ]);
    assert_eq!(said.code, 7, "{said:#?}");
    let result: Value = serde_json::from_str(&said.out).expect("a result");
    assert_eq!(result["job"]["state"], "failed", "{result:#}");
    let told = format!("{} {}", result["job"]["reason"], result["job"]["advice"]);
    assert!(told.contains("backup"), "{told}");
    assert!(told.contains("ctl repository check"), "{told}");
    assert_eq!(
        databases(two),
        before,
        "nothing was published, nothing is left"
    );
}

pub fn packs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    let paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(!paths.is_empty(), "{}", folder.display());
    let (folders, mut files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    for folder in folders {
        if fs::read_dir(&folder).expect("a folder").next().is_some() {
            files.extend(packs(&folder));
        }
    }
    files
}

/// Starts a restore on the other host, and cuts that host off in the middle of the transfer.
fn cut_off_in_the_middle(fleet: &Fleet, target: &str) -> String {
    let to = format!("web-2/shop-db/{target}");
    let started = fleet
        .ctl
        .json(&["restore", LATEST, "--to", &to, "--detach"]);
    let id = started["job"]["id"].to_string();
    wait_for_step(fleet, &id, "transfer");
    fleet.host("web-2").cut();
    let shown = job(fleet, &id).expect("a job");
    let events = shown["events"].as_array().cloned().unwrap_or_default();
    let done = events
        .iter()
        .any(|event| event["kind"] == "step-done" && event["step"] == "transfer");
    assert!(!done, "it was over before the cut: {shown:#}");
    id
}

#[test]
fn killed_in_the_middle_a_restore_ends_as_if_nothing_had_been() {
    let plan = Plan {
        // A controller that was killed is missed sooner.
        controller_settings: "[jobs]\nlease = \"5s\"".to_owned(),
        ..Plan::default()
    };
    let mut fleet = Fleet::start_with(2, plan);
    for member in ["web-1", "web-2"] {
        start_postgres(fleet.host(member), "shop-db", Version::V15);
        fleet.wait_instance(&format!("{member}/shop-db"));
    }
    fill_users(fleet.host("web-1"), USERS);
    let noise = "update users set note = (select string_agg(md5(id::text || n), '') from generate_series(1, 12) n)";
    psql(fleet.host("web-1"), "shop-db", "shop", noise);
    back_up(&fleet);
    for victim in ["controller", "web-2"] {
        let target = format!("saved_{}", victim.replace('-', "_"));
        let id = cut_off_in_the_middle(&fleet, &target);
        if victim == "controller" {
            fleet.controller.kill_9();
            fleet.host("web-2").heal();
            fleet.restart_controller();
        } else {
            fleet.member_mut(victim).agent.kill_9();
            fleet.host("web-2").heal();
            fleet.member_mut(victim).restart_agent();
        }
        let shown = wait_for_end(&fleet, &id);
        assert_eq!(shown["job"]["state"], "succeeded", "{victim}: {shown:#}");
        assert_whole_or_nothing(&fleet, &id, &target);
        assert_eq!(
            rows(fleet.host("web-1"), "shop"),
            rows(fleet.host("web-2"), &target)
        );
    }
}
