//! The peer: Debian's restic on a directory or on the S3 server, as its users run it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    data::Data,
    s3,
    usage::{Usage, used},
};

const PASSWORD: &str = "bench";

#[derive(Debug, Clone)]
pub struct Restic {
    /// As restic names the repository.
    repository: String,
    cache: PathBuf,
}

impl Restic {
    pub fn new(repository: String, cache: &Path) -> Self {
        Self {
            repository,
            cache: cache.to_owned(),
        }
    }

    pub fn init(&self) {
        used(self.command(&["init"]));
    }

    pub fn backup(&self, data: &Data) -> Usage {
        let mut command = self.command(&["backup", "-q", "."]);
        command.current_dir(data.folder());
        used(command)
    }

    /// Everything as one archive, which goes nowhere.
    pub fn read(&self) -> Usage {
        let command = self.command(&["dump", "latest", "/"]);
        let mut shell = Command::new("bash");
        shell.args(["-c", "exec \"$@\" >/dev/null", "bash"]);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        used(shell)
    }

    /// The first one goes.
    pub fn prune(&self) -> Usage {
        used(self.command(&["forget", "-q", "--keep-last", "1", "--prune"]))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/restic");
        command
            .args(["-r", &self.repository])
            .args(words)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", &self.cache)
            .env("AWS_ACCESS_KEY_ID", s3::ACCESS)
            .env("AWS_SECRET_ACCESS_KEY", s3::SECRET);
        command
    }
}

pub fn version() -> String {
    let mut command = Command::new("/usr/bin/restic");
    command.arg("version");
    used(command).said.trim().to_owned()
}
