//! Volumes under a policy: counted while nobody sees to them, backed up and drilled by themselves, their containers
//! running again, damage told from what is sound, and nothing left behind, whoever dies.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use e2e::{eventually::eventually, fleet::Fleet, host::Host};
use serde_json::Value;

use crate::{
    faults::{wait_for_end, wait_for_step},
    restore::packs,
    volume::{VOLUME, back_up, both_run, shop, write},
};

/// Once a minute, without a moment of its own.
const OFTEN: &str = "{schedule: '* * * * *', jitter: 0s";

/// Applies a policy for the volume of the shop, and says what `ctl apply` said.
fn apply(fleet: &Fleet, plan: &str) -> String {
    let text = format!("policies: [{{name: files, select: {{volume: 'shop_*'}}, {plan}}}]\n");
    let path = fleet.dir().join("fleet.yaml");
    fs::write(&path, text).expect("a file");
    let file = path.to_str().expect("UTF-8");
    fleet.ctl.ok(&["apply", "-f", file, "--yes"])
}

fn listed(fleet: &Fleet) -> Value {
    let volumes = fleet.ctl.json(&["volume", "list", "web-1"]);
    let mut volumes = volumes["volumes"].as_array().cloned().unwrap_or_default();
    volumes.retain(|volume| volume["name"] == "shop_uploads");
    volumes.pop().expect("the volume")
}

fn without_policy(fleet: &Fleet) -> u64 {
    let status = fleet.ctl.json(&["status"]);
    let count = &status["summary"]["volumes_without_policy"];
    count.as_u64().expect("a number")
}

/// Jobs that a schedule asked for and that ended well, by kind.
fn by_schedule(fleet: &Fleet, kind: &str) -> Vec<Value> {
    let jobs = fleet.ctl.json(&["job", "list"]);
    let jobs = jobs["jobs"].as_array().cloned().unwrap_or_default();
    let ours = jobs.into_iter().filter(|job| {
        let by = job["requested_by"].as_str().unwrap_or_default();
        job["kind"] == kind && by.starts_with("schedule/") && job["state"] == "succeeded"
    });
    ours.collect()
}

fn drill_volumes(host: &Host) -> String {
    host.docker(&["volume", "ls", "-q", "--filter", "name=holdfast-drill"])
}

#[test]
fn a_volume_is_backed_up_and_drilled_by_itself_and_its_containers_run_again() {
    let fleet = shop();
    let one = fleet.host("web-1");
    write(one, "head -c 3000000 /dev/urandom > big");
    assert_eq!(listed(&fleet)["protected_by"], "nobody");
    assert_eq!(without_policy(&fleet), 1);
    // What has been backed up by hand is due at the next moment of its schedule.
    back_up(&fleet);

    let plan =
        format!("backup: {OFTEN}, stop: true}}, drill: {OFTEN}}}, rpo: 1h, retention: {{last: 1}}");
    apply(&fleet, &plan);
    assert_eq!(without_policy(&fleet), 0);
    let shown = listed(&fleet);
    assert_eq!(
        (&shown["protected_by"], &shown["policy"]),
        (&"policy".into(), &"files".into())
    );
    let exported = fleet.ctl.json(&["export"])["text"].clone();
    let path = fleet.dir().join("exported.yaml");
    fs::write(&path, exported.as_str().expect("a text")).expect("a file");
    let again = fleet
        .ctl
        .ok(&["apply", "-f", path.to_str().expect("UTF-8")]);
    assert!(again.contains("nothing changes"), "{again}");
    let coverage = fleet.ctl.ok(&["policy", "show", VOLUME]);
    assert!(coverage.contains("covered by policy files"), "{coverage}");

    eventually(Duration::from_secs(150), "a backup by schedule", || {
        let made = by_schedule(&fleet, "back-up-volume");
        let running = both_run(one);
        if made.is_empty() || !running {
            Err(format!("{made:?}, containers run: {running}"))
        } else {
            Ok(())
        }
    });
    let proven = fleet.ctl.json(&["drill", "run", VOLUME]);
    assert_eq!(proven["report"]["verdict"], "proven", "{proven:#}");
    eventually(
        Duration::from_secs(150),
        "a drill by schedule",
        || match by_schedule(&fleet, "drill-volume").is_empty() {
            true => Err(fleet.ctl.ok(&["job", "list"])),
            false => Ok(()),
        },
    );
    let preview = fleet.ctl.json(&["retention", "preview", VOLUME]);
    assert!(preview["going"].as_u64() > Some(0), "{preview:#}");
    let objectives = fleet.ctl.json(&["objectives", VOLUME]);
    let of = |scenario: &str| {
        let mut all = objectives["objectives"].as_array().into_iter().flatten();
        all.find(|one| one["scenario"] == scenario)
            .cloned()
            .expect("it")
    };
    assert_eq!(of("rpo")["verdict"], "holds", "{objectives:#}");
    assert!(
        of("drill")["measured_seconds"].as_f64().is_some(),
        "{objectives:#}"
    );

    // Nothing more by itself.
    apply(&fleet, "backup: yearly, drill: none");
    eventually(Duration::from_secs(60), "quiet", || {
        let active = fleet.ctl.json(&["job", "list", "--active"]);
        match active["jobs"].as_array() {
            Some(jobs) if jobs.is_empty() && both_run(one) => Ok(()),
            _ => Err(format!("{active:#}")),
        }
    });
    damaged(&fleet);
    assert_eq!(drill_volumes(one), "");
}

