//! A process under test, with its log, that can be killed and started again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::eventually::eventually;

#[derive(Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    child: Child,
    // `nsenter` into a pid namespace stays as the parent of the process itself.
    behind_nsenter: bool,
}

impl Daemon {
    /// Starts it, its output appended to `<dir>/<name>.log`.
    #[must_use]
    pub fn start(name: &str, dir: &Path, mut command: Command) -> Self {
        let log = dir.join(format!("{name}.log"));
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let behind_nsenter = command.get_program() == "nsenter";
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.to_owned(),
            log,
            child,
            behind_nsenter,
        }
    }

    /// Process id as this machine sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        if !self.behind_nsenter {
            return self.child.id();
        }
        let parent = self.child.id();
        let children = PathBuf::from(format!("/proc/{parent}/task/{parent}/children"));
        eventually(Duration::from_secs(5), "the process behind nsenter", || {
            let text = fs::read_to_string(&children).map_err(|error| error.to_string())?;
            text.split_whitespace()
                .next()
                .and_then(|pid| pid.parse().ok())
                .ok_or_else(|| format!("{} has no child yet", self.name))
        })
    }

    /// Resident memory in bytes, with the pages of its program.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Resident memory in bytes that no file backs: what it holds itself.
    #[must_use]
    pub fn own_bytes(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("alive");
        let line = status.lines().find(|line| line.starts_with(name));
        let mut words = line.expect("the line").split_whitespace();
        let kib: u64 = words.nth(1).expect("a number").parse().expect("a number");
        kib * 1024
    }

    pub fn kill_9(&mut self) {
        self.signal("KILL");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let child = &mut self.child;
        let name = &self.name;
        eventually(
            Duration::from_secs(30),
            &format!("the end of {name}"),
            || match child.try_wait() {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            },
        );
    }

    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&mut self, signal: &str) {
        if self.has_ended() {
            return;
        }
        let pid = self.pid().to_string();
        Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .expect("kill runs");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.has_ended() && std::env::var_os("HOLDFAST_KEEP").is_none() {
            self.kill_9();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("---- last lines of {} ----", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
