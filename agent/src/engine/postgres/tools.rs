//! pg_dump and pg_restore: inside the server's own container, or those of this host.
//!
//! They must fit the server's version, and the container's do. A server that is not in a
//! container is served by the oldest of this host's versions that is not older than it is.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use bytes::Bytes;
use holdfast_proto::task::{FailureKind, TaskFailure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};

use super::{
    failure::failure,
    route::{Route, Target},
};
use crate::{
    container::{
        ContainerEngine,
        exec::{Command as Exec, Running},
    },
    observe::instances::Located,
};

/// Of the tool's messages this much is kept, from the end.
const STDERR_KEPT: usize = 16 << 10;
const CHUNK: usize = 64 << 10;

/// One process, which is the tool. `$1` is the major version, the rest the command.
const PLAIN: &str =
    r#"PATH="/usr/lib/postgresql/$1/bin:/usr/pgsql-$1/bin:$PATH"; shift; exec "$@""#;
/// The tool tied to our connection: its end (when we are killed, say) ends the tool.
///
/// In most containers the postmaster is process 1 and inherits orphans. One that died of a signal it takes
/// for a crashed backend, and restarts the whole server. So nothing here may outlive the shell: it waits for both
/// its children, whatever happens.
const TIED: &str = r#"PATH="/usr/lib/postgresql/$1/bin:/usr/pgsql-$1/bin:$PATH"; shift
exec 3<&0
"$@" </dev/null 3<&- & tool=$!
trap 'kill "$tool" 2>/dev/null' TERM HUP INT
( trap 'exit 0' TERM; while read -r _ <&3; do :; done; kill "$tool" ) 2>/dev/null >&2 & watch=$!
while :; do wait "$tool"; code=$?; kill -0 "$tool" 2>/dev/null || break; done
while kill "$watch" 2>/dev/null; do wait "$watch"; done
exit "$code""#;

/// A tool that runs. Dropping it kills it.
pub struct Tool {
    name: String,
    process: Process,
}

enum Process {
    Inside(Running),
    Here {
        child: Child,
        stdin: Option<ChildStdin>,
        stdout: Option<ChildStdout>,
        stderr: JoinHandle<Vec<u8>>,
    },
}

/// Where tools run and how they reach the server.
pub struct Toolbox<'a> {
    pub located: &'a Located,
    pub containers: &'a ContainerEngine,
    /// server_version_num of the server.
    pub version_num: u32,
    pub application: &'a str,
}

