//! Volumes as an operator backs them up and brings them back: live ones refused, containers stopped and started
//! again whoever dies, exchanged and given back, and read by Debian's own restic.

use std::{fs, process::Command, time::Duration};

use e2e::{
    eventually::eventually,
    fleet::Fleet,
    host::{Host, succeed},
    postgres::Version,
};
use serde_json::Value;

use crate::faults::{wait_for_end, wait_for_step};

pub const VOLUME: &str = "web-1/shop_uploads";
const LATEST: &str = "web-1/shop_uploads@latest";
/// Ends at once when it is told to.
const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

/// A host with a volume, a container that writes to it, and one that only reads it.
pub fn shop() -> Fleet {
    let fleet = Fleet::start(1);
    let one = fleet.host("web-1");
    one.docker(&[
        "volume",
        "create",
        "--label",
        "com.example.shop=1",
        "shop_uploads",
    ]);
    for (name, mount) in [
        ("shop-web", "shop_uploads:/data"),
        ("shop-cdn", "shop_uploads:/data:ro"),
    ] {
        let image = Version::V15.image();
        one.docker(&[
            "run",
            "-d",
            "--name",
            name,
            "-v",
            mount,
            "--entrypoint",
            "sh",
            image,
            "-c",
            IDLE,
        ]);
    }
    write(
        one,
        "mkdir -p a/b && echo one > a/b/file && ln a/b/file second && ln -s a/b link && chmod 750 a",
    );
    eventually(Duration::from_secs(30), "the volume in the reports", || {
        let said = fleet.ctl.run(&["volume", "list", "web-1"]);
        if said.out.contains("shop_uploads") && said.out.contains("shop-web") {
            Ok(())
        } else {
            Err(said.out)
        }
    });
    fleet
}

pub fn write(host: &Host, script: &str) {
    let script = format!("cd /data && {script}");
    host.docker(&["exec", "shop-web", "sh", "-ec", &script]);
}

/// Everything in the volume as its containers see it.
fn seen(host: &Host) -> String {
    let script = "cd /data && find . -printf '%P %M %U %G %T@ %l\\n' | sort && cat a/b/file";
    host.docker(&["exec", "shop-cdn", "sh", "-ec", script])
}

fn runs(host: &Host, container: &str) -> bool {
    host.docker(&["inspect", "-f", "{{.State.Running}}", container])
        .trim()
        == "true"
}

pub fn both_run(host: &Host) -> bool {
    runs(host, "shop-web") && runs(host, "shop-cdn")
}

pub fn back_up(fleet: &Fleet) -> Value {
    let made = fleet
        .ctl
        .json(&["backup", "create", "--volume", VOLUME, "--stop"]);
    made["backups"][0]["backup"].clone()
}

