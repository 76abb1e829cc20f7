//! The incidents that Holdfast exists for, replayed on real hosts with the commands of their write-ups.

mod anonymous_volume;
mod changed_name;
mod live_double_mount;
mod missing_catalog_file;
mod removed_volume;

use std::{fs, time::Duration};

use e2e::{eventually::eventually, fleet::Fleet};
use serde_json::Value;

/// Open findings of a kind, as `ctl finding list` has them.
fn findings(fleet: &Fleet, kind: &str) -> Vec<Value> {
    let list = fleet.ctl.json(&["finding", "list"]);
    let mut all = list["findings"].as_array().cloned().unwrap_or_default();
    all.retain(|finding| finding["kind"] == kind);
    all
}

/// Waits for the finding of this kind whose message holds these words.
#[track_caller]
fn found(fleet: &Fleet, kind: &str, words: &str) -> Value {
    eventually(Duration::from_secs(30), &format!("{kind}: {words}"), || {
        let all = findings(fleet, kind);
        let mut told = all.iter().filter(|finding| {
            let message = finding["message"].as_str().unwrap_or_default();
            message.contains(words)
        });
        told.next()
            .cloned()
            .ok_or_else(|| fleet.ctl.ok(&["finding", "list"]))
    })
}

/// Waits until no finding of this kind is open.
#[track_caller]
fn over(fleet: &Fleet, kind: &str) {
    eventually(
        Duration::from_secs(30),
        &format!("the end of {kind}"),
        || match findings(fleet, kind) {
            none if none.is_empty() => Ok(()),
            still => Err(still),
        },
    );
}

/// The catalog knows what is counted while all is well.
fn wait_for_count(fleet: &Fleet, database: &str, count: u64) {
    eventually(
        Duration::from_secs(60),
        &format!("{count} users of {database}"),
        || {
            let list = fleet.ctl.json(&["check", "list"]);
            let mut checks = list["checks"].as_array().into_iter().flatten();
            let counted = checks
                .any(|check| check["database"] == database && check["last"]["count"] == count);
            if counted { Ok(()) } else { Err(list) }
        },
    );
}

/// The number of the incident, which is the only one that is not closed.
#[track_caller]
fn kind_of_one_incident(fleet: &Fleet, kind: &str) -> String {
    eventually(
        Duration::from_secs(30),
        &format!("one incident of {kind}"),
        || {
            let list = fleet.ctl.json(&["incident", "list"]);
            let mut all = list["incidents"].as_array().cloned().unwrap_or_default();
            // Whatever becomes of the disk of the machine that tests.
            all.retain(|incident| {
                !["disk-filling", "catalog-unhealthy"]
                    .map(Value::from)
                    .contains(&incident["kind"])
            });
            match all.as_slice() {
                [incident] if incident["kind"] == kind => Ok(incident["id"].to_string()),
                _ => Err(list),
            }
        },
    )
}

/// Waits until nothing of it is found any more.
#[track_caller]
fn resolved(fleet: &Fleet, incident: &str) {
    eventually(Duration::from_secs(60), "the incident is resolved", || {
        let shown = fleet.ctl.json(&["incident", "show", incident]);
        let is_over = shown["incident"]["state"] == "resolved";
        if is_over { Ok(()) } else { Err(shown) }
    });
}

/// `ctl incident run` with these arguments, and somebody who does with his hands what it waits for. What it printed at
/// the end, and its exit code.
#[track_caller]
fn run_with_hands(
    fleet: &Fleet,
    args: &[&str],
    waits_for: &str,
    hands: impl FnOnce(),
) -> (String, Option<i32>) {
    let file = |name: &str| fs::File::create(fleet.dir().join(name)).expect("a file");
    let read = |name: &str| fs::read_to_string(fleet.dir().join(name)).expect("what it said");
    let mut run = fleet.ctl.command();
    run.args(["incident", "run"]).args(args);
    run.stdout(file("told")).stderr(file("talk"));
    let mut running = run.spawn().expect("ctl runs");
    let what = format!("waiting for {waits_for}");
    eventually(Duration::from_secs(120), &what, || {
        let said = read("talk");
        if said.contains(&what) {
            Ok(())
        } else {
            Err(said)
        }
    });
    hands();
    let ended = running.wait().expect("it ends");
    (read("told") + &read("talk"), ended.code())
}
