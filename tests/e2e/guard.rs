//! The guard before a real Docker: the commands of the incidents are refused and change nothing, ordinary life passes,
//! and whatever becomes of the guard, Docker comes back.

mod recovery;
mod refusals;
mod ways_out;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use e2e::{
    daemon::Daemon,
    eventually::eventually,
    fleet::Fleet,
    host::{Host, binary, succeed},
    postgres::{Version, psql, run_postgres},
};
use serde_json::{Value, json};

const VOLUME: &str = "shop-db-data";
const DATA: &str = "/var/lib/postgresql/data";
/// What compose writes onto the first container of a service.
const OF_COMPOSE: [&str; 6] = [
    "--label",
    "com.docker.compose.project=shop",
    "--label",
    "com.docker.compose.service=db",
    "--label",
    "com.docker.compose.container-number=1",
];

/// Exit code and everything that was said. 124: it hung.
fn said(mut command: Command) -> (i32, String) {
    let output = command.output().expect("the command starts");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), format!("{out}{err}"))
}

fn docker(host: &Host, seconds: u32, args: &[&str]) -> (i32, String) {
    let mut command = host.command("timeout");
    command.arg(seconds.to_string()).arg("docker").args(args);
    said(command)
}

#[track_caller]
fn refused(host: &Host, args: &[&str]) -> String {
    let (code, text) = docker(host, 60, args);
    assert!(code != 0 && code != 124, "docker {args:?}: {code}\n{text}");
    assert!(
        text.contains("denied by plugin holdfast: "),
        "docker {args:?}:\n{text}"
    );
    text
}

/// A fleet of one host with a database, and the guard before its Docker.
fn guarded_shop() -> (Fleet, Guard) {
    let fleet = Fleet::start(1);
    let host = fleet.host("web-1");
    let mount = format!("{VOLUME}:{DATA}");
    let options: Vec<_> = ["-v", &mount].into_iter().chain(OF_COMPOSE).collect();
    run_postgres(host, "shop-db", Version::V15, &options, &[]);
    psql(
        host,
        "shop-db",
        "postgres",
        "create database shop;\n\\c shop\ncreate table users as select generate_series(1, 14) as id;",
    );
    host.sleeper("keeps-the-image");
    let state = fleet.dir().join("web-1/state");
    let guard = Guard::serve(host, &state);
    let told = guard.ok(host, &["install"]);
    assert!(
        told.contains("Docker asks the guard before every call"),
        "{told}"
    );
    eventually(
        Duration::from_secs(60),
        "the facts about the database",
        || {
            let facts = fs::read_to_string(state.join("guard/facts.json")).unwrap_or_default();
            let facts: Value = serde_json::from_str(&facts).unwrap_or_default();
            let data = facts["data"].as_array().cloned().unwrap_or_default();
            let known = data.iter().any(|one| {
                let protected = one["protection"]["databases"].as_array();
                one["place"]["volume"]["name"] == VOLUME
                    && one["databases"] == json!(["shop"])
                    && protected.is_some_and(|databases| databases.len() == 1)
            });
            if known { Ok(()) } else { Err(facts) }
        },
    );
    (fleet, guard)
}

fn users(host: &Host) -> String {
    psql(host, "shop-db", "shop", "select count(*) from users")
}

/// The guard of a host, as its operator types it.
struct Guard {
    state: PathBuf,
    daemon: Daemon,
    dir: tempfile::TempDir,
}

impl Guard {
    fn serve(host: &Host, state: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let daemon = Self::process(host, state, dir.path());
        let guard = Self {
            state: state.to_owned(),
            daemon,
            dir,
        };
        guard.wait(host);
        guard
    }

    fn process(host: &Host, state: &Path, dir: &Path) -> Daemon {
        let mut serve = host.command(binary("holdfast-agent"));
        serve.arg("--state-dir").arg(state).args(["guard", "serve"]);
        Daemon::start("guard", dir, serve)
    }

    fn again(&mut self, host: &Host) {
        self.daemon = Self::process(host, &self.state, self.dir.path());
        self.wait(host);
    }

    fn wait(&self, host: &Host) {
        eventually(Duration::from_secs(20), "an answer of the guard", || {
            let status = self.status(host);
            if status["process"].is_object() {
                Ok(())
            } else {
                Err(status)
            }
        });
    }

    fn run(&self, host: &Host, args: &[&str]) -> (i32, String) {
        let mut command = host.command(binary("holdfast-agent"));
        command
            .arg("--state-dir")
            .arg(&self.state)
            .arg("guard")
            .args(args);
        said(command)
    }

    #[track_caller]
    fn ok(&self, host: &Host, args: &[&str]) -> String {
        let (code, text) = self.run(host, args);
        assert_eq!(code, 0, "guard {args:?}\n{text}\n{}", self.daemon.log());
        text
    }

    fn status(&self, host: &Host) -> Value {
        let mut command = host.command(binary("holdfast-agent"));
        command
            .arg("--state-dir")
            .arg(&self.state)
            .args(["guard", "status", "-o", "json"]);
        let output = command.output().expect("it starts");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The process that answers, as this machine sees it.
    fn worker(&self) -> u32 {
        let supervisor = self.daemon.pid().to_string();
        eventually(Duration::from_secs(10), "a process that answers", || {
            let output = Command::new("pgrep").args(["-P", &supervisor]).output();
            let output = output.map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.trim()
                .parse::<u32>()
                .map_err(|error| format!("{text:?}: {error}"))
        })
    }

    fn signal(pid: u32, signal: &str) {
        let mut kill = Command::new("kill");
        kill.args(["-s", signal, &pid.to_string()]);
        succeed(kill);
    }

    fn kill_all(&mut self) {
        let worker = self.worker();
        self.daemon.kill_9();
        Self::signal(worker, "KILL");
    }
}
