//! The guard before a real Docker: the commands of the incidents are refused and change nothing, ordinary life passes,
//! and whatever becomes of the guard, Docker comes back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use e2e::{
    daemon::Daemon,
    eventually::eventually,
    fleet::Fleet,
    host::{Host, binary, succeed},
    postgres::{Version, psql, run_postgres, wait_for_postgres},
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

/// A call of the API as it is: status and body.
fn call(host: &Host, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
    let mut command = host.command("curl");
    command.args([
        "-sS",
        "-m",
        "60",
        "--path-as-is",
        "-w",
        "\n%{http_code}",
        "-X",
        method,
    ]);
    command.args(["--unix-socket", "/var/run/docker.sock"]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    if let Some(body) = body {
        fs::write(file.path(), body).expect("a body");
        command.args(["-H", "Content-Type: application/json", "--data-binary"]);
        command.arg(format!("@{}", file.path().display()));
    }
    command.arg(format!("http://docker{path}"));
    let text = succeed(command);
    let (body, status) = text.trim_end().rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_owned())
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
            if status["guard"].is_object() {
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
                one["place"]["volume"]["name"] == VOLUME && one["databases"] == json!(["shop"])
            });
            if known { Ok(()) } else { Err(facts) }
        },
    );
    (fleet, guard)
}

fn users(host: &Host) -> String {
    psql(host, "shop-db", "shop", "select count(*) from users")
}

