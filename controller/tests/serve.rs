//! The program itself: starts, refuses, is killed, comes back; with its documented exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use holdfast_controller::embedded::{Embedded, RunningServer};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{ConnectOptions, PgConnection};

const PATIENCE: Duration = Duration::from_secs(90);

struct Place(tempfile::TempDir);

/// A controller with its log, killed at the end whatever happens.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("holdfast-serve-")
            .tempdir()
            .unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
        Self(directory)
    }

    fn state_dir(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-controller"));
        command.env_remove("HOLDFAST_LOG").env_remove("RUST_LOG");
        command
            .arg("serve")
            .arg("--state-dir")
            .arg(self.state_dir())
            .args(["--listen", "127.0.0.1:0"]);
        command
    }

    fn start(&self) -> Running {
        Running::start(self.command())
    }

    fn postgres(&self) -> Option<u32> {
        let lock =
            fs::read_to_string(self.state_dir().join("postgres/data/postmaster.pid")).ok()?;
        lock.lines().next()?.parse().ok()
    }
}

impl Drop for Place {
    /// A controller that was killed leaves its server: a test ends it as the next controller would.
    fn drop(&mut self) {
        if let Some(pid) = self
            .postgres()
            .and_then(|pid| Pid::from_raw(pid.cast_signed()))
        {
            let _ = kill_process(pid, Signal::QUIT);
        }
    }
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    fn wait_for(&mut self, part: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(_) => panic!("{part:?} was not logged:\n{}", self.seen.join("\n")),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(
            Pid::from_raw(self.child.id().cast_signed()).unwrap(),
            signal,
        )
        .unwrap();
    }

    fn ends(mut self) -> Option<i32> {
        // Its log ends with it.
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        self.child.wait().unwrap().code()
    }

    fn terminate(self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ends(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(mut command: Command) -> Output {
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

#[test]
fn it_starts_keeps_its_catalog_and_stops_its_server_with_itself() {
    let place = Place::new();
    let mut controller = place.start();
    controller.wait_for("ready");
    let postgres = place.postgres().unwrap();
    assert!(runs(postgres));
    controller.terminate();
    assert!(!runs(postgres));

    let mut controller = place.start();
    controller.wait_for("ready");
    assert!(
        !controller
            .seen
            .iter()
            .any(|line| line.contains("migrated the catalog")),
        "{:?}",
        controller.seen
    );
    controller.terminate();
}

#[test]
fn killed_with_9_it_comes_back_and_replaces_what_it_left() {
    let place = Place::new();
    let mut controller = place.start();
    controller.wait_for("ready");
    let orphan = place.postgres().unwrap();
    controller.signal(Signal::KILL);
    assert_eq!(controller.ends(), None);
    assert!(
        runs(orphan),
        "the server outlives a controller that could not stop it"
    );

    let mut controller = place.start();
    let line = controller.wait_for("an earlier controller left its PostgreSQL running");
    assert!(line.contains(&orphan.to_string()), "{line}");
    controller.wait_for("ready");
    assert!(!runs(orphan));
    controller.terminate();
}

#[test]
fn killed_with_9_while_it_makes_the_catalog_it_makes_it_anew() {
    let place = Place::new();
    let controller = place.start();
    let directory = place.state_dir().join("postgres");
    let begun = || {
        fs::read_dir(&directory).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().starts_with("making-"))
        })
    };
    while !begun() {
        assert!(!directory.join("data").exists(), "it was too fast");
        std::thread::yield_now();
    }
    controller.signal(Signal::KILL);
    assert_eq!(controller.ends(), None);

    let mut controller = place.start();
    controller.wait_for("an earlier start was interrupted");
    controller.wait_for("ready");
    controller.terminate();
}

#[test]
fn a_second_controller_is_refused_with_the_pid_of_the_first() {
    let place = Place::new();
    let mut controller = place.start();
    controller.wait_for("ready");
    let refused = run(place.command());
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    assert!(
        said(&refused).contains(&format!("pid {}", controller.child.id())),
        "{}",
        said(&refused)
    );
    controller.terminate();
}

#[test]
fn a_lost_server_ends_the_controller_with_an_error() {
    let place = Place::new();
    let mut controller = place.start();
    controller.wait_for("ready");
    let postgres = Pid::from_raw(place.postgres().unwrap().cast_signed()).unwrap();
    kill_process(postgres, Signal::KILL).unwrap();
    controller.wait_for("is lost");
    assert_eq!(controller.ends(), Some(1));
}

#[test]
fn a_wrong_configuration_is_refused_before_anything_is_opened() {
    let place = Place::new();
    let mut command = place.command();
    command
        .env("HOLDFAST_CONTROLLER__JOBS__LEASE", "never")
        .env("HOLDFAST_CONTROLLER__LISTENN", "x");
    let refused = run(command);
    assert_eq!(refused.status.code(), Some(3));
    let said = said(&refused);
    assert!(
        said.contains("HOLDFAST_CONTROLLER__JOBS__LEASE: jobs.lease = \"never\""),
        "{said}"
    );
    assert!(said.contains("did you mean listen?"), "{said}");
    assert!(!place.state_dir().exists());
}

#[test]
fn a_catalog_that_does_not_answer_is_told_without_its_password() {
    let place = Place::new();
    let mut command = place.command();
    command.args([
        "--catalog",
        "postgres://holdfast:hunter2@127.0.0.1:1/holdfast",
    ]);
    let refused = run(command);
    assert_eq!(refused.status.code(), Some(6), "{}", said(&refused));
    assert!(
        said(&refused).contains("the catalog cannot be reached"),
        "{}",
        said(&refused)
    );
    assert!(!said(&refused).contains("hunter2"), "{}", said(&refused));
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let place = Place::new();
    let path = place.0.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", &path);
    let controller = Running::start(command);
    let mut buffer = [0; 32];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1");
    controller.terminate();
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"STOPPING=1");
}

