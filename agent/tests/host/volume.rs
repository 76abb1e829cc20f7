//! Volumes of a real engine: into a repository and back, exchanged, and refused while somebody writes to them.
//!
//! Needs Docker on its usual socket, root, and the image `holdfast-test/postgres:15`.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::observed::{Started, docker, said};
use crate::support::context;
use holdfast_agent::{
    observe::instances::Instances,
    task::{Context, perform},
    volume::place::LABEL,
};
use holdfast_proto::task::{
    BackUpVolume, BackedUpVolume, DescribeVolume, FailureKind, HoldContainers, ReleaseContainers,
    RemoveSandbox, RemoveVolume, RemovedSandbox, RepositoryRef, RestoreVolume, RestoredVolume,
    SwapVolume, TaskFailure, TaskResult, TaskSpec, VolumeFacts,
};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, lsetxattr, mknodat};

const IMAGE: &str = "holdfast-test/postgres:15";
/// Ends at once when it is told to, so that no test waits for the engine to kill it.
const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

/// A volume of this test, removed at the end with those that were made from it.
struct Own {
    name: String,
    path: PathBuf,
    context: Context,
    _state: tempfile::TempDir,
}

impl Own {
    fn new(word: &str) -> Self {
        let name = format!("volume-{word}-{}", std::process::id());
        said(&["volume", "create", "--label", "com.example.shop=1", &name]);
        let state = tempfile::tempdir().expect("a directory");
        Self {
            path: mountpoint(&name),
            name,
            context: context(Instances::default(), state.path()),
            _state: state,
        }
    }

    fn container(&self, word: &str, mount: &str) -> Started {
        let mount = format!("{}{mount}", self.name);
        let options = ["-v", &mount, "--entrypoint", "sh"];
        Started::run(word, &options, IMAGE, &["-c", IDLE])
    }

    fn other(&self) -> String {
        format!("{}-other", self.name)
    }

    async fn perform(&self, spec: TaskSpec) -> Result<TaskResult, TaskFailure> {
        perform(spec, &self.context).await
    }

    async fn back_up(&self) -> Result<BackedUpVolume, TaskFailure> {
        let spec = TaskSpec::BackUpVolume(BackUpVolume {
            volume: self.name.clone(),
            repository: repository(),
            tags: vec!["job-1".to_owned()],
        });
        match self.perform(spec).await? {
            TaskResult::BackedUpVolume(done) => Ok(done),
            other => panic!("{other:?}"),
        }
    }

    async fn restore(&self, snapshot: &str, job: u64) -> Result<RestoredVolume, TaskFailure> {
        self.restore_as(snapshot, job, false).await
    }

    async fn restore_as(
        &self,
        snapshot: &str,
        job: u64,
        throwaway: bool,
    ) -> Result<RestoredVolume, TaskFailure> {
        let spec = TaskSpec::RestoreVolume(RestoreVolume {
            volume: self.other(),
            job,
            repository: repository(),
            snapshot: snapshot.to_owned(),
            throwaway,
        });
        match self.perform(spec).await? {
            TaskResult::RestoredVolume(done) => Ok(done),
            other => panic!("{other:?}"),
        }
    }

    async fn describe(&self) -> VolumeFacts {
        let volume = self.name.clone();
        let spec = TaskSpec::DescribeVolume(DescribeVolume { volume });
        match self.perform(spec).await {
            Ok(TaskResult::VolumeFacts(facts)) => facts,
            other => panic!("{other:?}"),
        }
    }

    async fn hold(&self, job: u64) -> Result<Vec<String>, TaskFailure> {
        let spec = HoldContainers {
            volume: self.name.clone(),
            job,
            stop: Vec::new(),
            start: Vec::new(),
        };
        self.held(spec).await
    }

