//! Whatever becomes of the guard, Docker comes back.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use e2e::host::{Host, binary, succeed};

use super::{Guard, docker, said};

/// How long until Docker answers; it must within the given time.
#[track_caller]
fn answers_within(host: &Host, seconds: u32) -> Duration {
    let begun = Instant::now();
    let (code, text) = docker(host, seconds, &["ps"]);
    assert_eq!(code, 0, "{text}");
    begun.elapsed()
}

#[test]
fn whatever_becomes_of_the_guard_docker_comes_back() {
    let host = Host::start();
    let state = tempfile::tempdir().expect("a directory");
    let early = host.command(binary("holdfast-agent"));
    let (code, text) = without_a_guard(early, state.path());
    assert!(code == 1 && text.contains("guard serve"), "{text}");
    assert!(!host.settings().exists(), "nothing was changed");

    fs::write(host.settings(), r#"{"labels": ["a=b"], "debug": false}"#).expect("settings");
    let mut guard = Guard::serve(&host, state.path());
    let told = guard.ok(&host, &["install"]);
    assert!(
        told.contains("told Docker to read its settings again"),
        "{told}"
    );
    let again = guard.ok(&host, &["install"]);
    assert!(!again.contains("told Docker"), "{again}");
    let settings = fs::read_to_string(host.settings()).expect("settings");
    assert!(
        settings.find("labels") < settings.find("debug"),
        "{settings}"
    );

    // The process that answers dies, or hangs: it is replaced, and calls only wait.
    Guard::signal(guard.worker(), "KILL");
    println!(
        "the worker was killed: docker ps after {:?}",
        answers_within(&host, 14)
    );
    Guard::signal(guard.worker(), "STOP");
    println!(
        "the worker hung: docker ps after {:?}",
        answers_within(&host, 40)
    );

    // All of it is dead: one command.
    guard.kill_all();
    let (code, text) = docker(&host, 40, &["ps"]);
    assert!(code != 0 && code != 124, "{code} {text}");
    let told = guard.ok(&host, &["recover"]);
    assert!(
        told.contains("Docker answers, and nothing guards"),
        "{told}"
    );
    println!(
        "dead, after recover: docker ps after {:?}",
        answers_within(&host, 5)
    );

    // All of it hangs.
    guard.again(&host);
    guard.ok(&host, &["install"]);
    let (worker, supervisor) = (guard.worker(), guard.daemon.pid());
    Guard::signal(supervisor, "STOP");
    Guard::signal(worker, "STOP");
    assert_eq!(docker(&host, 5, &["ps"]).0, 124, "it hangs");
    guard.ok(&host, &["recover"]);
    println!(
        "hung, after recover: docker ps after {:?}",
        answers_within(&host, 5)
    );
    // `nsenter` stops with what it has started, and continues it.
    let mut parent = Command::new("ps");
    parent.args(["-o", "ppid=", "-p", &supervisor.to_string()]);
    let parent = succeed(parent).trim().parse().expect("a process id");
    Guard::signal(parent, "CONT");

    // Upgraded: the guard ends and comes back, and calls wait.
    guard.wait(&host);
    guard.ok(&host, &["install"]);
    guard.daemon.stop();
    guard.again(&host);
    answers_within(&host, 20);

    // The machine starts again, and there is no guard.
    host.power_cut();
    let (code, text) = before_docker(&host, state.path());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Docker can start"), "{text}");
    host.up();
    println!(
        "after a power cut: docker ps after {:?}",
        answers_within(&host, 10)
    );
    let settings = fs::read_to_string(host.settings()).expect("settings");
    assert!(
        !settings.contains("holdfast") && settings.contains("a=b"),
        "{settings}"
    );
}

fn without_a_guard(mut command: Command, state: &Path) -> (i32, String) {
    command
        .arg("--state-dir")
        .arg(state)
        .args(["guard", "install"]);
    said(command)
}

/// As `docker.service` has it before it starts: there is no process of the host's, so none of this machine may be seen.
fn before_docker(host: &Host, state: &Path) -> (i32, String) {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(binary("holdfast-agent"));
    command.arg("--state-dir").arg(state).arg("guard");
    command.arg("--socket").arg(state.join("nobody.sock"));
    command.arg("--daemon-json").arg(host.settings());
    command.args(["recover", "--only-if-dead"]);
    said(command)
}
