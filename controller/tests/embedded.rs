//! The private PostgreSQL on the machine's real binaries, killed in every way that happens.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use holdfast_controller::embedded::{
    Embedded, EmbeddedError, NoBinaries, RunningServer, ServerError,
};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{ConnectOptions, Connection, PgConnection};

/// A state directory that the server's user can reach.
struct Place {
    _directory: tempfile::TempDir,
    embedded: Embedded,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("holdfast-embedded-")
            .tempdir()
            .unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let state_dir = directory.path().to_owned();
        Self::at(directory, state_dir)
    }

    fn at(directory: tempfile::TempDir, state_dir: PathBuf) -> Self {
        let embedded = Embedded {
            state_dir,
            bin_dir: None,
            user: None,
        };
        Self {
            _directory: directory,
            embedded,
        }
    }

    fn data(&self) -> PathBuf {
        self.embedded.directory().join("data")
    }

    async fn start(&self) -> RunningServer {
        self.embedded
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    async fn refused(&self) -> EmbeddedError {
        match self.embedded.start().await {
            Ok(server) => {
                server.stop().await.unwrap();
                panic!("it started");
            }
            Err(error) => error,
        }
    }

    fn directories(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.embedded.directory()).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with(prefix)
            })
            .collect()
    }
}

async fn connect(server: &RunningServer) -> PgConnection {
    server.options().connect().await.unwrap()
}

