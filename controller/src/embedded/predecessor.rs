//! What a killed controller may have left: a server that still runs, or the lock file of one that does not.
//!
//! A server of ours that still runs is stopped and later started again, not adopted: so it is our child,
//! with the settings of this start. It happens while nobody else uses it: the state directory is locked.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;

use super::process;

const ORDERLY: Duration = Duration::from_secs(60);
const IMMEDIATE: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum PredecessorError {
    #[error("cannot {doing} {path:?}, which an earlier PostgreSQL left behind")]
    LockFile {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot stop the PostgreSQL (pid {pid}) that an earlier controller left running")]
    Signal {
        pid: u32,
        #[source]
        source: io::Error,
    },
    #[error(
        "the PostgreSQL (pid {pid}) that an earlier controller left running in {data:?} does not end: \
         look into its log, and end it by hand (kill -QUIT {pid})"
    )]
    Stays { pid: u32, data: PathBuf },
}

/// What the lock file in the data directory says, seen together with the running processes.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// A server of this data directory runs.
    Running(u32),
    /// Its process id belongs to another program now, or to none, or is none at all.
    StaleLock(Option<u32>),
}

/// Leaves the data directory without a running server and without a lock that would keep ours away.
///
/// # Errors
/// When an orphaned server cannot be ended, or a stale lock file cannot be set aside.
pub async fn clear(data: &Path) -> Result<(), PredecessorError> {
    let lock = data.join("postmaster.pid");
    match look(data, &lock)? {
        Left::Nothing => Ok(()),
        Left::Running(pid) => stop(pid, data).await,
        Left::StaleLock(pid) => set_aside(&lock, pid),
    }
}

fn look(data: &Path, lock: &Path) -> Result<Left, PredecessorError> {
    let content = match std::fs::read_to_string(lock) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Nothing),
        Err(source) => {
            return Err(PredecessorError::LockFile {
                doing: "read",
                path: lock.to_owned(),
                source,
            });
        }
    };
    let pid = first_number(&content);
    // The server's own word for where it works has no symbolic links in it.
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    Ok(match pid {
        Some(pid) if process::is_alive(pid) && process::is_postgres_in(pid, &data) => {
            Left::Running(pid)
        }
        pid => Left::StaleLock(pid),
    })
}

/// A server in single-user mode writes its process id with a minus.
fn first_number(content: &str) -> Option<u32> {
    content
        .lines()
        .next()?
        .trim()
        .trim_start_matches('-')
        .parse()
        .ok()
}

/// Where the server listens, as its lock file says once it accepts connections.
pub fn sockets_when_ready(content: &str) -> Option<&str> {
    let lines: Vec<_> = content.lines().map(str::trim).collect();
    match lines.as_slice() {
        [_, _, _, _, sockets, _, _, "ready", ..] if !sockets.is_empty() => Some(sockets),
        _ => None,
    }
}

async fn stop(pid: u32, data: &Path) -> Result<(), PredecessorError> {
    tracing::warn!(pid, data = %data.display(), "an earlier controller left its PostgreSQL running: it is stopped and started again");
    for (signal, patience) in [(Signal::INT, ORDERLY), (Signal::QUIT, IMMEDIATE)] {
        process::signal(pid, signal).map_err(|source| PredecessorError::Signal { pid, source })?;
        if process::wait_gone(pid, patience).await {
            return Ok(());
        }
    }
    Err(PredecessorError::Stays {
        pid,
        data: data.to_owned(),
    })
}

/// PostgreSQL refuses to start when the process id in the file lives, whatever program that is.
fn set_aside(lock: &Path, pid: Option<u32>) -> Result<(), PredecessorError> {
    let aside = lock.with_extension("pid.stale");
    if let Some(pid) = pid.filter(|pid| process::is_alive(*pid)) {
        tracing::warn!(
            pid,
            program = process::name(pid),
            "a stale postmaster.pid names a process of another program: it is set aside"
        );
    } else {
        tracing::info!(
            "the private PostgreSQL did not end in order last time: it recovers as it starts"
        );
    }
    std::fs::rename(lock, &aside).map_err(|source| PredecessorError::LockFile {
        doing: "set aside",
        path: lock.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_of_a_stranger_or_of_nobody_is_stale() {
        let data = tempfile::tempdir().unwrap();
        let lock = data.path().join("postmaster.pid");
        assert_eq!(look(data.path(), &lock).unwrap(), Left::Nothing);
        let me = std::process::id();
        std::fs::write(&lock, format!("{me}\n{}\n", data.path().display())).unwrap();
        assert_eq!(look(data.path(), &lock).unwrap(), Left::StaleLock(Some(me)));
        std::fs::write(&lock, "").unwrap();
        assert_eq!(look(data.path(), &lock).unwrap(), Left::StaleLock(None));
    }

    #[test]
    fn the_sockets_of_a_server_are_known_once_it_is_ready() {
        let starting = "1\n/data\n1700000000\n5432\n/run/x\n\n  1  2\nstarting\n";
        assert_eq!(sockets_when_ready(starting), None);
        let ready = starting.replace("starting\n", "ready   \n");
        assert_eq!(sockets_when_ready(&ready), Some("/run/x"));
    }

    #[tokio::test]
    async fn a_stale_lock_is_kept_aside() {
        let data = tempfile::tempdir().unwrap();
        let lock = data.path().join("postmaster.pid");
        std::fs::write(&lock, format!("{}\n", std::process::id())).unwrap();
        clear(data.path()).await.unwrap();
        assert!(!lock.exists());
        assert!(data.path().join("postmaster.pid.stale").exists());
    }
}
