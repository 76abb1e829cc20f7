//! Where the guard and the agent meet: files in the state directory, and the socket.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// Where engines look for plugins of the name `holdfast`.
pub const SOCKET: &str = "/run/docker/plugins/holdfast.sock";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    folder: PathBuf,
}

impl Paths {
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        Self {
            folder: state_dir.join("guard"),
        }
    }

    /// Makes the folder, for nobody but root.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn prepare(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.folder)
    }

    /// What the agent knows; written by the agent.
    #[must_use]
    pub fn facts(&self) -> PathBuf {
        self.folder.join("facts.json")
    }

    /// What the controller knows of backups and allowances; read by the agent, who puts it into the facts.
    #[must_use]
    pub fn protections(&self) -> PathBuf {
        self.folder.join("protections.json")
    }

    #[must_use]
    pub fn token(&self) -> PathBuf {
        self.folder.join("token")
    }

    /// Written by the guard.
    #[must_use]
    pub fn refusals(&self) -> PathBuf {
        self.folder.join("refusals.jsonl")
    }

    /// How far the controller has the refusals; written by the agent.
    #[must_use]
    pub fn told(&self) -> PathBuf {
        self.folder.join("told")
    }

    /// Process id of the guard that answers.
    #[must_use]
    pub fn pid(&self) -> PathBuf {
        self.folder.join("pid")
    }
}