/// A PostgreSQL that is somebody else's: the controller gets its address and nothing more.
struct Given {
    server: RunningServer,
    _place: Place,
}

impl Given {
    async fn start() -> Self {
        let place = Place::new();
        fs::create_dir(place.state_dir()).unwrap();
        fs::set_permissions(place.state_dir(), fs::Permissions::from_mode(0o711)).unwrap();
        let embedded = Embedded {
            state_dir: place.state_dir(),
            bin_dir: None,
            user: None,
        };
        Self {
            server: embedded.start().await.unwrap(),
            _place: place,
        }
    }

    fn serve(&self, place: &Place) -> Command {
        self.serve_from(place, "holdfast")
    }

    fn serve_from(&self, place: &Place, database: &str) -> Command {
        let options = self.server.options();
        let socket = options.get_socket().unwrap().display().to_string();
        let port = options.get_port();
        let url = format!("postgres://holdfast@localhost:{port}/{database}?host={socket}");
        let mut command = place.command();
        command.args(["--catalog", &url]);
        command
    }

    async fn connect(&self) -> PgConnection {
        self.server.options().connect().await.unwrap()
    }

    async fn installation(&self) -> String {
        let mut connection = self.connect().await;
        let (id,) = sqlx::query_as("select id::text from installation")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_server_holds_the_catalog_and_no_other_is_made() {
    let (given, place) = (Given::start().await, Place::new());
    let mut controller = Running::start(given.serve(&place));
    controller.wait_for("migrated the catalog");
    let line = controller.wait_for("ready");
    assert!(line.contains("PostgreSQL at the given address"), "{line}");
    assert!(!place.state_dir().join("postgres").exists());
    assert_eq!(place.postgres(), None);
    let installation = given.installation().await;
    controller.terminate();

    let mut controller = Running::start(given.serve(&place));
    controller.wait_for("ready");
    assert!(
        !controller
            .seen
            .iter()
            .any(|line| line.contains("migrated the catalog")),
        "{:?}",
        controller.seen
    );
    assert_eq!(given.installation().await, installation);
    // What is not the controller's does not end with it.
    controller.terminate();
    given.connect().await;
    given.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_from_the_future_is_refused_with_what_to_do() {
    let (given, place) = (Given::start().await, Place::new());
    let mut controller = Running::start(given.serve(&place));
    controller.wait_for("ready");
    controller.terminate();
    let mut connection = given.connect().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (99999, 'from the future', true, '\\x00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();

    let refused = run(given.serve(&place));
    let said = said(&refused);
    assert_eq!(refused.status.code(), Some(9), "{said}");
    for part in [
        "the catalog is at version 99999, newer than version",
        "nothing was changed",
        "Run the newer holdfast-controller again, or restore the catalog's backup",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(!said.contains("ready"), "{said}");
    given.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_let_the_controller_in_is_no_server_that_is_away() {
    let (given, place) = (Given::start().await, Place::new());
    let refused = run(given.serve_from(&place, "nowhere"));
    assert_eq!(refused.status.code(), Some(9), "{}", said(&refused));
    for part in [
        "does not let this controller in",
        "check catalog.url",
        "nowhere",
    ] {
        assert!(
            said(&refused).contains(part),
            "{part:?}: {}",
            said(&refused)
        );
    }
    given.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_lost_is_made_anew_only_when_asked_for() {
    let (given, place) = (Given::start().await, Place::new());
    let mut controller = Running::start(given.serve(&place));
    controller.wait_for("ready");
    controller.terminate();
    // A host that was enrolled.
    sqlx::query(
        "insert into certificate (serial, subject, issued_at, expires_at)
         values ('7', 'host/web-1', now(), now() + interval '1 day')",
    )
    .execute(&mut given.connect().await)
    .await
    .unwrap();
    for file in ["ca.pem", "ca.key"] {
        fs::remove_file(place.state_dir().join(file)).unwrap();
    }
    let refused = run(given.serve(&place));
    assert_eq!(refused.status.code(), Some(7), "{}", said(&refused));
    for part in ["are missing", "Restore both from a backup", "ca.begin-anew"] {
        assert!(
            said(&refused).contains(part),
            "{part:?}: {}",
            said(&refused)
        );
    }
    assert!(!place.state_dir().join("ca.pem").exists());

    fs::write(place.state_dir().join("ca.begin-anew"), "").unwrap();
    let mut controller = Running::start(given.serve(&place));
    controller.wait_for("made a certificate authority");
    controller.wait_for("ready");
    assert!(!place.state_dir().join("ca.begin-anew").exists());
    controller.terminate();
    given.server.stop().await.unwrap();
}
