//! What breaks in the middle of a copy, and what is left of it: nothing half-made, or the right result.

use std::time::Duration;

use e2e::{
    eventually::eventually,
    fleet::Fleet,
    host::succeed,
    postgres::{Version, psql, run_postgres, try_psql, wait_for_postgres},
};
use serde_json::Value;

use crate::copy::{fill_users, two_servers};

pub const USERS: u32 = 60_000;

/// Starts a copy that is slow enough to be disturbed, and gives its job.
pub fn start_copy(fleet: &Fleet, target: &str) -> String {
    let target = format!("web-2/shop-db/{target}");
    let args = [
        "copy",
        "database",
        "web-1/shop-db/shop",
        &target,
        "--bandwidth",
        "3MB",
        "--detach",
    ];
    fleet.ctl.json(&args)["job"]["id"].to_string()
}

pub fn job(fleet: &Fleet, id: &str) -> Result<Value, String> {
    let said = fleet.ctl.run(&["-o", "json", "job", "show", id]);
    serde_json::from_str(&said.out).map_err(|_| said.err)
}

/// Waits until the job has begun a step.
pub fn wait_for_step(fleet: &Fleet, id: &str, step: &str) {
    eventually(
        Duration::from_secs(60),
        &format!("step {step} of job {id}"),
        || {
            let shown = job(fleet, id)?;
            let begun = shown["events"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|event| event["step"] == step);
            let ended = !shown["job"]["ended_at"].is_null();
            if begun || ended {
                Ok(())
            } else {
                Err(format!("{}", shown["job"]))
            }
        },
    );
}

pub fn wait_for_end(fleet: &Fleet, id: &str) -> Value {
    eventually(
        Duration::from_secs(180),
        &format!("the end of job {id}"),
        || {
            let shown = job(fleet, id)?;
            if shown["job"]["ended_at"].is_null() {
                Err(format!("{}", shown["job"]))
            } else {
                Ok(shown)
            }
        },
    )
}

/// A job that was disturbed has either done its work, all of it, or left nothing.
pub fn assert_whole_or_nothing(fleet: &Fleet, id: &str, target: &str) {
    let shown = wait_for_end(fleet, id);
    let state = shown["job"]["state"].as_str().expect("a state").to_owned();
    let two = fleet.host("web-2");
    let databases = psql(
        two,
        "shop-db",
        "postgres",
        "select string_agg(datname, ' ') from pg_database",
    );
    assert!(!databases.contains("__staging_"), "{state}: {databases}");
    match state.as_str() {
        "succeeded" => {
            let counted = psql(
                two,
                "shop-db",
                target,
                "select count(*), count(distinct id) from users",
            );
            assert_eq!(counted, format!("{USERS}|{USERS}"));
        }
        "failed" | "cancelled" => assert!(!databases.contains(target), "{databases}"),
        other => panic!("job {id} ended {other}: {shown:#}"),
    }
}

#[test]
fn half_a_minute_without_network_in_the_middle_and_the_copy_is_right() {
    let fleet = two_servers(Version::V15, Version::V17);
    fill_users(fleet.host("web-1"), USERS);
    let id = start_copy(&fleet, "copy");
    wait_for_step(&fleet, &id, "transfer");
    let cut = std::time::Instant::now();
    fleet.host("web-2").cut();
    eventually(Duration::from_secs(40), "30 s", || {
        if cut.elapsed().as_secs() >= 30 {
            Ok(())
        } else {
            Err("")
        }
    });
    fleet.host("web-2").heal();
    let shown = wait_for_end(&fleet, &id);
    assert_eq!(shown["job"]["state"], "succeeded", "{shown:#}");
    assert_whole_or_nothing(&fleet, &id, "copy");
}

#[test]
fn a_slow_and_lossy_network_only_takes_longer() {
    let fleet = two_servers(Version::V15, Version::V15);
    fill_users(fleet.host("web-1"), USERS);
    fleet.host("web-1").slow("40mbit");
    fleet.host("web-2").lossy("0.01");
    let copy = fleet.ctl.json(&[
        "copy",
        "database",
        "web-1/shop-db/shop",
        "web-2/shop-db/copy",
    ]);
    assert_eq!(copy["green"], true, "{copy:#}");
}

#[test]
fn a_source_that_goes_away_in_the_middle_is_waited_for_or_undone() {
    let fleet = two_servers(Version::V15, Version::V15);
    let one = fleet.host("web-1");
    fill_users(one, USERS);
    let id = start_copy(&fleet, "copy");
    wait_for_step(&fleet, &id, "transfer");
    one.docker(&["restart", "-t", "0", "shop-db"]);
    wait_for_postgres(one, "shop-db");
    assert_whole_or_nothing(&fleet, &id, "copy");
}

