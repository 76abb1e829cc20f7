//! Drills: what is sound is proven, what is damaged is told from what could not run, and nothing is left, whoever dies.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{
    fleet::{Fleet, Plan},
    host::{Host, succeed},
    postgres::{Version, psql, start_postgres},
};
use serde_json::Value;

use crate::{
    copy::{fill_users, two_servers},
    faults::{USERS, job, wait_for_end, wait_for_step},
    restore::packs,
};

const SHOP: &str = "web-1/shop-db/shop";

/// Containers and volumes of any drill.
fn left_on(host: &Host) -> String {
    let label = ["--filter", "label=io.holdfast.sandbox"];
    let containers = host.docker(&[&["ps", "-aq"], &label[..]].concat());
    let volumes = host.docker(&[&["volume", "ls", "-q"], &label[..]].concat());
    format!("{containers}{volumes}")
}

fn drill(fleet: &Fleet, backup: &str, code: i32) -> Value {
    let args = ["-o", "json", "drill", "run", backup, "--on", "web-2"];
    let said = fleet.ctl.run(&args);
    assert_eq!(said.code, code, "{said:#?}");
    serde_json::from_str(&said.out).expect("a drill")
}

fn outcomes(drilled: &Value) -> Vec<(String, String)> {
    let rungs = drilled["report"]["rungs"].as_array().expect("rungs");
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    rungs
        .iter()
        .map(|rung| (word(&rung["name"]), word(&rung["outcome"])))
        .collect()
}

fn state_of(fleet: &Fleet, backup: &str) -> String {
    let shown = fleet.ctl.json(&["backup", "list"]);
    let mut backups = shown["backups"].as_array().into_iter().flatten();
    let backup = backups.find(|line| line["id"].as_u64() == backup.parse().ok());
    let state = backup.expect("the backup")["state"].as_str();
    state.expect("a state").to_owned()
}

#[test]
fn what_is_sound_is_proven_and_what_is_damaged_is_told_from_what_could_not_run() {
    let fleet = two_servers(Version::V15, Version::V17);
    let one = fleet.host("web-1");
    fill_users(one, 5_000);
    let more = "create table orders (id int primary key, user_id int references users); \
                create index orders_user on orders (user_id); insert into orders select n, n from generate_series(1, 100) n";
    psql(one, "shop-db", "shop", more);
    let count = "select count(*) from users";
    fleet.ctl.ok(&[
        "check", "set", SHOP, "users", "--count", count, "--min", "100",
    ]);
    fleet.ctl.ok(&["backup", "create", SHOP]);

    let drilled = drill(&fleet, SHOP, 0);
    assert_eq!(drilled["report"]["verdict"], "proven", "{drilled:#}");
    let passed = |name: &str| (name.to_owned(), "passed".to_owned());
    let rungs = [
        "repository",
        "restored",
        "relations",
        "rows",
        "fingerprints",
        "structure",
        "checks",
        "time",
    ];
    assert_eq!(outcomes(&drilled), rungs.map(passed), "{drilled:#}");
    assert_eq!(
        drilled["report"]["server"]["version"],
        drilled["report"]["server"]["source_version"]
    );
    assert!(
        drilled["report"]["times"]["took_ms"].as_u64() > Some(0),
        "{drilled:#}"
    );
    for member in ["web-1", "web-2"] {
        assert_eq!(left_on(fleet.host(member)), "", "{member}");
    }
    let backup = drilled["drill"]["backup"].to_string();
    assert_eq!(state_of(&fleet, &backup), "proven");
    let instances = fleet.ctl.ok(&["instance", "list"]);
    assert!(!instances.contains("sandbox"), "{instances}");
    let findings = fleet.ctl.ok(&["finding", "list"]);
    assert!(!findings.contains("sandbox"), "{findings}");
    report_is_signed(&fleet, &drilled["drill"]["id"].to_string());

    damaged_or_away(&fleet, &backup);
}

/// With nothing of ours: what the report says, and openssl.
fn report_is_signed(fleet: &Fleet, id: &str) {
    let html = fleet.ctl.ok(&["drill", "report", id, "--format", "html"]);
    let md = fleet.ctl.ok(&["drill", "report", id]);
    for text in [&html, &md] {
        assert!(text.contains("proven") && text.contains(SHOP), "{text}");
    }
    let signed = fleet.ctl.ok(&["drill", "report", id, "--format", "json"]);
    let signed: Value = serde_json::from_str(&signed).expect("JSON");
    let folder = fleet.dir().join("report");
    fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    for (name, field) in [
        ("statement", "statement"),
        ("signature64", "signature"),
        ("authority", "certificate"),
    ] {
        fs::write(file(name), signed[field].as_str().expect("a text")).expect("a file");
    }
    let verify = format!(
        "base64 -d {} > {} && openssl x509 -in {} -pubkey -noout > {} && openssl dgst -sha256 -verify {} -signature {} {}",
        file("signature64"),
        file("signature"),
        file("authority"),
        file("key"),
        file("key"),
        file("signature"),
        file("statement")
    );
    let run = || {
        let mut shell = Command::new("sh");
        shell.args(["-ec", &verify]);
        shell
    };
    assert!(succeed(run()).contains("Verified OK"));
    let statement = fs::read_to_string(file("statement")).expect("a statement");
    let forged = statement.replacen("5100", "5101", 1);
    assert_ne!(forged, statement);
    fs::write(file("statement"), forged).expect("a file");
    assert!(
        !run().output().expect("openssl").status.success(),
        "a forged report verifies"
    );
}

