//! Debian's restic, which reads what is written here.

use std::{path::Path, process::Command};

/// Runs it on a repository in a directory; its stdout.
pub fn restic(repository: &Path, password: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("/usr/bin/restic")
        .args(["--no-cache", "-r"])
        .arg(repository)
        .args(arguments)
        .env("RESTIC_PASSWORD", password)
        .output()
        .expect("restic is needed: tests/machine/packages --yes");
    assert!(
        output.status.success(),
        "restic {arguments:?}: {}\n{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    output.stdout
}
