//! The server process: started as our child, waited for, stopped.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};
use tokio::process::{Child, Command};

use super::{Binaries, Owner, process};

/// Recovery after a crash is part of it.
const START: Duration = Duration::from_secs(180);
const ORDERLY: Duration = Duration::from_secs(60);
const IMMEDIATE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(30);
/// An older log is kept as `server.log.1`.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;
const LINES_SHOWN: usize = 20;

/// A running `postgres`, our child.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pid: u32,
    log: Log,
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot open {path:?}, the log of the private PostgreSQL")]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start {program:?} as the private PostgreSQL")]
    Spawn {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the private PostgreSQL ended as it started ({status}); the last lines of {log:?}:\n{lines}"
    )]
    EndedAtStart {
        status: ExitStatus,
        log: PathBuf,
        lines: String,
    },
    #[error("the private PostgreSQL did not answer within {} s; the last lines of {log:?}:\n{lines}", START.as_secs())]
    NoAnswer {
        log: PathBuf,
        lines: String,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the private PostgreSQL ended by itself ({status}); the last lines of {log:?}:\n{lines}"
    )]
    Ended {
        status: String,
        log: PathBuf,
        lines: String,
    },
    #[error("cannot watch or stop the private PostgreSQL (pid {pid})")]
    Process {
        pid: u32,
        #[source]
        source: io::Error,
    },
    #[error(
        "the private PostgreSQL (pid {pid}) does not end: look into {log:?}, and end it by hand (kill -QUIT {pid})"
    )]
    Stays { pid: u32, log: PathBuf },
}

/// The server's log file, and where this start begins in it.
#[derive(Debug, Clone)]
struct Log {
    path: PathBuf,
    from: u64,
}

impl Server {
    /// # Errors
    /// When it ends at once or does not answer in time: with the last lines of its log.
    pub async fn start(
        binaries: &Binaries,
        data: &Path,
        directory: &Path,
        owner: &Owner,
        options: &PgConnectOptions,
    ) -> Result<Self, ServerError> {
        let until = Instant::now() + START;
        loop {
            let mut server = Self::spawn(binaries, data, directory, owner)?;
            match server.wait_ready(options, until).await {
                // Backends of a server that was killed need a moment to notice.
                Err(ServerError::EndedAtStart { lines, .. })
                    if lines.contains("shared memory block") && Instant::now() < until =>
                {
                    tracing::info!(
                        "processes of an earlier PostgreSQL are still ending: trying again"
                    );
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => {
                    server.abandon().await;
                    return Err(error);
                }
                Ok(()) => return Ok(server),
            }
        }
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub async fn exited(&mut self) -> ServerError {
        match self.child.wait().await {
            Ok(status) => ServerError::Ended {
                status: status.to_string(),
                log: self.log.path.clone(),
                lines: self.log.last_lines(),
            },
            Err(source) => ServerError::Process {
                pid: self.pid,
                source,
            },
        }
    }

    /// # Errors
    /// When it outlives an orderly and an immediate stop.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        let failed = |source| ServerError::Process {
            pid: self.pid,
            source,
        };
        for (signal, patience) in [(Signal::INT, ORDERLY), (Signal::QUIT, IMMEDIATE)] {
            if self.child.try_wait().map_err(failed)?.is_some() {
                return Ok(());
            }
            process::signal(self.pid, signal).map_err(failed)?;
            if let Ok(ended) = tokio::time::timeout(patience, self.child.wait()).await {
                ended.map_err(failed)?;
                return Ok(());
            }
            tracing::warn!(
                pid = self.pid,
                "the private PostgreSQL does not end in time"
            );
        }
        Err(ServerError::Stays {
            pid: self.pid,
            log: self.log.path,
        })
    }

    fn spawn(
        binaries: &Binaries,
        data: &Path,
        directory: &Path,
        owner: &Owner,
    ) -> Result<Self, ServerError> {
        let program = binaries.postgres();
        let failed = |source| ServerError::Spawn {
            program: program.clone(),
            source,
        };
        let (log, file) = Log::open(directory.join("server.log"))?;
        let mut command = Command::from(owner.command(&program, data));
        command
            .arg("-D")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed)?)
            .stderr(file)
            // Ctrl-C at a terminal is for the controller, which stops the server last.
            .process_group(0);
        let child = command.spawn().map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        Ok(Self { child, pid, log })
    }

    async fn wait_ready(
        &mut self,
        options: &PgConnectOptions,
        until: Instant,
    ) -> Result<(), ServerError> {
        loop {
            let ended = self
                .child
                .try_wait()
                .map_err(|source| ServerError::Process {
                    pid: self.pid,
                    source,
                })?;
            if let Some(status) = ended {
                return Err(ServerError::EndedAtStart {
                    status,
                    log: self.log.path.clone(),
                    lines: self.log.last_lines(),
                });
            }
            match options.connect().await {
                Ok(connection) => {
                    if let Err(error) = connection.close().await {
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "the first connection did not close in order"
                        );
                    }
                    return Ok(());
                }
                Err(source) if Instant::now() > until => {
                    return Err(ServerError::NoAnswer {
                        log: self.log.path.clone(),
                        lines: self.log.last_lines(),
                        source,
                    });
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// After a failed start there is already an error to tell.
    async fn abandon(self) {
        if let Err(error) = self.stop().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the private PostgreSQL that did not start does not end either"
            );
        }
    }
}

impl Log {
    fn open(path: PathBuf) -> Result<(Self, File), ServerError> {
        let failed = |source| ServerError::Log {
            path: path.clone(),
            source,
        };
        let length = std::fs::metadata(&path).map_or(0, |found| found.len());
        if length > LOG_LIMIT {
            std::fs::rename(&path, path.with_extension("log.1")).map_err(failed)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&path)
            .map_err(failed)?;
        let from = file.metadata().map_err(failed)?.len();
        Ok((Self { path, from }, file))
    }

    /// Of this start; a log that cannot be read must not hide why it was wanted.
    fn last_lines(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(
                self.from.max(length.saturating_sub(64 * 1024)),
            ))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        match read() {
            Ok(text) => last_lines(&text, LINES_SHOWN),
            Err(error) => format!("(the log cannot be read: {error})"),
        }
    }
}

pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_shown() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
        assert_eq!(last_lines("", 2), "");
    }
}
