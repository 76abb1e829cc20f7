//! `deploy/demo` as a newcomer runs it.

use std::process::Command;

use e2e::host::{binary, repository, succeed};
use serde_json::Value;

#[test]
fn the_demo_proves_a_copy_and_a_backup_survives_an_accident_and_cleans_up_behind_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let home = dir.path().join("demo");
    // Built anew they would have other features than those that all other tests run, in the same place.
    let ctl = binary("ctl");
    let programs = ctl.parent().expect("a folder");
    let demo = |option: &str| {
        let mut demo = Command::new(repository().join("deploy/demo"));
        demo.arg(option)
            .env("HOLDFAST_DEMO", &home)
            .env("HOLDFAST_BIN", programs);
        succeed(demo)
    };
    // The private catalog runs as a service user and must reach its directory.
    let mut open = Command::new("chmod");
    open.arg("755").arg(dir.path());
    succeed(open);
    let out = demo("--yes");
    let last = out.lines().last().expect("a last line");
    let said: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(said["green"], true, "{out}");
    assert_eq!(said["copy"]["users"], 5000, "{out}");
    assert_eq!(said["drill"]["verdict"], "proven", "{out}");
    assert_eq!(said["merge"]["rows"], 1, "{out}");
    for figure in ["tables", "rows", "bytes"] {
        let figure = &said["copy"][figure];
        assert!(figure.as_u64().is_some_and(|n| n > 0), "{out}");
    }
    demo("--down");
    assert!(!home.exists(), "nothing of it is left");
}
