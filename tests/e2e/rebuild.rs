//! A whole host comes back on another one while it is down itself, and what its repository has lost is told by backup.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use e2e::{
    eventually::eventually,
    fleet::Fleet,
    host::Host,
    mariadb::{self, start_mariadb},
    postgres::{Version, psql, start_postgres},
};
use serde_json::Value;

use crate::{faults::wait_for_end, restore::packs};

/// Containers and volumes of any drill.
fn left_on(host: &Host) -> String {
    let label = ["--filter", "label=io.holdfast.sandbox"];
    let containers = host.docker(&[&["ps", "-aq"], &label[..]].concat());
    let volumes = host.docker(&[&["volume", "ls", "-q"], &label[..]].concat());
    format!("{containers}{volumes}")
}

/// Two databases and a role in one server, a MariaDB, a volume; everything with a backup.
fn shop() -> Fleet {
    let fleet = Fleet::start(2);
    let one = fleet.host("web-1");
    start_postgres(one, "shop-db", Version::V17);
    start_mariadb(one, "wiki-db", mariadb::Version::V11);
    fleet.wait_instance("web-1/shop-db");
    fleet.wait_instance("web-1/wiki-db");
    psql(one, "shop-db", "postgres", "create role app login");
    for (database, rows) in [("shop", 5_000), ("crm", 300)] {
        psql(
            one,
            "shop-db",
            "postgres",
            &format!("create database {database} owner app"),
        );
        let fill = format!(
            "create table users (id int primary key, name text not null); alter table users owner to app; \
             insert into users select n, md5(n::text || '{database}') from generate_series(1, {rows}) n"
        );
        psql(one, "shop-db", database, &fill);
    }
    let wiki = "create database wiki; create table wiki.pages (id int primary key, body longtext); \
                insert into wiki.pages select seq, repeat(md5(seq), 40) from seq_1_to_300";
    mariadb::sql(one, "wiki-db", "mysql", wiki);
    one.docker(&["volume", "create", "uploads"]);
    let script =
        "mkdir -p /data/a && head -c 300000 /dev/urandom > /data/a/file && ln -s a /data/link";
    let image = Version::V17.image();
    one.docker(&[
        "run",
        "--rm",
        "-v",
        "uploads:/data",
        "--entrypoint",
        "sh",
        image,
        "-ec",
        script,
    ]);
    eventually(Duration::from_secs(60), "everything in the reports", || {
        let volumes = fleet.ctl.run(&["volume", "list", "web-1"]).out;
        let databases = fleet.ctl.run(&["database", "list"]).out;
        let all = ["/shop", "/crm", "/wiki"]
            .iter()
            .all(|name| databases.contains(name));
        if volumes.contains("uploads") && all {
            Ok(())
        } else {
            Err(format!("{volumes}{databases}"))
        }
    });
    fleet
        .ctl
        .ok(&["backup", "create", "--all", "--host", "web-1"]);
    fleet
        .ctl
        .ok(&["backup", "create", "--volume", "web-1/uploads"]);
    fleet
}

fn drill(fleet: &Fleet, args: &[&str], code: i32) -> Value {
    let said = fleet
        .ctl
        .run(&[&["-o", "json", "drill", "run", "web-1"], args].concat());
    assert_eq!(said.code, code, "{said:#?}");
    serde_json::from_str(&said.out).expect("a drill")
}

fn outcomes(drilled: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let rungs = drilled["report"]["rungs"].as_array().expect("rungs");
    rungs
        .iter()
        .map(|rung| (word(&rung["name"]), word(&rung["outcome"])))
        .collect()
}

/// By number of the backup: of what it is, and how it came out.
fn parts(drilled: &Value) -> BTreeMap<u64, (String, String)> {
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let parts = drilled["report"]["parts"].as_array().expect("parts");
    parts
        .iter()
        .map(|part| {
            let id = part["backup"].as_u64().expect("a number");
            (id, (word(&part["subject"]), word(&part["outcome"])))
        })
        .collect()
}

fn states(fleet: &Fleet) -> BTreeMap<u64, String> {
    let shown = fleet.ctl.json(&["backup", "list"]);
    let backups = shown["backups"].as_array().expect("backups");
    backups
        .iter()
        .map(|one| {
            let state = one["state"].as_str().expect("a state");
            (one["id"].as_u64().expect("a number"), state.to_owned())
        })
        .collect()
}

/// In the next minute, and not again before tomorrow.
fn by_schedule(fleet: &Fleet) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    // The next full minute that is not upon us already.
    let minutes = (now.expect("a clock").as_secs() + 65) / 60;
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    let text = format!(
        "default: {{protect: false, reason: the test makes its own backups}}\n\
         hosts:\n  time_zone: UTC\n  offsite: none\n  \
         rebuild: {{schedule: \"{minute} {hour} * * *\", jitter: 0, on: web-2}}\n"
    );
    let file = fleet.dir().join("rebuilds.yaml");
    fs::write(&file, text).expect("a policy file");
    let file = file.to_str().expect("UTF-8");
    fleet.ctl.ok(&["apply", "-f", file, "--yes"]);
    let plan = fleet.ctl.json(&["policy", "show", "web-1"]);
    assert_eq!(plan["rebuilt_on"], "web-2", "{plan:#}");
    assert_eq!(plan["work"][0]["work"], "rebuild", "{plan:#}");
    assert_eq!(plan["work"][0]["state"], "next", "{plan:#}");
    let list = ["drill", "list", "web-1", "--kind", "rebuild"];
    let id = eventually(Duration::from_secs(180), "the scheduled rebuild", || {
        let drills = fleet.ctl.json(&list);
        let drill = &drills["drills"][0];
        let ended = !drill["ended_at"].is_null();
        ended
            .then(|| drill["id"].to_string())
            .ok_or(drills.to_string())
    });
    let shown = fleet.ctl.json(&["drill", "show", &id]);
    // What it made goes after the verdict.
    wait_for_end(fleet, &shown["drill"]["job"].to_string());
    let after = fleet.ctl.json(&["policy", "show", "web-1"]);
    assert!(after["work"][0]["last_job"].is_number(), "{after:#}");
    shown
}