#[test]
fn a_volume_is_backed_up_and_restored_and_goes_back_by_one_command() {
    let fleet = shop();
    let one = fleet.host("web-1");
    let then = seen(one);
    // Nobody is stopped unasked, and the way to do it is told.
    let live = fleet.ctl.run(&["backup", "create", "--volume", VOLUME]);
    assert_ne!(live.code, 0, "{live:#?}");
    let right = "ctl backup create --volume web-1/shop_uploads --stop";
    assert!(format!("{live:?}").contains(right), "{live:#?}");
    assert!(both_run(one));

    let first = back_up(&fleet);
    assert_eq!(
        (&first["kind"], &first["database"]),
        (&"volume".into(), &VOLUME.into())
    );
    assert!(both_run(one));
    assert_eq!(seen(one), then);
    // What did not change costs nothing to speak of.
    let again = back_up(&fleet);
    assert!(
        again["stored_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes < 5_000),
        "{again:#}"
    );
    let shown = fleet.ctl.json(&["backup", "show", LATEST]);
    assert_eq!(shown["backup"]["id"], again["id"]);
    assert_eq!(
        (&shown["volume"]["files"], &shown["volume"]["others"]),
        (&2.into(), &1.into())
    );
    let listed = fleet.ctl.json(&["backup", "list", VOLUME]);
    assert_eq!(listed["backups"].as_array().map(Vec::len), Some(2));
    fleet.ctl.ok(&["backup", "pin", LATEST]);
    let kept = fleet
        .ctl
        .run(&["backup", "delete", &first["id"].to_string(), "--yes"]);
    assert_eq!(kept.code, 0, "{kept:#?}");

    write(one, "echo two > a/b/file && rm link && echo new > new");
    let now = seen(one);
    beside(&fleet);
    assert_eq!(seen(one), now);
    replaced(&fleet, &then, &now);
    by_hand(&fleet, &again);
}

/// Without a word about where: beside the one that is alive.
fn beside(fleet: &Fleet) {
    let one = fleet.host("web-1");
    let restored = fleet.ctl.json(&["restore", LATEST]);
    let name = format!("shop_uploads__restored_{}", restored["backup"]);
    assert_eq!(restored["target"], format!("web-1/{name}"), "{restored:#}");
    let mount = format!("{name}:/data:ro");
    let image = Version::V15.image();
    let script = [
        "run",
        "--rm",
        "-v",
        &mount,
        "--entrypoint",
        "cat",
        image,
        "/data/second",
    ];
    assert_eq!(one.docker(&script).trim(), "one");
    let taken = fleet.ctl.run(&["restore", LATEST, "--to", VOLUME]);
    assert_eq!(taken.code, 6, "{taken:#?}");
    assert!(taken.err.contains("--replace"), "{taken:#?}");
}

fn replaced(fleet: &Fleet, then: &str, now: &str) {
    let one = fleet.host("web-1");
    let live = fleet.ctl.run(&["restore", LATEST, "--replace", "--yes"]);
    assert_eq!(live.code, 6, "{live:#?}");
    assert!(live.err.contains("--stop"), "{live:#?}");
    assert_eq!(seen(one), now);
    let restored = fleet
        .ctl
        .json(&["restore", LATEST, "--replace", "--stop", "--yes"]);
    assert_eq!(restored["job"]["state"], "succeeded", "{restored:#}");
    assert!(both_run(one));
    assert_eq!(seen(one), then);
    let labels = one.docker(&[
        "volume",
        "inspect",
        "-f",
        "{{json .Labels}}",
        "shop_uploads",
    ]);
    assert!(labels.contains("com.example.shop"), "{labels}");

    let id = restored["job"]["id"].to_string();
    fleet.ctl.ok(&["job", "undo", &id]);
    assert!(both_run(one));
    assert_eq!(seen(one), now);
}

/// With nothing but the exported key, the repository and restic.
fn by_hand(fleet: &Fleet, backup: &Value) {
    let key = fleet.dir().join("recovery.json");
    let file = key.to_str().expect("UTF-8");
    fleet.ctl.ok(&["repository", "key", "export", file]);
    let key: Value = serde_json::from_slice(&fs::read(&key).expect("the key")).expect("JSON");
    let password = key["recovery_password"].as_str().expect("a password");
    let place = key["repositories"][0]["location"]
        .as_str()
        .expect("a place");
    let out = fleet.dir().join("by-hand");
    let snapshot = backup["snapshot"].as_str().expect("a snapshot");
    let mut restic = Command::new("/usr/bin/restic");
    restic
        .args(["--no-cache", "-r", place, "restore", snapshot, "--target"])
        .arg(&out)
        .env("RESTIC_PASSWORD", password);
    succeed(restic);
    let file = fs::read_to_string(out.join("data/a/b/file")).expect("the file");
    assert_eq!(file, "one\n");
    let link = fs::read_link(out.join("data/link")).expect("the link");
    assert_eq!(link, std::path::Path::new("a/b"));
}

/// Containers stand still in that moment: whoever dies, they run again, and the backup is whole or none.
#[test]
fn a_killed_agent_and_a_killed_controller_leave_the_containers_running() {
    let mut fleet = shop();
    write(fleet.host("web-1"), "head -c 12000000 /dev/urandom > big");
    for agent in [true, false] {
        fleet.host("web-1").slow("8mbit");
        let made = fleet
            .ctl
            .json(&["backup", "create", "--volume", VOLUME, "--stop", "--detach"]);
        let id = made["backups"][0]["job"]["id"].to_string();
        wait_for_step(&fleet, &id, "store");
        assert!(!runs(fleet.host("web-1"), "shop-web"));
        if agent {
            fleet.member_mut("web-1").agent.kill_9();
            fleet.member_mut("web-1").restart_agent();
        } else {
            fleet.controller.kill_9();
            fleet.restart_controller();
        }
        fleet.host("web-1").heal();
        let ended = wait_for_end(&fleet, &id);
        assert_eq!(ended["job"]["state"], "succeeded", "{ended:#}");
        assert!(both_run(fleet.host("web-1")));
    }
}