async fn mark(server: &RunningServer) {
    let mut connection = connect(server).await;
    sqlx::query("create table mark as select 42 as answer")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn is_marked(server: &RunningServer) -> bool {
    let mut connection = connect(server).await;
    let row: Result<(i32,), _> = sqlx::query_as("select answer from mark")
        .fetch_one(&mut connection)
        .await;
    matches!(row, Ok((42,)))
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    let (value,): (String,) = sqlx::query_as("select current_setting($1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .unwrap();
    value
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn it_is_private_durable_and_kept_across_restarts() {
    let place = Place::new();
    let server = place.start().await;
    let mut connection = connect(&server).await;
    for (name, value) in [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(setting(&mut connection, name).await, value, "{name}");
    }
    let sockets = PathBuf::from(
        setting(&mut connection, "unix_socket_directories")
            .await
            .trim_matches('"'),
    );
    let found = fs::metadata(&sockets).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o700, "{sockets:?}");
    assert_eq!(
        fs::metadata(place.data()).unwrap().permissions().mode() & 0o077,
        0
    );
    connection.close().await.unwrap();
    mark(&server).await;
    let pid = server.pid();
    server.stop().await.unwrap();
    assert!(!runs(pid));
    assert!(!place.data().join("postmaster.pid").exists());

    let server = place.start().await;
    assert!(is_marked(&server).await);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn as_root_it_runs_as_the_service_user() {
    let mut place = Place::new();
    if !rustix::process::geteuid().is_root() {
        place.embedded.user = Some("root".to_owned());
        assert!(matches!(place.refused().await, EmbeddedError::Owner(_)));
        return;
    }
    let server = place.start().await;
    let owner = fs::metadata(place.data()).unwrap().uid();
    assert_ne!(owner, 0);
    assert_eq!(
        fs::metadata(format!("/proc/{}", server.pid()))
            .unwrap()
            .uid(),
        owner
    );
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let groups = status
        .lines()
        .find(|line| line.starts_with("Groups:"))
        .unwrap();
    assert_eq!(
        groups.trim_end(),
        "Groups:",
        "no groups of ours are left to it"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_state_directory_that_its_user_cannot_reach_is_named() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let state_dir = directory.path().join("state");
    fs::create_dir(&state_dir).unwrap();
    let closed = directory.path().to_owned();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let error = Place::at(directory, state_dir).refused().await.to_string();
    assert!(
        error.contains(&format!("cannot pass through {closed:?}")),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_a_killed_controller_left_is_replaced() {
    let place = Place::new();
    let orphan = place.start().await;
    mark(&orphan).await;
    let pid = orphan.pid();
    std::mem::forget(orphan);
    assert!(runs(pid));

    let server = place.start().await;
    assert_ne!(server.pid(), pid);
    assert!(!runs(pid));
    assert!(is_marked(&server).await);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_recovers() {
    let place = Place::new();
    let mut server = place.start().await;
    mark(&server).await;
    kill(server.pid(), Signal::KILL);
    let error = tokio::time::timeout(Duration::from_secs(30), server.exited())
        .await
        .unwrap();
    assert!(matches!(error, ServerError::Ended { .. }), "{error}");
    assert!(place.data().join("postmaster.pid").exists());

    // At once: its backends may still be there.
    let server = place.start().await;
    assert!(is_marked(&server).await);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_lock_file_with_the_pid_of_another_program_does_not_keep_it_away() {
    let place = Place::new();
    let server = place.start().await;
    mark(&server).await;
    kill(server.pid(), Signal::KILL);
    let gone = server.pid();
    eventually("the killed server is gone", || !runs(gone)).await;
    drop(server);
    // A stranger of the server's own user: for PostgreSQL alone this is a running server.
    let owner = fs::metadata(place.data()).unwrap();
    let mut stranger = stranger_of(owner.uid(), owner.gid());
    let lock = place.data().join("postmaster.pid");
    let content = fs::read_to_string(&lock).unwrap();
    let (_, rest) = content.split_once('\n').unwrap();
    fs::write(&lock, format!("{}\n{rest}", stranger.id())).unwrap();

    let server = place.start().await;
    assert!(is_marked(&server).await);
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger was left alone"
    );
    assert!(place.data().join("postmaster.pid.stale").exists());
    server.stop().await.unwrap();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

fn stranger_of(uid: u32, gid: u32) -> std::process::Child {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("sleep");
    command.arg("600");
    if rustix::process::geteuid().is_root() {
        command.uid(uid).gid(gid);
    }
    command.spawn().unwrap()
}

#[tokio::test]
async fn what_an_interrupted_initdb_left_is_set_aside_and_made_anew() {
    let place = Place::new();
    // Begun and given up in the middle, as when the controller is killed.
    let directory = place.embedded.directory();
    {
        let start = place.embedded.start();
        tokio::pin!(start);
        let begun = || {
            fs::read_dir(&directory).is_ok_and(|entries| {
                entries.flatten().any(|entry| {
                    entry.file_name().to_string_lossy().starts_with("making-")
                        && entry.path().join("PG_VERSION").exists()
                })
            })
        };
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_millis(1)), if !begun() => {}
                result = &mut start => panic!("it was too fast: {result:?}"),
                () = std::future::ready(()), if begun() => break,
            }
        }
    }
    let left = place.directories("making-");
    assert_eq!(left.len(), 1);
    assert!(!place.data().exists());

    let server = place.start().await;
    assert!(place.directories("making-").is_empty());
    let kept = place.directories("unfinished-");
    assert_eq!(kept.len(), 1);
    assert!(
        kept[0].join("PG_VERSION").exists(),
        "set aside, not emptied"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_damaged_data_directory_is_refused_and_left_alone() {
    let place = Place::new();
    place.start().await.stop().await.unwrap();
    let control = place.data().join("global/pg_control");
    let aside = place.data().join("global/pg_control.aside");
    fs::rename(&control, &aside).unwrap();
    assert!(matches!(
        place.refused().await,
        EmbeddedError::Damaged {
            missing: "global/pg_control",
            ..
        }
    ));
    fs::rename(&aside, &control).unwrap();
    fs::remove_file(place.data().join("PG_VERSION")).unwrap();
    assert!(matches!(
        place.refused().await,
        EmbeddedError::Damaged {
            missing: "PG_VERSION",
            ..
        }
    ));
}

#[tokio::test]
async fn an_empty_catalog_never_takes_the_place_of_a_full_one() {
    let place = Place::new();
    place.start().await.stop().await.unwrap();
    let elsewhere = place.embedded.directory().join("elsewhere");
    fs::rename(place.data(), &elsewhere).unwrap();
    assert!(matches!(place.refused().await, EmbeddedError::Gone { .. }));
    assert!(!place.data().exists());

    // Another cluster in its place.
    let other = Place::new();
    other.start().await.stop().await.unwrap();
    copy_tree(&other.data(), &place.data());
    assert!(matches!(
        place.refused().await,
        EmbeddedError::OtherCluster { .. }
    ));

    fs::remove_dir_all(place.data()).unwrap();
    fs::rename(&elsewhere, place.data()).unwrap();
    place.start().await.stop().await.unwrap();
}

fn copy_tree(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(to)
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn the_data_of_another_major_asks_for_its_package() {
    let place = Place::new();
    place.start().await.stop().await.unwrap();
    fs::write(place.data().join("PG_VERSION"), "11\n").unwrap();
    let error = place.refused().await;
    assert!(matches!(
        error,
        EmbeddedError::Binaries(NoBinaries::OtherMajor { required: 11, .. })
    ));
    assert!(error.to_string().contains("postgresql-11"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_start_shows_the_last_lines_of_its_log() {
    let place = Place::new();
    place.start().await.stop().await.unwrap();
    fs::write(
        place.data().join("postgresql.local.conf"),
        "shared_buffers = lots\n",
    )
    .unwrap();
    let owner = fs::metadata(place.data()).unwrap();
    std::os::unix::fs::chown(
        place.data().join("postgresql.local.conf"),
        Some(owner.uid()),
        Some(owner.gid()),
    )
    .unwrap();
    let error = place.refused().await.to_string();
    assert!(
        error.contains("shared_buffers") && error.contains("server.log"),
        "{error}"
    );
}

#[tokio::test]
async fn a_state_directory_too_long_for_a_socket_works() {
    let directory = tempfile::Builder::new()
        .prefix("holdfast-embedded-")
        .tempdir()
        .unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let state_dir = directory.path().join("long-".repeat(20));
    fs::create_dir(&state_dir).unwrap();
    let place = Place::at(directory, state_dir);
    let server = place.start().await;
    mark(&server).await;
    let mut connection = connect(&server).await;
    let sockets = setting(&mut connection, "unix_socket_directories").await;
    connection.close().await.unwrap();
    server.stop().await.unwrap();
    let server = place.start().await;
    assert!(is_marked(&server).await);
    server.stop().await.unwrap();
    fs::remove_dir_all(sockets.trim_matches('"')).unwrap();
}

#[tokio::test]
async fn an_open_transaction_does_not_keep_it_from_stopping() {
    let place = Place::new();
    let server = place.start().await;
    let mut connection = connect(&server).await;
    sqlx::query("begin").execute(&mut connection).await.unwrap();
    sqlx::query("create table half ()")
        .execute(&mut connection)
        .await
        .unwrap();
    let pid = server.pid();
    tokio::time::timeout(Duration::from_secs(30), server.stop())
        .await
        .unwrap()
        .unwrap();
    assert!(!runs(pid));
}
