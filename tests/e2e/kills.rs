//! `kill -9` of every process in every step. Each step is held by a lock or a slow check on the real servers,
//! so that the kill hits it and nothing else.

use std::time::Duration;

use e2e::{
    eventually::eventually,
    fleet::Fleet,
    postgres::{Transaction, Version, psql},
};

use crate::{
    copy::{fill_users, two_servers},
    faults::{USERS, assert_whole_or_nothing, job, start_copy, wait_for_end},
};

const VICTIMS: [&str; 3] = ["controller", "web-1", "web-2"];

/// Waits until the step is being done (or undone), and not yet done.
fn wait_inside(fleet: &Fleet, id: &str, started: &str, done: &str, step: &str) {
    let what = format!("{started} {step} of job {id}");
    eventually(Duration::from_secs(60), &what, || {
        let shown = job(fleet, id)?;
        let events = shown["events"].as_array().cloned().unwrap_or_default();
        let has = |kind: &str| {
            let mut all = events.iter();
            all.any(|event| event["kind"] == kind && event["step"] == step)
        };
        assert!(!has(done), "step {step} was not held: {shown:#}");
        if has(started) {
            Ok(())
        } else {
            Err(format!("{}", shown["job"]))
        }
    });
}

fn kill_and_restart(fleet: &mut Fleet, victim: &str) {
    if victim == "controller" {
        fleet.controller.kill_9();
        fleet.restart_controller();
    } else {
        let member = fleet.member_mut(victim);
        member.agent.kill_9();
        member.restart_agent();
    }
}

/// Nothing creates, renames or drops a database on the target; connecting is possible.
fn hold_databases(fleet: &Fleet) -> Transaction {
    let lock = "lock table pg_database in share mode";
    Transaction::begin(fleet.host("web-2"), "shop-db", "postgres", lock)
}

/// Kills in the middle of the step, and gives the state in which the job ended.
fn kill_inside(fleet: &mut Fleet, step: &str, victim: &str) -> String {
    let target = format!("copy_{step}_{}", victim.replace('-', "_"));
    let (mut started, mut done, mut inside) = ("step-started", "step-done", step);
    let held = match step {
        "preflight" => Some(Transaction::begin(
            fleet.host("web-1"),
            "shop-db",
            "shop",
            "lock table users in access exclusive mode",
        )),
        "stage" => Some(hold_databases(fleet)),
        _ => None,
    };
    let id = start_copy(fleet, &target);
    let held = match step {
        "publish" => {
            wait_inside(fleet, &id, "step-started", "step-done", "prove");
            Some(hold_databases(fleet))
        }
        "undo" => {
            wait_inside(fleet, &id, "step-started", "step-done", "transfer");
            let held = hold_databases(fleet);
            fleet.ctl.ok(&["job", "cancel", &id, "--detach"]);
            (started, done, inside) = ("step-undo-started", "step-undone", "stage");
            Some(held)
        }
        _ => held,
    };
    wait_inside(fleet, &id, started, done, inside);
    if step == "preflight" {
        // A host that is away before it is asked is waited for; one that goes while it answers is not.
        let asked = format!("task={id}/preflight.source/do/1");
        let agent = &fleet.member("web-1").agent;
        eventually(Duration::from_secs(30), "the question", || {
            agent
                .log()
                .contains(&asked)
                .then_some(())
                .ok_or("not asked")
        });
    }
    kill_and_restart(fleet, victim);
    drop(held);
    assert_whole_or_nothing(fleet, &id, &target);
    let drop = format!("drop database if exists {target}");
    psql(fleet.host("web-2"), "shop-db", "postgres", &drop);
    let shown = wait_for_end(fleet, &id);
    shown["job"]["state"].as_str().expect("a state").to_owned()
}

#[test]
fn killing_any_process_in_any_step_leaves_the_right_copy_or_nothing() {
    let mut fleet = two_servers(Version::V15, Version::V15);
    fill_users(fleet.host("web-1"), USERS);
    // Slow enough that a kill comes before its end.
    let slow = "select count(*) + 0 * length(pg_sleep(3)::text) from users";
    let check = [
        "check",
        "set",
        "web-1/shop-db/shop",
        "slow",
        "--count",
        slow,
    ];
    fleet.ctl.ok(&[&check[..], &["--every", "1h"]].concat());
    for step in ["preflight", "stage", "transfer", "prove", "publish", "undo"] {
        for victim in VICTIMS {
            let state = kill_inside(&mut fleet, step, victim);
            let expected = match (step, victim) {
                ("undo", _) => "cancelled",
                // It answers at once rather than to wait for a host.
                ("preflight", "web-1" | "web-2") => "failed",
                _ => "succeeded",
            };
            assert_eq!(state, expected, "{victim} killed in {step}");
        }
    }
}