impl Toolbox<'_> {
    /// Starts pg_dump; its archive is what [`Tool::read`] gives.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn dump(&self, database: &str, arguments: &[String]) -> Result<Tool, TaskFailure> {
        let mut command = vec!["pg_dump".to_owned(), "-d".to_owned(), conninfo(database)];
        command.extend_from_slice(arguments);
        self.start(command, TIED).await
    }

    /// Starts pg_restore into a database; the archive is written by [`Tool::write`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn restore(&self, database: &str, arguments: &[String]) -> Result<Tool, TaskFailure> {
        let mut command = vec!["pg_restore".to_owned(), "-d".to_owned(), conninfo(database)];
        command.extend_from_slice(arguments);
        self.start(command, PLAIN).await
    }

    /// The version line of a tool, such as "pg_dump (PostgreSQL) 17.6", and where it runs.
    ///
    /// # Errors
    /// When there is none.
    pub async fn version(&self, tool: &str) -> Result<String, TaskFailure> {
        let command = vec![tool.to_owned(), "--version".to_owned()];
        let mut running = self.start(command, PLAIN).await?;
        let mut text = Vec::new();
        while let Some(bytes) = running.read().await? {
            text.extend_from_slice(&bytes);
        }
        running.end().await?;
        let place = match &self.located.container {
            Some(container) => format!("in container {}", container.name),
            None => "on the host".to_owned(),
        };
        Ok(format!("{} {place}", String::from_utf8_lossy(&text).trim()))
    }

    async fn start(&self, command: Vec<String>, script: &str) -> Result<Tool, TaskFailure> {
        let name = command.first().cloned().unwrap_or_default();
        let process = match &self.located.container {
            Some(container) => {
                let mut words = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
                words.push("tool".to_owned());
                words.push((self.version_num / 10_000).to_string());
                words.extend(command);
                let exec = Exec {
                    container: container.id.clone(),
                    command: words,
                    env: self.environment(true),
                    user: self.user_inside(),
                };
                let running = self.containers.exec(exec).await.map_err(|error| {
                    failure(
                        FailureKind::Unavailable,
                        format!("starting {name} in container {}: {error}", container.name),
                        "see that the container runs and its engine answers",
                    )
                })?;
                Process::Inside(running)
            }
            None => self.start_here(&name, &command)?,
        };
        let name = match &self.located.container {
            Some(container) => format!("{name} in container {}", container.name),
            None => format!("{name} for {}", self.located.name),
        };
        Ok(Tool { name, process })
    }

    fn start_here(&self, name: &str, command: &[String]) -> Result<Process, TaskFailure> {
        let major = self.version_num / 10_000;
        let program = find_program(name, major).ok_or_else(|| {
            failure(
                FailureKind::Invalid,
                format!("there is no {name} of version {major} or newer on this host"),
                format!("install it: apt-get install postgresql-client-{major}"),
            )
        })?;
        let mut here = Command::new(&program);
        here.args(&command[1..])
            .envs(self.environment(false))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let (Target::Unix(socket), true) = (
            &self.located.route.target,
            rustix::process::geteuid().is_root(),
        ) && let Some(owner) = socket.owner
        {
            here.uid(owner);
        }
        let mut child = here.spawn().map_err(|error| {
            failure(
                FailureKind::Unavailable,
                format!("starting {}: {error}", program.display()),
                "",
            )
        })?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut errors = child.stderr.take();
        let stderr = tokio::spawn(async move {
            let mut kept = Vec::new();
            let mut chunk = vec![0; 4096];
            while let Some(stderr) = &mut errors {
                match stderr.read(&mut chunk).await {
                    Ok(count) if count > 0 => kept.extend_from_slice(&chunk[..count]),
                    _ => break,
                }
                let surplus = kept.len().saturating_sub(STDERR_KEPT);
                kept.drain(..surplus);
            }
            kept
        });
        Ok(Process::Here {
            child,
            stdin,
            stdout,
            stderr,
        })
    }

    fn environment(&self, inside: bool) -> Vec<(String, String)> {
        let route = &self.located.route;
        let (host, port) = address(route, self.located, inside);
        let mut environment = vec![
            ("PGHOST", host),
            ("PGPORT", port.to_string()),
            ("PGUSER", route.user.clone()),
            ("PGAPPNAME", self.application.to_owned()),
            ("PGCONNECT_TIMEOUT", "15".to_owned()),
            ("PGOPTIONS", self.options()),
            ("PGCLIENTENCODING", "UTF8".to_owned()),
            ("LC_MESSAGES", "C".to_owned()),
        ];
        if let Some(password) = &route.password {
            environment.push(("PGPASSWORD", password.expose().to_owned()));
        }
        if matches!(route.target, Target::Tcp(_)) {
            let mode = match route.tls {
                holdfast_proto::link::TlsMode::Disable => "disable",
                holdfast_proto::link::TlsMode::Prefer => "prefer",
                holdfast_proto::link::TlsMode::Require => "require",
            };
            environment.push(("PGSSLMODE", mode.to_owned()));
        }
        environment
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Settings of the tool's session, as far as the server knows them.
    fn options(&self) -> String {
        let mut options = "-c statement_timeout=0 -c lock_timeout=0 \
             -c idle_in_transaction_session_timeout=0 -c synchronous_commit=off \
             -c default_transaction_read_only=off"
            .to_owned();
        if self.version_num >= 140_000 {
            options.push_str(" -c client_connection_check_interval=2s");
        }
        options
    }

    /// Over the socket we may have to be the server's own user (`peer`).
    fn user_inside(&self) -> String {
        match &self.located.route.target {
            Target::Unix(socket) => socket.owner.map(|uid| uid.to_string()).unwrap_or_default(),
            Target::Tcp(_) => String::new(),
        }
    }
}