    /// Stopped by name, in this order, and started in the other one.
    async fn hold_named(&self, names: &[&str], job: u64) -> Result<Vec<String>, TaskFailure> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let spec = HoldContainers {
            volume: String::new(),
            job,
            start: names.iter().rev().cloned().collect(),
            stop: names,
        };
        self.held(spec).await
    }

    async fn held(&self, spec: HoldContainers) -> Result<Vec<String>, TaskFailure> {
        match self.perform(TaskSpec::HoldContainers(spec)).await? {
            TaskResult::HeldContainers(held) => Ok(held.stopped),
            other => panic!("{other:?}"),
        }
    }

    async fn release(&self, job: u64) -> Vec<String> {
        match self
            .perform(TaskSpec::ReleaseContainers(ReleaseContainers { job }))
            .await
        {
            Ok(TaskResult::ReleasedContainers(released)) => released.started,
            other => panic!("{other:?}"),
        }
    }

    async fn swap(&self, root: u64, back: bool) -> Result<bool, TaskFailure> {
        let spec = TaskSpec::SwapVolume(SwapVolume {
            volume: self.name.clone(),
            other: self.other(),
            root,
            back,
        });
        match self.perform(spec).await? {
            TaskResult::SwappedVolume(swapped) => Ok(swapped.changed),
            other => panic!("{other:?}"),
        }
    }

    async fn remove(&self, volume: &str, job: u64) -> Result<bool, TaskFailure> {
        let volume = volume.to_owned();
        match self
            .perform(TaskSpec::RemoveVolume(RemoveVolume { volume, job }))
            .await?
        {
            TaskResult::RemovedVolume(removed) => Ok(removed.existed),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = docker(&["volume", "rm", "-f", &self.name, &self.other()]);
    }
}

fn repository() -> RepositoryRef {
    RepositoryRef {
        host: "web-1".to_owned(),
        job: 0,
    }
}

fn mountpoint(volume: &str) -> PathBuf {
    said(&["volume", "inspect", "-f", "{{.Mountpoint}}", volume]).into()
}

fn running(container: &Started) -> bool {
    container.inspect("{{.State.Running}}") == "true"
}

