//! Holds the socket and keeps a process at work on it: one that ends is started anew, one that hangs is ended.
//!
//! The engine's calls wait in the socket's queue meanwhile, so that nothing fails when a guard dies.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use holdfast_chassis::retry::Policy;
use rustix::process::{Signal, kill_process};
use tokio::{
    process::{Child, Command},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{probe, serve};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Looks in a row without an answer, each of [`probe::PATIENCE`].
const MISSES: u32 = 2;
/// After this long a worker counts as one that works.
const SETTLED: Duration = Duration::from_secs(10);
const WORKER_ENDS: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    #[error("a guard answers on {} already: pid {pid}; end it first", .socket.display())]
    Taken { socket: PathBuf, pid: u32 },
    #[error("cannot listen on {}", .socket.display())]
    Listen { socket: PathBuf, source: io::Error },
    #[error("cannot start the process that answers")]
    Worker(#[source] io::Error),
}

/// Works until `shutdown`. The socket's file stays: an engine that loses it altogether does not start.
///
/// # Errors
/// When the socket cannot be had, or no worker can be started at all.
pub async fn run(socket: &Path, shutdown: CancellationToken) -> Result<(), SuperviseError> {
    let listener = listen(socket)?;
    info!(socket = %socket.display(), "the guard listens");
    let policy = Policy::forever(Duration::from_millis(50), Duration::from_secs(5));
    let mut backoff = policy.backoff();
    loop {
        let begun = Instant::now();
        let mut worker = start(&listener).map_err(SuperviseError::Worker)?;
        match watch(&mut worker, socket, &shutdown).await {
            Some(ended) => error!(
                how = ended,
                "the process that answers has ended: it is started anew"
            ),
            None => {
                end(&mut worker).await;
                return Ok(());
            }
        }
        if begun.elapsed() > SETTLED {
            backoff.reset();
        }
        sleep(backoff.next().unwrap_or(Duration::from_secs(5))).await;
    }
}

/// The one that was handed over, or one of our own.
fn listen(socket: &Path) -> Result<UnixListener, SuperviseError> {
    if let Ok(listener) = serve::inherited() {
        return Ok(listener);
    }
    if let Ok(standing) = probe::standing(socket, probe::PATIENCE) {
        return Err(SuperviseError::Taken {
            socket: socket.to_owned(),
            pid: standing.pid,
        });
    }
    bind(socket).map_err(|source| SuperviseError::Listen {
        socket: socket.to_owned(),
        source,
    })
}

/// In the place of one that nobody answers on, without a moment in which there is none.
fn bind(socket: &Path) -> io::Result<UnixListener> {
    let folder = socket.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut beside = socket.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
    fs::rename(&beside, socket)?;
    Ok(listener)
}

/// With the same arguments, but as the one that answers.
fn start(listener: &UnixListener) -> io::Result<Child> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "holdfast-agent".into());
    let arguments = arguments.map(|argument| match argument.to_str() {
        Some("serve") => "work".into(),
        _ => argument,
    });
    // Of this very program, also when its file was replaced.
    Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)))
        .spawn()
}

/// How it has ended; none: it shall.
async fn watch(worker: &mut Child, socket: &Path, shutdown: &CancellationToken) -> Option<String> {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut misses = 0;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return None,
            ended = worker.wait() => return Some(told(ended)),
            _ = look.tick() => {}
        }
        let socket = socket.to_owned();
        let probed = spawn_blocking(move || probe::standing(&socket, probe::PATIENCE));
        let probed = tokio::select! {
            () = shutdown.cancelled() => return None,
            ended = worker.wait() => return Some(told(ended)),
            probed = probed => probed,
        };
        match probed {
            Ok(Ok(_)) => misses = 0,
            Ok(Err(error)) => {
                misses += 1;
                warn!(%error, misses, "the process that answers does not");
            }
            Err(_) => {}
        }
        if misses >= MISSES {
            error!("the process that answers hangs: it is ended");
            let _ = worker.start_kill();
            misses = 0;
        }
    }
}

fn told(ended: io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}

async fn end(worker: &mut Child) {
    let pid = worker.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(WORKER_ENDS, worker.wait()).await.is_err() {
        let _ = worker.kill().await;
    }
}
