//! The incidents that Holdfast exists for, replayed on real hosts with the commands of their write-ups.

mod anonymous_volume;
mod changed_name;
mod live_double_mount;
mod missing_catalog_file;

use std::time::Duration;

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