/// One byte, one pack, and the whole storage; each put back afterwards.
fn damaged_or_away(fleet: &Fleet, backup: &str) {
    let store = fleet.state_dir().join("repositories/web-1");
    let all = packs(&store.join("data"));
    let largest = all
        .iter()
        .max_by_key(|pack| fs::metadata(pack).map_or(0, |data| data.len()));
    let pack = largest.expect("a pack");
    let sound = fs::read(pack).expect("a pack");
    let mut flipped = sound.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    put(pack, &flipped);
    let is_damaged = || {
        let drilled = drill(fleet, backup, 8);
        assert_eq!(drilled["report"]["verdict"], "damaged", "{drilled:#}");
        assert_eq!(drilled["report"]["broken"], "repository", "{drilled:#}");
        let tried = outcomes(&drilled)
            .into_iter()
            .filter(|(_, outcome)| outcome != "could-not-run");
        assert_eq!(tried.count(), 1, "{drilled:#}");
        assert_eq!(state_of(fleet, backup), "damaged");
    };
    is_damaged();
    fs::remove_file(pack).expect("removed");
    is_damaged();
    put(pack, &sound);
    // Whatever was damaged and is whole again can be proven.
    assert_eq!(drill(fleet, backup, 0)["report"]["verdict"], "proven");

    let away: PathBuf = store.with_extension("away");
    fs::rename(&store, &away).expect("renamed");
    let unknown = drill(fleet, backup, 10);
    fs::rename(&away, &store).expect("renamed");
    assert_eq!(unknown["report"]["verdict"], "could-not-run", "{unknown:#}");
    assert_eq!(
        state_of(fleet, backup),
        "proven",
        "nobody knows more than before"
    );
    assert_eq!(left_on(fleet.host("web-2")), "");
    let listed = fleet.ctl.json(&["drill", "list", SHOP]);
    let states: Vec<_> = listed["drills"].as_array().into_iter().flatten().collect();
    assert_eq!(states.len(), 5, "{listed:#}");
    assert_eq!(states[0]["state"], "could-not-run", "{listed:#}");
    // An image that is not on the host is told before anything is made, with what to do.
    let args = [
        "drill",
        "run",
        backup,
        "--on",
        "web-2",
        "--image",
        "nowhere:1",
    ];
    let said = fleet.ctl.run(&args);
    assert_eq!(said.code, 10, "{said:#?}");
    assert!(
        format!("{}{}", said.out, said.err).contains("docker pull nowhere:1"),
        "{said:#?}"
    );
}

fn put(pack: &Path, bytes: &[u8]) {
    if pack.exists() {
        fs::set_permissions(pack, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    fs::write(pack, bytes).expect("a pack");
}

#[test]
fn killed_in_the_middle_a_drill_leaves_nothing() {
    let plan = Plan {
        // A controller that was killed is missed sooner.
        controller_settings: "[jobs]\nlease = \"5s\"".to_owned(),
        ..Plan::default()
    };
    let mut fleet = Fleet::start_with(2, plan);
    start_postgres(fleet.host("web-1"), "shop-db", Version::V15);
    fleet.wait_instance("web-1/shop-db");
    fill_users(fleet.host("web-1"), USERS);
    let noise = "update users set note = (select string_agg(md5(id::text || n), '') from generate_series(1, 12) n)";
    psql(fleet.host("web-1"), "shop-db", "shop", noise);
    fleet.ctl.ok(&["backup", "create", SHOP]);
    for victim in ["controller", "web-2"] {
        let id = cut_off_in_the_middle(&fleet);
        let stands = left_on(fleet.host("web-2"));
        assert_ne!(stands, "", "it stands while it is needed");
        let expected = if victim == "controller" {
            fleet.controller.kill_9();
            fleet.host("web-2").heal();
            fleet.restart_controller();
            "succeeded"
        } else {
            // Cancelled while nobody is there to remove anything.
            fleet.member_mut(victim).agent.kill_9();
            fleet.ctl.ok(&["job", "cancel", &id, "--detach"]);
            fleet.host("web-2").heal();
            fleet.member_mut(victim).restart_agent();
            "cancelled"
        };
        let shown = wait_for_end(&fleet, &id);
        assert_eq!(shown["job"]["state"], expected, "{victim}: {shown:#}");
        assert_eq!(left_on(fleet.host("web-2")), "", "{victim}");
    }
    let listed = fleet.ctl.json(&["drill", "list"]);
    let drills = listed["drills"].as_array().expect("drills");
    assert!(
        drills.iter().all(|drill| drill["state"] != "running"),
        "{listed:#}"
    );
}

/// Starts a drill on the other host, and cuts that host off while it restores.
fn cut_off_in_the_middle(fleet: &Fleet) -> String {
    let args = ["drill", "run", SHOP, "--on", "web-2", "--detach"];
    let started = fleet.ctl.json(&args);
    let id = started["job"]["id"].to_string();
    wait_for_step(fleet, &id, "restore");
    fleet.host("web-2").cut();
    let shown = job(fleet, &id).expect("a job");
    let events = shown["events"].as_array().cloned().unwrap_or_default();
    let over = |event: &Value| event["kind"] == "step-done" && event["step"] == "restore";
    assert!(
        !events.iter().any(over),
        "it was over before the cut: {shown:#}"
    );
    id
}
