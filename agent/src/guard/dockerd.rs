//! The engine's own process: found, told to read its settings again, and asked whether it answers.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::{daemon_json::DaemonJson, probe};

const PID_FILE: &str = "/var/run/docker.pid";
/// The oldest on which all of this was tried.
const OLDEST: (u32, u32) = (20, 10);

/// A Docker daemon that runs on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Dockerd(Pid);

#[derive(Debug, thiserror::Error)]
pub enum EngineFailure {
    #[error("no container engine answers on {}; start Docker first", list(.0))]
    Silent(Vec<PathBuf>),
    #[error(
        "this is Podman, which has no authorization plugins: its volumes cannot be guarded like this"
    )]
    Podman,
    #[error("Docker {0} is too old: this was tried from 20.10 on; upgrade Docker first")]
    Old(String),
    #[error(
        "no dockerd was found by {}: is it in another process namespace, or rootless? It has to be told to read its \
         settings again by hand: kill -HUP PID", .0.display()
    )]
    NoProcess(PathBuf),
    #[error(
        "dockerd has --authorization-plugin on its command line and takes no list from its file beside it: put the \
         list into daemon.json instead, restart Docker, then try again"
    )]
    Flag,
    #[error("dockerd could not be told to read its settings again")]
    Signal(#[source] io::Error),
}

/// Which engine answers, on the first of these sockets that does.
///
/// # Errors
/// When none does, or it is none that has plugins.
pub fn engine(sockets: &[PathBuf], patience: Duration) -> Result<(PathBuf, String), EngineFailure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Version {
        version: String,
        #[serde(default)]
        components: Vec<Component>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Component {
        name: String,
    }
    let mut answers = sockets.iter().filter_map(|socket| {
        let body = probe::get(socket, "/version", patience).ok()?;
        let version: Version = serde_json::from_slice(&body).ok()?;
        Some((socket.clone(), version))
    });
    let (socket, version) = answers
        .next()
        .ok_or_else(|| EngineFailure::Silent(sockets.to_vec()))?;
    if version
        .components
        .iter()
        .any(|part| part.name.starts_with("Podman"))
    {
        return Err(EngineFailure::Podman);
    }
    if numbers(&version.version) < OLDEST {
        return Err(EngineFailure::Old(version.version));
    }
    Ok((socket, version.version))
}

/// # Errors
/// When the engine does not answer in time.
pub fn ping(socket: &Path, patience: Duration) -> io::Result<()> {
    probe::get(socket, "/_ping", patience).map(drop)
}

impl Dockerd {
    /// None: it does not run, or not where we see it.
    #[must_use]
    pub fn find(settings: Option<&DaemonJson>) -> Option<Self> {
        let text = fs::read_to_string(Self::pid_file(settings)).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).ok()?;
        (name.trim() == "dockerd").then_some(Self(pid))
    }

    #[must_use]
    pub fn pid_file(settings: Option<&DaemonJson>) -> PathBuf {
        let named = settings.and_then(|settings| settings.file("pidfile"));
        named.unwrap_or_else(|| PID_FILE.into())
    }

    /// # Errors
    /// When its command line has a list of plugins, which goes over that of the file.
    pub fn takes_its_list_from_the_file(self) -> Result<(), EngineFailure> {
        let arguments = fs::read(format!("/proc/{}/cmdline", self.0.as_raw_nonzero()));
        let arguments = arguments.unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0);
        match arguments.any(|argument| argument.starts_with(b"--authorization-plugin")) {
            true => Err(EngineFailure::Flag),
            false => Ok(()),
        }
    }

    /// # Errors
    /// When it cannot be signalled.
    pub fn reload(self) -> Result<(), EngineFailure> {
        kill_process(self.0, Signal::HUP).map_err(|error| EngineFailure::Signal(error.into()))
    }
}

fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version
        .split(['.', '-', '+'])
        .map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn list(sockets: &[PathBuf]) -> String {
    let names: Vec<_> = sockets
        .iter()
        .map(|socket| socket.display().to_string())
        .collect();
    names.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers("20.10.24+dfsg1") >= OLDEST);
        assert!(numbers("28.5.1") > OLDEST);
        assert!(numbers("19.03.15") < OLDEST && numbers("20.9") < OLDEST);
    }

    #[test]
    fn a_process_of_another_name_is_no_dockerd() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        fs::write(&pid_file, std::process::id().to_string()).unwrap();
        let path = folder.path().join("daemon.json");
        let text = serde_json::json!({"pidfile": pid_file}).to_string();
        fs::write(&path, text).unwrap();
        let settings = DaemonJson::load(&path).unwrap();
        assert_eq!(Dockerd::pid_file(Some(&settings)), pid_file);
        assert!(Dockerd::find(Some(&settings)).is_none());
    }
}