#[test]
fn the_commands_of_the_incidents_are_refused_and_change_nothing() {
    let (mut fleet, guard) = guarded_shop();
    let host = fleet.host("web-1");
    assert_eq!(
        guard.status(host)["guards"],
        true,
        "{:#}",
        guard.status(host)
    );
    second_mounts(host);
    bodies(host);
    lost_volumes(host);
    ordinary_life(host);
    two_at_once(host);
    pruned(host);
    let told = guard.status(host);
    let refusals = told["refusals"].as_array().expect("refusals");
    assert!(refusals.iter().any(|one| one["rule"] == "loss"), "{told:#}");

    // The agent is dead: the guard goes on with what it knows.
    fleet.member_mut("web-1").agent.kill_9();
    let host = fleet.host("web-1");
    refused(host, &["volume", "rm", VOLUME]);
    host.docker(&["start", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    refused(
        host,
        &[
            "run",
            "--rm",
            "-v",
            &format!("{VOLUME}:/x"),
            Version::V15.image(),
            "true",
        ],
    );
    host.docker(&["restart", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    assert_eq!(users(host), "14");
    let told = guard.ok(host, &["uninstall"]);
    assert!(told.contains("Docker does not ask the guard"), "{told}");
    host.docker(&[
        "run",
        "--rm",
        "-v",
        &format!("{VOLUME}:/x:ro"),
        Version::V15.image(),
        "true",
    ]);
}

/// Incident 1, and its variations.
fn second_mounts(host: &Host) {
    let image = Version::V15.image();
    let by_name = format!("{VOLUME}:{DATA}");
    let run = [
        "run",
        "-d",
        "--name",
        "copy",
        "-e",
        "POSTGRES_PASSWORD=x",
        "-v",
    ];
    let args: Vec<_> = run
        .into_iter()
        .chain([&*by_name, image, "postgres"])
        .collect();
    let text = refused(host, &args);
    for part in [
        "volume shop-db-data holds database shop and container shop-db runs on it",
        "ctl copy database web-1/shop-db/shop HOST/INSTANCE/NEW_NAME",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!host.docker(&["ps", "-a"]).contains("copy"));
    let path = host.docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", VOLUME]);
    let path = path.trim();
    let folder = path.trim_end_matches("/_data");
    for mount in [
        by_name.clone(),
        format!("{path}:/x"),
        format!("{path}/base:/x"),
        format!("{folder}/../{VOLUME}/_data:/x"),
        format!("{folder}:/x"),
        format!("/var/lib/docker:{DATA}"),
    ] {
        // It hangs for ever when its start is refused instead of its create.
        refused(host, &["run", "--rm", "-v", &mount, image, "postgres"]);
    }
    refused(
        host,
        &["run", "--rm", "--volumes-from", "shop-db", image, "true"],
    );
    let device = format!("device={path}");
    let alias = [
        "volume",
        "create",
        "-d",
        "local",
        "-o",
        "type=none",
        "-o",
        "o=bind",
        "-o",
    ];
    let alias: Vec<_> = alias.into_iter().chain([&*device, "alias"]).collect();
    refused(host, &alias);
    let read_only = format!("{VOLUME}:/x:ro");
    let read = [
        "run",
        "--rm",
        "-v",
        &read_only,
        "--entrypoint",
        "cat",
        image,
        "/x/PG_VERSION",
    ];
    assert_eq!(host.docker(&read).trim(), "15");
    // The engine takes named ones as well; the database is in use.
    host.docker(&["volume", "prune", "-f"]);
    assert_eq!(users(host), "14");
}

/// What a client can do to the call itself.
fn bodies(host: &Host) {
    let image = Version::V15.image();
    let bind = format!("{VOLUME}:/x");
    let plain = json!({"Image": image, "HostConfig": {"Binds": [bind]}}).to_string();
    let other_case = json!({"image": image, "hostCONFIG": {"bindS": [bind]}}).to_string();
    let beside = json!({"Image": image, "Binds": [bind]}).to_string();
    let twice = format!(
        r#"{{"Image":"{image}","HostConfig":{{"Binds":[]}},"hostconfig":{{"Binds":["{bind}"]}}}}"#
    );
    let subpath =
        json!({"Image": image, "HostConfig": {"Mounts": [{"Type": "volume", "Source": VOLUME,
        "Target": "/x", "VolumeOptions": {"Subpath": "base"}}]}})
        .to_string();
    let large = json!({"Image": image, "HostConfig": {"Binds": [bind]},
        "Env": [format!("X={}", "x".repeat(1_300_000))]})
    .to_string();
    for (what, path, body) in [
        ("plain", "/containers/create?name=copy", &plain),
        (
            "other case",
            "/v1.41/containers/create?name=copy",
            &other_case,
        ),
        ("beside", "/v1.41/containers/create?name=copy", &beside),
        ("twice", "/v1.41/containers/create?name=copy", &twice),
        ("sub-path", "/v1.41/containers/create?name=copy", &subpath),
        ("encoded", "/v1.41/%63ontainers/cre%61te?name=copy", &plain),
        ("large", "/v1.41/containers/create?name=copy", &large),
    ] {
        let (status, text) = call(host, "POST", path, Some(body));
        assert_eq!(status, 403, "{what}: {text}");
    }
    let removal = format!("/v1.41/volumes/%73{}?force=1", &VOLUME[1..]);
    assert_eq!(call(host, "DELETE", &removal, None).0, 403);
    let impostor = call(
        host,
        "POST",
        "/v1.41/plugins/pull?remote=x/y&name=holdfast",
        None,
    );
    assert_eq!(impostor.0, 403, "{}", impostor.1);
    assert!(!host.docker(&["ps", "-a"]).contains("copy"));
}

/// Incident 5, while containers are there.
fn lost_volumes(host: &Host) {
    let text = refused(host, &["volume", "rm", VOLUME]);
    let sentence = "volume shop-db-data holds database shop, no proven backup of it is known; run: ctl backup create \
                    web-1/shop-db/shop";
    assert!(text.contains(sentence), "{text}");
    refused(host, &["volume", "rm", "-f", VOLUME]);
    let mount = format!("type=volume,dst={DATA}");
    let anonymous = ["--mount", &mount, "-v", "unused:/unused"];
    run_postgres(host, "anon", Version::V15, &anonymous, &[]);
    let mounts = host.docker(&["inspect", "-f", "{{json .Mounts}}", "anon"]);
    let mounts: Value = serde_json::from_str(&mounts).expect("JSON");
    let mounts = mounts.as_array().expect("mounts").iter();
    let mut volumes = mounts.filter(|mount| mount["Destination"] == DATA);
    let volume = volumes.next().expect("its volume")["Name"]
        .as_str()
        .expect("a name");
    // It is in use: Docker itself says so, as long as the guard does not.
    let text = eventually(
        Duration::from_secs(60),
        "the anonymous database in the facts",
        || {
            let (code, text) = docker(host, 60, &["volume", "rm", volume]);
            if code != 0 && text.contains("plugin holdfast") {
                Ok(text)
            } else {
                Err(text)
            }
        },
    );
    assert!(text.contains("ctl backup create"), "{text}");
    let text = refused(host, &["rm", "-f", "-v", "anon"]);
    assert!(text.contains("goes with container anon"), "{text}");
    wait_for_postgres(host, "anon");
    host.docker(&["rm", "-f", "anon"]);
    host.docker(&["volume", "rm", "unused"]);
}

/// Compose replaces the container of a service: the next is made while the last runs.
fn ordinary_life(host: &Host) {
    host.docker(&["restart", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    let mount = format!("{VOLUME}:{DATA}");
    let image = Version::V15.image();
    let make = |name: &'static str, more: &'static [&'static str]| -> Vec<&str> {
        let create = [
            "create",
            "--name",
            name,
            "-e",
            "POSTGRES_PASSWORD=secret",
            "-v",
            &mount,
        ];
        let labels = OF_COMPOSE.into_iter().chain(more.iter().copied());
        create
            .into_iter()
            .chain(labels)
            .chain([image, "postgres"])
            .collect()
    };
    refused(
        host,
        &make("once", &["--label", "com.docker.compose.oneoff=True"]),
    );
    refused(
        host,
        &make(
            "second",
            &["--label", "com.docker.compose.container-number=2"],
        ),
    );
    host.docker(&make("next", &[]));
    refused(host, &["start", "next"]);
    host.docker(&["stop", "shop-db"]);
    host.docker(&["rm", "shop-db"]);
    host.docker(&["rename", "next", "shop-db"]);
    host.docker(&["start", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    assert_eq!(users(host), "14");
}

fn two_at_once(host: &Host) {
    host.docker(&["stop", "shop-db"]);
    let mount = format!("{VOLUME}:{DATA}");
    for name in ["one", "two"] {
        host.docker(&[
            "create",
            "--name",
            name,
            "-v",
            &mount,
            Version::V15.image(),
            "postgres",
        ]);
    }
    let starts = ["one", "two"].map(|name| {
        let mut start = host.command("timeout");
        start.args(["60", "docker", "start", name]);
        std::thread::spawn(move || said(start))
    });
    let codes = starts.map(|start| start.join().expect("a thread").0);
    assert!(
        codes.contains(&0) && codes.iter().any(|code| *code != 0),
        "{codes:?}"
    );
    host.docker(&["rm", "-f", "one", "two"]);
    host.docker(&["start", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    assert_eq!(users(host), "14");
}

/// What `compose down` and pruning come to.
fn pruned(host: &Host) {
    host.docker(&["stop", "shop-db"]);
    let make = [
        "create",
        "--name",
        "again",
        "-e",
        "POSTGRES_PASSWORD=secret",
    ];
    host.docker(&["rm", "shop-db"]);
    let text = refused(host, &["volume", "prune", "-f"]);
    assert!(
        text.contains("is used by no container and would go"),
        "{text}"
    );
    refused(host, &["system", "prune", "-f", "--volumes"]);
    refused(host, &["volume", "rm", VOLUME]);
    assert!(host.docker(&["volume", "ls", "-q"]).contains(VOLUME));
    let mount = format!("{VOLUME}:{DATA}");
    let rest = ["-v", &mount, Version::V15.image(), "postgres"];
    let args: Vec<_> = make.into_iter().chain(rest).collect();
    host.docker(&args);
    host.docker(&["rename", "again", "shop-db"]);
}

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