/// Everything that a file system holds, with owners, modes and times that nothing has by itself.
fn fill(path: &Path) {
    fs::create_dir_all(path.join("a/deep")).expect("folders");
    fs::write(path.join("a/deep/text"), "hello").expect("a file");
    fs::write(path.join("empty"), "").expect("a file");
    fs::hard_link(path.join("a/deep/text"), path.join("second name")).expect("a link");
    symlink("../../etc/passwd", path.join("a/link")).expect("a link");
    mknodat(CWD, path.join("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
    let device = rustix::fs::makedev(1, 3);
    mknodat(
        CWD,
        path.join("null"),
        FileType::CharacterDevice,
        Mode::RUSR,
        device,
    )
    .expect("a device");
    let sparse = fs::File::create(path.join("sparse")).expect("a file");
    sparse.set_len(64 << 20).expect("a hole");
    std::os::unix::fs::FileExt::write_at(&sparse, b"end", (64 << 20) - 3).expect("an end");
    let odd = std::os::unix::ffi::OsStringExt::from_vec(b"odd \xff\\x".to_vec());
    let odd: std::ffi::OsString = odd;
    fs::write(path.join(odd), "odd").expect("a file");
    lsetxattr(
        path.join("a/deep/text"),
        "user.note",
        b"\x00kept",
        XattrFlags::empty(),
    )
    .expect("an attribute");
    chown(path.join("a"), Some(999), Some(998)).expect("an owner");
    std::os::unix::fs::lchown(path.join("a/link"), Some(33), Some(33)).expect("an owner");
    let mode = |file: &str, mode| {
        fs::set_permissions(path.join(file), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode("a", 0o2770);
    mode("empty", 0o4711);
    mode("a/deep", 0o500);
    let then = std::time::UNIX_EPOCH + std::time::Duration::new(1_600_000_000, 123_456_789);
    let text = fs::File::open(path.join("a/deep/text")).expect("opened");
    text.set_modified(then).expect("a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_file_comes_back_as_it_was() {
    let own = Own::new("every");
    fill(&own.path);
    let _socket = std::os::unix::net::UnixListener::bind(own.path.join("s.sock")).expect("bound");
    let stored = own.back_up().await.expect("a backup");
    let image = &stored.image;
    assert_eq!(
        (image.files, image.folders, image.others),
        (5, 2, 3),
        "{image:?}"
    );
    assert_eq!(image.bytes, (64 << 20) + 5 + 3);
    assert_eq!(image.left_out, ["s.sock"]);
    assert!(
        stored.added_bytes < 1 << 20,
        "zeros cost nothing: {stored:?}"
    );

    let restored = own.restore(&stored.snapshot, 7).await.expect("a restore");
    assert_eq!(restored.fingerprint, image.fingerprint);
    assert_eq!(restored.image, *image);
    let path = mountpoint(&own.other());
    let of = |name: &str| fs::symlink_metadata(path.join(name)).expect("there");
    assert_eq!(of("").ino(), restored.root);
    assert_eq!(fs::read(path.join("a/deep/text")).expect("read"), b"hello");
    assert_eq!(of("second name").ino(), of("a/deep/text").ino());
    assert_eq!(
        fs::read_link(path.join("a/link")).expect("a link"),
        Path::new("../../etc/passwd")
    );
    assert_eq!(
        (of("a/link").uid(), of("a").uid(), of("a").gid()),
        (33, 999, 998)
    );
    assert_eq!(
        (of("a").mode() & 0o7777, of("empty").mode() & 0o7777),
        (0o2770, 0o4711)
    );
    let time = (of("a/deep/text").mtime(), of("a/deep/text").mtime_nsec());
    assert_eq!(time, (1_600_000_000, 123_456_789));
    assert!(of("pipe").file_type().is_fifo());
    assert_eq!(of("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(of("sparse").blocks() * 512 < 1 << 20, "its hole is a hole");
    let mut note = [0; 16];
    let length = lgetxattr(path.join("a/deep/text"), "user.note", &mut note).expect("kept");
    assert_eq!(&note[..length], b"\x00kept");
    assert!(fs::symlink_metadata(path.join("s.sock")).is_err());

    // Under another name it is nobody's of compose; the job's label is on it.
    let labels = said(&["volume", "inspect", "-f", "{{json .Labels}}", &own.other()]);
    assert_eq!(labels, format!("{{\"{LABEL}\":\"7\"}}"));
    // Again by the same job: from the beginning. By another one: refused.
    own.restore(&stored.snapshot, 7).await.expect("again");
    let foreign = own.restore(&stored.snapshot, 8).await.expect_err("job 7's");
    assert_eq!(foreign.kind, FailureKind::Conflict);
    // That of a rebuild goes with the throwaway servers of its job, by one verb.
    let stands = || {
        docker(&["volume", "inspect", &own.other()])
            .status
            .success()
    };
    let made = own.restore_as(&stored.snapshot, 7, true).await;
    assert_eq!(made.expect("made anew").fingerprint, image.fingerprint);
    assert!(stands());
    let all = TaskSpec::RemoveSandbox(RemoveSandbox { job: 7 });
    let removed = own.perform(all).await;
    let existed = TaskResult::RemovedSandbox(RemovedSandbox { existed: true });
    assert_eq!(removed, Ok(existed));
    assert!(!stands());

    // What did not change costs nothing but the snapshot.
    let again = own.back_up().await.expect("a second backup");
    assert_eq!(again.image.fingerprint, image.fingerprint);
    assert!(again.added_bytes < 4_000, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_read_while_a_container_may_write_and_the_containers_run_again() {
    let own = Own::new("live");
    fs::write(own.path.join("file"), "1").expect("a file");
    let reader = own.container("reader", ":/data:ro");
    assert!(own.back_up().await.is_ok(), "nobody can write");
    let writer = own.container("writer", ":/data");
    let refused = own.back_up().await.expect_err("it is written to");
    assert_eq!(refused.kind, FailureKind::Conflict);
    assert!(refused.advice.contains("--stop"), "{refused:?}");
    let facts = own.describe().await;
    let users: Vec<_> = facts
        .users
        .iter()
        .map(|user| (user.running, user.writable))
        .collect();
    assert_eq!(users, [(true, false), (true, true)]);

    // The youngest first; twice is once.
    let stopped = own.hold(7).await.expect("stopped");
    assert_eq!(stopped, [reader.0.clone(), writer.0.clone()]);
    assert!(!running(&reader) && !running(&writer));
    assert_eq!(own.hold(7).await.expect("again"), stopped);
    own.back_up().await.expect("nobody runs");
    assert_eq!(own.release(8).await, Vec::<String>::new(), "another job's");
    assert!(!running(&writer));
    assert_eq!(own.release(7).await, stopped);
    assert!(running(&reader) && running(&writer));
    assert_eq!(own.release(7).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_stopped_and_started_in_the_order_that_is_named() {
    let own = Own::new("named");
    let (web, worker) = (own.container("web", ""), own.container("worker", ""));
    let ended = own.container("ended", "");
    said(&["stop", "-t", "0", &ended.0]);
    let names = [&web.0, &worker.0, &ended.0, "nobody"];
    let listed = own.hold_named(&names, 7).await.unwrap();
    assert_eq!(listed, [&*worker.0, &web.0], "as they are started again");
    assert!(!running(&web) && !running(&worker));
    let at = |container: &Started, what: &str| container.inspect(&format!("{{{{.State.{what}}}}}"));
    assert!(at(&web, "FinishedAt") < at(&worker, "FinishedAt"));
    // Who asks again, after a crash, loses nobody.
    assert_eq!(own.hold_named(&names, 7).await.unwrap(), listed);
    assert_eq!(own.release(8).await, [""; 0]);
    assert_eq!(own.release(7).await, listed);
    assert!(running(&web) && running(&worker) && !running(&ended));
    assert!(at(&worker, "StartedAt") < at(&web, "StartedAt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_would_be_gone_is_not_stopped() {
    let own = Own::new("vanishing");
    let mount = format!("{}:/data", own.name);
    let options = ["--rm", "-v", &mount, "--entrypoint", "sh"];
    let vanishing = Started::run("vanishing", &options, IMAGE, &["-c", IDLE]);
    let refused = own.hold(7).await.expect_err("it would be gone");
    assert!(refused.message.contains("--rm"), "{refused:?}");
    assert!(running(&vanishing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_never_read_beside_a_container_that_runs() {
    let own = Own::new("database");
    fs::create_dir(own.path.join("global")).expect("a folder");
    fs::write(own.path.join("PG_VERSION"), "16\n").expect("a file");
    fs::write(own.path.join("global/pg_control"), "x").expect("a file");
    assert_eq!(own.describe().await.databases, ["PostgreSQL 16"]);
    let reader = own.container("dbreader", ":/data:ro");
    let refused = own.back_up().await.expect_err("a server's files");
    assert!(
        refused
            .advice
            .contains("ctl backup create HOST/INSTANCE/DATABASE"),
        "{refused:?}"
    );
    drop(reader);
    let stored = own.back_up().await.expect("nobody runs");
    assert_eq!(stored.image.databases, ["PostgreSQL 16"]);
}

/// Nothing that a container shows: a process of the host.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_it_is_read_fails_it_and_leaves_no_backup() {
    let own = Own::new("changing");
    fs::write(own.path.join("file"), "1").expect("a file");
    let (stop, path) = (Arc::new(AtomicBool::new(false)), own.path.join("file"));
    let until = Arc::clone(&stop);
    let writing = std::thread::spawn(move || {
        let mut number = 0;
        while !until.load(Ordering::Relaxed) {
            fs::write(&path, format!("{number}")).expect("written");
            number += 1;
        }
    });
    let refused = own.back_up().await.expect_err("it changes");
    stop.store(true, Ordering::Relaxed);
    writing.join().expect("it ended");
    assert_eq!(refused.kind, FailureKind::Conflict);
    assert!(refused.message.contains("while it was read"), "{refused:?}");
    own.back_up().await.expect("it changes no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_restored_is_exchanged_and_given_back() {
    let own = Own::new("swapped");
    let file = own.path.join("file");
    fs::write(&file, "then").expect("a file");
    let stored = own.back_up().await.expect("a backup");
    fs::write(&file, "now").expect("a file");
    let restored = own.restore(&stored.snapshot, 7).await.expect("a restore");
    let container = own.container("swapper", ":/data");
    let refused = own.swap(restored.root, false).await.expect_err("it runs");
    assert_eq!(refused.kind, FailureKind::Conflict);
    assert_eq!(fs::read_to_string(&file).expect("read"), "now");
    own.hold(7).await.expect("stopped");
    assert!(own.swap(restored.root, false).await.expect("exchanged"));
    assert!(!own.swap(restored.root, false).await.expect("done before"));
    own.release(7).await;
    assert_eq!(container.exec(&["cat", "/data/file"]), "then");
    let kept = mountpoint(&own.other()).join("file");
    assert_eq!(fs::read_to_string(kept).expect("kept"), "now");
    own.hold(7).await.expect("stopped");
    assert!(own.swap(restored.root, true).await.expect("back"));
    own.release(7).await;
    assert_eq!(container.exec(&["cat", "/data/file"]), "now");

    // Only what the job has made for itself is removed.
    assert!(own.remove(&own.name, 7).await.is_err());
    assert!(own.remove(&own.other(), 8).await.is_err());
    assert!(own.remove(&own.other(), 7).await.expect("its own"));
    assert!(!own.remove(&own.other(), 7).await.expect("gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_whose_files_come_from_elsewhere_is_refused() {
    let own = Own::new("plain");
    let mounted = format!("{}-tmpfs", own.name);
    let options = ["--opt", "type=tmpfs", "--opt", "device=tmpfs"];
    let create = [&["volume", "create"], &options[..], &[&mounted[..]]].concat();
    said(&create);
    let spec = TaskSpec::BackUpVolume(BackUpVolume {
        volume: mounted.clone(),
        repository: repository(),
        tags: vec![],
    });
    let refused = own.perform(spec).await.expect_err("it is not mounted");
    said(&["volume", "rm", &mounted]);
    assert!(refused.message.contains("it has options"), "{refused:?}");
}
