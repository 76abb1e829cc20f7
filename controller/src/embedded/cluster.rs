//! The data directory: made once and whole, never replaced, never deleted.
//!
//! `initdb` works in a directory with a name of its own, and only a finished one takes the place
//! `data`. So `data` without its parts is damage and never a half-made one.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::{Deserialize, Serialize};

use super::{Binaries, EmbeddedError, Owner, ROLE, files};

/// Before the name of a directory in which `initdb` works.
const MAKING: &str = "making-";
/// Before the name of a directory in which `initdb` did not come to its end.
const UNFINISHED: &str = "unfinished-";

/// The data directory of the private server and what is remembered beside it.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    data: PathBuf,
    identity: PathBuf,
}

/// Which cluster the catalog lives in, so that an empty or foreign one never takes its place unseen.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct ClusterIdentity {
    system_identifier: u64,
}

impl Cluster {
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            data: directory.join("data"),
            identity: directory.join("identity.json"),
        }
    }

    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The version that made the data directory; none before there is one.
    ///
    /// # Errors
    /// When it is there but not whole.
    pub fn major(&self) -> Result<Option<u32>, EmbeddedError> {
        if is_absent_or_empty(&self.data).map_err(self.failed("look into"))? {
            return Ok(None);
        }
        let damaged = |missing| EmbeddedError::Damaged {
            path: self.data.clone(),
            missing,
        };
        let version = std::fs::read_to_string(self.data.join("PG_VERSION"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| damaged("PG_VERSION"))?;
        for (part, name) in [
            ("global/pg_control", "global/pg_control"),
            ("base", "base"),
            ("pg_wal", "pg_wal"),
        ] {
            if !self.data.join(part).exists() {
                return Err(damaged(name));
            }
        }
        Ok(Some(version))
    }

    /// Makes the data directory when there is none yet; sets aside what an interrupted `initdb` left.
    ///
    /// # Errors
    /// When there was one once and it is gone; when `initdb` fails, with what it said.
    pub async fn ensure(&self, binaries: &Binaries, owner: &Owner) -> Result<(), EmbeddedError> {
        self.set_unfinished_aside()?;
        if self.major()?.is_some() {
            return Ok(());
        }
        if self.identity.exists() {
            return Err(EmbeddedError::Gone {
                path: self.data.clone(),
                identity: self.identity.clone(),
            });
        }
        let making = self
            .directory
            .join(format!("{MAKING}{}", uuid::Uuid::now_v7()));
        initdb(binaries, owner, &self.directory, &making).await?;
        std::fs::rename(&making, &self.data)
            .map_err(self.failed("put the new data directory into the place of"))?;
        files::sync_directory(&self.directory).map_err(self.failed("keep"))?;
        tracing::info!(data = %self.data.display(), major = binaries.major, user = owner.name(), "made the data directory of the private PostgreSQL");
        Ok(())
    }

    /// Notes which cluster this is, or compares with what was noted.
    ///
    /// # Errors
    /// When it is another than last time.
    pub fn remember(&self, system_identifier: u64, owner: &Owner) -> Result<(), EmbeddedError> {
        let failed = |doing| {
            move |source| EmbeddedError::Files {
                doing,
                path: self.identity.clone(),
                source,
            }
        };
        let reason = |source: serde_json::Error| EmbeddedError::Identity {
            path: self.identity.clone(),
            reason: source.to_string(),
        };
        match std::fs::read_to_string(&self.identity) {
            Ok(text) => {
                let noted: ClusterIdentity = serde_json::from_str(&text).map_err(reason)?;
                if noted.system_identifier == system_identifier {
                    return Ok(());
                }
                Err(EmbeddedError::OtherCluster {
                    path: self.data.clone(),
                    identity: self.identity.clone(),
                    found: system_identifier,
                    expected: noted.system_identifier,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = serde_json::to_string(&ClusterIdentity { system_identifier })
                    .map_err(reason)?;
                files::replace(&self.identity, &text, owner).map_err(failed("write"))
            }
            Err(source) => Err(failed("read")(source)),
        }
    }

    fn set_unfinished_aside(&self) -> Result<(), EmbeddedError> {
        let entries = std::fs::read_dir(&self.directory).map_err(self.failed("look beside"))?;
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.strip_prefix(MAKING)) {
                let aside = self.directory.join(format!("{UNFINISHED}{id}"));
                std::fs::rename(entry.path(), &aside)
                    .map_err(self.failed("set aside what was begun for"))?;
                tracing::warn!(kept_as = %aside.display(), "an earlier start was interrupted while it made the data directory: what it left is set aside");
            }
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> EmbeddedError {
        move |source| EmbeddedError::Files {
            doing,
            path: self.data.clone(),
            source,
        }
    }
}

fn is_absent_or_empty(path: &Path) -> io::Result<bool> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Checksums on; no way in but the operating system's word for who is asking.
async fn initdb(
    binaries: &Binaries,
    owner: &Owner,
    directory: &Path,
    into: &Path,
) -> Result<(), EmbeddedError> {
    let program = binaries.initdb();
    let mut command = owner.command(&program, directory);
    command
        .arg("--pgdata")
        .arg(into)
        .args([
            "--username",
            ROLE,
            "--auth",
            "peer",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
        ])
        .args(["--data-checksums", "--no-instructions"])
        .stdin(Stdio::null());
    let output = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| EmbeddedError::RunInitdb {
            program: program.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(EmbeddedError::Initdb {
        program,
        directory: into.to_owned(),
        status: output.status,
        output: super::server::last_lines(&String::from_utf8_lossy(&said), 20),
    })
}