impl Tool {
    /// The next bytes of its output; none at the end.
    ///
    /// # Errors
    /// When the pipe breaks.
    pub async fn read(&mut self) -> Result<Option<Bytes>, TaskFailure> {
        match &mut self.process {
            Process::Inside(running) => Ok(running.stdout.recv().await),
            Process::Here { stdout, .. } => {
                let Some(stdout) = stdout else {
                    return Ok(None);
                };
                let mut chunk = vec![0; CHUNK];
                let count = stdout
                    .read(&mut chunk)
                    .await
                    .map_err(|error| broken(&self.name, &error))?;
                chunk.truncate(count);
                Ok((count > 0).then(|| Bytes::from(chunk)))
            }
        }
    }

    /// Feeds its input. A tool that has ended early does not read: [`Tool::end`] tells why.
    ///
    /// # Errors
    /// When the pipe breaks.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), TaskFailure> {
        let written = match &mut self.process {
            Process::Inside(running) => match &mut running.stdin {
                Some(stdin) => stdin.write_all(bytes).await,
                None => Ok(()),
            },
            Process::Here { stdin, .. } => match stdin {
                Some(stdin) => stdin.write_all(bytes).await,
                None => Ok(()),
            },
        };
        written.map_err(|error| broken(&self.name, &error))
    }

    /// Waits for its end; gives its messages.
    ///
    /// # Errors
    /// When it did not succeed, with its last words.
    pub async fn end(self) -> Result<String, TaskFailure> {
        let (code, stderr) = match self.process {
            Process::Inside(mut running) => {
                if let Some(stdin) = running.stdin.take() {
                    // One that has ended already took what it wanted.
                    let _ = stdin.close().await;
                }
                let ended = running.end().await.map_err(|error| {
                    failure(
                        FailureKind::Unavailable,
                        format!("waiting for the end of {}: {error}", self.name),
                        "",
                    )
                })?;
                (Some(ended.code), ended.stderr)
            }
            Process::Here {
                mut child,
                stdin,
                stdout,
                stderr,
            } => {
                drop((stdin, stdout));
                let status = child
                    .wait()
                    .await
                    .map_err(|error| broken(&self.name, &error))?;
                let stderr = stderr.await.unwrap_or_default();
                (
                    status.code().map(i64::from),
                    String::from_utf8_lossy(&stderr).into_owned(),
                )
            }
        };
        match code {
            Some(0) => Ok(stderr),
            code => Err(ended_badly(&self.name, code, &stderr)),
        }
    }
}

fn ended_badly(name: &str, code: Option<i64>, stderr: &str) -> TaskFailure {
    let words = stderr
        .lines()
        .find(|line| line.contains("error:") || line.contains("FATAL:"))
        .or_else(|| stderr.lines().rfind(|line| !line.trim().is_empty()))
        .unwrap_or("it said nothing");
    let (kind, advice) = match code {
        // A shell that finds no program says so.
        Some(126 | 127) if stderr.trim().is_empty() => (
            FailureKind::Unavailable,
            "its container was stopped or removed: see `ctl container list`",
        ),
        Some(126 | 127) => (
            FailureKind::Invalid,
            "the server's container must hold the client programs of its version",
        ),
        _ if words.contains("No space left") => (
            FailureKind::Exhausted,
            "free space on the server's disk, then try again",
        ),
        _ if words.contains("server closed the connection")
            || words.contains("connection to server")
            || words.contains("terminating connection") =>
        {
            (FailureKind::Unavailable, "see whether the server is up")
        }
        _ => (FailureKind::Invalid, ""),
    };
    let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
    failure(kind, format!("{name} ended with {code}: {words}"), advice)
}