#[test]
fn a_host_that_is_down_comes_back_on_another_and_its_repository_is_read_whole() {
    let mut fleet = shop();
    fleet.member_mut("web-1").agent.kill_9();
    fleet.host("web-1").power_cut();

    let rebuilt = by_schedule(&fleet);
    let report = &rebuilt["report"];
    assert_eq!(report["verdict"], "proven", "{rebuilt:#}");
    let passed = |name: &str| (name.to_owned(), "passed".to_owned());
    let rungs = ["covered", "databases", "volumes", "time"];
    assert_eq!(outcomes(&rebuilt), rungs.map(passed), "{rebuilt:#}");
    let back = parts(&rebuilt);
    let subjects: Vec<_> = back.values().map(|part| part.0.as_str()).collect();
    for subject in [
        "web-1/shop-db/crm",
        "web-1/shop-db/shop",
        "web-1/uploads",
        "web-1/wiki-db/wiki",
    ] {
        assert!(subjects.contains(&subject), "{subjects:?}");
    }
    assert!(report["times"]["took_ms"].as_u64() > Some(0), "{rebuilt:#}");
    assert_eq!(left_on(fleet.host("web-2")), "");
    let known = states(&fleet);
    assert!(back.keys().all(|id| known[id] == "proven"), "{known:?}");
    holds_its_target(&fleet);
    let id = rebuilt["drill"]["id"].to_string();
    let md = fleet.ctl.ok(&["drill", "report", &id]);
    assert!(
        md.contains("# Rebuild drill") && md.contains("web-1/uploads"),
        "{md}"
    );

    offsite(&fleet);
}

/// Nothing is started by it: the host is down.
fn holds_its_target(fleet: &Fleet) {
    let file = fleet.dir().join("targets.yaml");
    fs::write(&file, "default: {drill: none, rto: {rebuild: 60m}}\n").expect("a policy file");
    let file = file.to_str().expect("UTF-8");
    fleet.ctl.ok(&["apply", "-f", file, "--yes"]);
    let objectives = fleet.ctl.json(&["objectives", "web-1/shop-db/shop"]);
    let mut all = objectives["objectives"].as_array().expect("a list").iter();
    let own = all.find(|one| one["scenario"] == "rebuild");
    assert_eq!(
        own.expect("a rebuild")["verdict"],
        "holds",
        "{objectives:#}"
    );
}

/// Sound, then one byte, one pack, and the whole storage; each put back afterwards.
fn offsite(fleet: &Fleet) {
    let sound = drill(fleet, &["--kind", "offsite"], 0);
    assert_eq!(sound["report"]["verdict"], "proven", "{sound:#}");
    assert_eq!(sound["report"]["host"], Value::Null);
    let store = fleet.state_dir().join("repositories/web-1");
    let largest = |data: &Path| -> PathBuf {
        let all = packs(data).into_iter();
        let size = |pack: &PathBuf| fs::metadata(pack).map_or(0, |data| data.len());
        all.max_by_key(size).expect("a pack")
    };
    let pack = largest(&store.join("data"));
    let content = fs::read(&pack).expect("a pack");
    let mut flipped = content.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    put(&pack, &flipped);
    let hit = damaged(fleet, "repository");
    fs::remove_file(&pack).expect("removed");
    assert_eq!(damaged(fleet, "snapshots"), hit);
    put(&pack, &content);
    // What is whole again reads well; a drill has to prove what was called damaged.
    assert_eq!(
        drill(fleet, &["--kind", "offsite"], 0)["report"]["verdict"],
        "proven"
    );

    let away = store.with_extension("away");
    fs::rename(&store, &away).expect("renamed");
    let before = states(fleet);
    let unknown = drill(fleet, &["--kind", "offsite"], 10);
    fs::rename(&away, &store).expect("renamed");
    assert_eq!(unknown["report"]["verdict"], "could-not-run", "{unknown:#}");
    assert_eq!(states(fleet), before, "nobody knows more than before");
    let listed = fleet
        .ctl
        .json(&["drill", "list", "web-1", "--kind", "offsite"]);
    let drills = listed["drills"].as_array().expect("drills");
    assert_eq!(drills.len(), 5, "{listed:#}");
    assert_eq!(drills[0]["state"], "could-not-run", "{listed:#}");
}

/// The backups that are hit: not all of them, and the catalog knows just these as damaged.
fn damaged(fleet: &Fleet, rung: &str) -> Vec<u64> {
    let drilled = drill(fleet, &["--kind", "offsite"], 8);
    assert_eq!(drilled["report"]["verdict"], "damaged", "{drilled:#}");
    assert_eq!(drilled["report"]["broken"], rung, "{drilled:#}");
    let parts = parts(&drilled);
    let failed = parts.iter().filter(|(_, (_, outcome))| outcome == "failed");
    let hit: Vec<u64> = failed.map(|(id, _)| *id).collect();
    assert!(!hit.is_empty() && hit.len() < parts.len(), "{drilled:#}");
    let known = states(fleet);
    let known = known.iter().filter(|(_, state)| *state == "damaged");
    assert_eq!(known.map(|(id, _)| *id).collect::<Vec<_>>(), hit);
    hit
}

fn put(pack: &Path, bytes: &[u8]) {
    if pack.exists() {
        fs::set_permissions(pack, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    fs::write(pack, bytes).expect("a pack");
}