#[test]
fn a_cancelled_copy_leaves_nothing() {
    let fleet = two_servers(Version::V15, Version::V15);
    fill_users(fleet.host("web-1"), USERS);
    let id = start_copy(&fleet, "copy");
    wait_for_step(&fleet, &id, "transfer");
    fleet.ctl.ok(&["job", "cancel", &id]);
    let shown = wait_for_end(&fleet, &id);
    assert_eq!(shown["job"]["state"], "cancelled", "{shown:#}");
    assert!(try_psql(fleet.host("web-2"), "shop-db", "copy", "select 1").is_err());
    let left = "select count(*) from pg_stat_activity where application_name like 'holdfast%' and datname = 'shop'";
    eventually(
        Duration::from_secs(10),
        "the end of our sessions on the source",
        || {
            let sessions = psql(fleet.host("web-1"), "shop-db", "postgres", left);
            // The health probe has a session of its own now and then.
            if sessions == "0" {
                Ok(())
            } else {
                Err(sessions)
            }
        },
    );
}

#[test]
fn a_host_that_loses_power_comes_back_and_the_job_ends_well() {
    let mut fleet = two_servers(Version::V15, Version::V15);
    fill_users(fleet.host("web-1"), USERS);
    let id = start_copy(&fleet, "copy");
    wait_for_step(&fleet, &id, "transfer");
    fleet.host("web-2").power_cut();
    fleet.host("web-2").up();
    wait_for_postgres(fleet.host("web-2"), "shop-db");
    fleet.member_mut("web-2").restart_agent();
    assert_whole_or_nothing(&fleet, &id, "copy");
}

#[test]
fn a_source_database_that_is_dropped_in_the_middle_ends_the_copy_and_leaves_nothing() {
    let fleet = two_servers(Version::V15, Version::V15);
    let one = fleet.host("web-1");
    for gone in ["database", "server"] {
        fill_users(one, USERS);
        let id = start_copy(&fleet, "copy");
        wait_for_step(&fleet, &id, "transfer");
        match gone {
            "database" => {
                psql(
                    one,
                    "shop-db",
                    "postgres",
                    "drop database shop with (force)",
                );
            }
            _ => {
                one.docker(&["rm", "-fv", "shop-db"]);
            }
        }
        let shown = wait_for_end(&fleet, &id);
        assert_eq!(shown["job"]["state"], "failed", "{shown:#}");
        let reason = shown["job"]["reason"].as_str().expect("a reason");
        assert!(reason.contains("shop"), "{reason}");
        assert_whole_or_nothing(&fleet, &id, "copy");
    }
}

/// The data directory is on a small disk of its own, and something else fills that in the middle.
#[test]
fn a_target_whose_disk_fills_in_the_middle_holds_nothing_of_the_copy_when_there_is_room_again() {
    let fleet = Fleet::start(2);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    let disk = fleet.dir().join("disk");
    let disk = disk.to_str().expect("UTF-8");
    let shell = |script: &str| {
        let mut command = two.command("sh");
        command.args(["-ec", script, "sh", disk]);
        succeed(command)
    };
    shell(
        "mkdir \"$1\"; truncate -s 1G \"$1.img\"; mkfs.ext4 -q -m 0 \"$1.img\"
         mount -o loop \"$1.img\" \"$1\"; mkdir \"$1/data\"",
    );
    let data = format!("{disk}/data:/var/lib/postgresql/data");
    run_postgres(one, "shop-db", Version::V15, &[], &[]);
    run_postgres(two, "shop-db", Version::V15, &["-v", &data], &[]);
    fleet.wait_instance("web-1/shop-db");
    fleet.wait_instance("web-2/shop-db");
    fill_users(one, USERS);

    let id = start_copy(&fleet, "copy");
    wait_for_step(&fleet, &id, "transfer");
    shell(
        "left=$(df -B1 --output=avail \"$1\" | tail -n 1)
         fallocate -l $((left - 524288)) \"$1/ballast\"",
    );
    let failure = eventually(Duration::from_secs(120), "the full disk", || {
        let shown = job(&fleet, &id)?;
        let events = shown["events"].as_array().cloned().unwrap_or_default();
        let failed = events.iter().find(|event| event["kind"] == "step-failed");
        failed.cloned().ok_or_else(|| format!("{shown:#}"))
    });
    shell("rm \"$1/ballast\"");
    let log = shell("docker logs shop-db 2>&1");
    assert!(log.contains("No space left on device"), "{failure:#} {log}");
    wait_for_postgres(two, "shop-db");
    assert_whole_or_nothing(&fleet, &id, "copy");

    let again = [
        "copy",
        "database",
        "web-1/shop-db/shop",
        "web-2/shop-db/again",
    ];
    let copy = fleet.ctl.json(&again);
    assert_eq!(copy["green"], true, "{copy:#}");
}