fn drill(fleet: &Fleet, code: i32) -> Value {
    let said = fleet.ctl.run(&["-o", "json", "drill", "run", VOLUME]);
    assert_eq!(said.code, code, "{said:#?}");
    serde_json::from_str(&said.out).expect("a drill")
}

/// One byte of the files; put back afterwards.
fn damaged(fleet: &Fleet) {
    let sound = drill(fleet, 0);
    let passed: Vec<_> = sound["report"]["rungs"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let names: Vec<_> = passed.iter().map(|rung| rung["name"].as_str()).collect();
    let expected = ["repository", "restored", "files", "time"].map(Some);
    assert_eq!(names, expected, "{sound:#}");
    let id = sound["drill"]["id"].to_string();
    let report = fleet.ctl.ok(&["drill", "report", &id]);
    assert!(
        report.contains("| volume | web-1/shop_uploads |"),
        "{report}"
    );
    let backup = sound["drill"]["backup"].to_string();

    let store = fleet.state_dir().join("repositories/web-1/data");
    let all = packs(&store);
    let largest = all
        .iter()
        .max_by_key(|pack| fs::metadata(pack).map_or(0, |data| data.len()));
    let pack = largest.expect("a pack");
    let whole = fs::read(pack).expect("a pack");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    put(pack, &flipped);
    let found = fleet.ctl.run(&["-o", "json", "drill", "run", &backup]);
    put(pack, &whole);
    assert_eq!(found.code, 8, "{found:#?}");
    let found: Value = serde_json::from_str(&found.out).expect("a drill");
    assert_eq!(
        (&found["report"]["verdict"], &found["report"]["broken"]),
        (&"damaged".into(), &"repository".into()),
        "{found:#}"
    );
    let findings = fleet.ctl.json(&["backup", "show", &backup]);
    assert_eq!(findings["backup"]["state"], "damaged", "{findings:#}");
}

fn put(pack: &Path, bytes: &[u8]) {
    fs::set_permissions(pack, fs::Permissions::from_mode(0o600)).expect("a mode");
    fs::write(pack, bytes).expect("a pack");
}

#[test]
fn killed_in_the_middle_a_drill_of_a_volume_leaves_nothing() {
    let mut fleet = shop();
    write(fleet.host("web-1"), "head -c 12000000 /dev/urandom > big");
    back_up(&fleet);
    for agent in [true, false] {
        fleet.host("web-1").slow("8mbit");
        let started = fleet.ctl.json(&["drill", "run", VOLUME, "--detach"]);
        let id = started["job"]["id"].to_string();
        wait_for_step(&fleet, &id, "restore");
        if agent {
            fleet.member_mut("web-1").agent.kill_9();
            // Nobody is there to remove anything.
            fleet.ctl.ok(&["job", "cancel", &id, "--detach"]);
            fleet.member_mut("web-1").restart_agent();
        } else {
            fleet.controller.kill_9();
            fleet.restart_controller();
        }
        fleet.host("web-1").heal();
        let ended = wait_for_end(&fleet, &id);
        let expected = if agent { "cancelled" } else { "succeeded" };
        assert_eq!(ended["job"]["state"], expected, "{ended:#}");
        assert_eq!(drill_volumes(fleet.host("web-1")), "");
    }
    let drills = fleet.ctl.json(&["drill", "list", VOLUME]);
    let states: Vec<_> = drills["drills"].as_array().into_iter().flatten().collect();
    let states: Vec<_> = states.iter().map(|drill| drill["state"].as_str()).collect();
    assert_eq!(
        states,
        [Some("proven"), Some("could-not-run")],
        "{drills:#}"
    );
}