fn broken(name: &str, error: &std::io::Error) -> TaskFailure {
    failure(
        FailureKind::Unavailable,
        format!("the pipe to {name} broke: {error}"),
        "",
    )
}

fn address(route: &Route, located: &Located, inside: bool) -> (String, u16) {
    match &route.target {
        Target::Unix(socket) if !inside => {
            (socket.directory.to_string_lossy().into_owned(), route.port)
        }
        Target::Unix(socket) => {
            let directory = located.local.socket_directory.clone();
            let known = || socket.directory.to_string_lossy().into_owned();
            (directory.unwrap_or_else(known), located.local.port)
        }
        Target::Tcp(_) if inside => ("127.0.0.1".to_owned(), located.local.port),
        Target::Tcp(host) => (host.clone(), route.port),
    }
}

/// A database's name as one keyword of a connection string: nothing in it is interpreted.
fn conninfo(database: &str) -> String {
    let mut out = String::from("dbname='");
    for c in database.chars() {
        if c == '\'' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('\'');
    out
}

/// The oldest version that is new enough, where Debian has them; then what the search path has, if it is.
fn find_program(name: &str, major: u32) -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
    {
        let version = entry.file_name().to_string_lossy().parse::<u32>();
        let program = entry.path().join("bin").join(name);
        if let Ok(version) = version
            && version >= major
            && program.is_file()
        {
            found.push((version, program));
        }
    }
    found.sort();
    let installed = found.into_iter().next().map(|(_, program)| program);
    installed.or_else(|| in_path(name, major, &std::env::var_os("PATH")?))
}

fn in_path(name: &str, major: u32, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|program| version_of(program).is_some_and(|version| version >= major))
}

/// "pg_dump (PostgreSQL) 17.6 (Debian 17.6-1)": 17.
fn version_of(program: &Path) -> Option<u32> {
    if !program.is_file() {
        return None;
    }
    let told = std::process::Command::new(program)
        .arg("--version")
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let (_, version) = told.split_once("(PostgreSQL) ")?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_the_search_path_is_taken_when_it_is_new_enough() {
        use std::os::unix::fs::PermissionsExt as _;
        let folders = [16, 17].map(|major| {
            let folder = tempfile::tempdir().unwrap();
            let program = folder.path().join("pg_dump");
            let script =
                format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {major}.3 (Debian {major}.3-1)'\n");
            std::fs::write(&program, script).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            folder
        });
        let path = std::env::join_paths(folders.iter().map(tempfile::TempDir::path)).unwrap();
        let found = |major| in_path("pg_dump", major, &path);
        assert_eq!(found(15), Some(folders[0].path().join("pg_dump")));
        assert_eq!(found(17), Some(folders[1].path().join("pg_dump")));
        assert_eq!(found(18), None);
        assert_eq!(in_path("pg_restore", 15, &path), None);
    }

    #[test]
    fn no_database_name_is_taken_for_more() {
        assert_eq!(conninfo("shop"), "dbname='shop'");
        assert_eq!(conninfo(r"a'b\c host=x"), r"dbname='a\'b\\c host=x'");
    }

    #[test]
    fn the_first_error_is_what_gets_told() {
        let stderr = "pg_restore: warning: x\npg_restore: error: could not do it\nCommand was: y\n";
        let failure = ended_badly("pg_restore", Some(1), stderr);
        assert_eq!(
            failure.message,
            "pg_restore ended with code 1: pg_restore: error: could not do it"
        );
        assert!(
            ended_badly("pg_dump", Some(127), "sh: pg_dump: not found")
                .advice
                .contains("client programs")
        );
        assert_eq!(
            ended_badly("pg_dump", Some(126), "").kind,
            FailureKind::Unavailable
        );
    }
}
