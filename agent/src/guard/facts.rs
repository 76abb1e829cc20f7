//! What the agent tells the guard: the data directories of the host, and its containers, as last seen.
//!
//! A file, because the guard must know them when the agent is dead.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::identity::{PrivateFileError, write_private};
use holdfast_proto::guard::GuardedData;
use serde::{Deserialize, Serialize};

use super::protection::Protection;

/// Of the file; another one is not read.
pub const VERSION: u32 = 1;
/// The agent writes twice a minute; older than this, it is silent.
const FRESH: TimeDelta = TimeDelta::seconds(120);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub version: u32,
    /// As the fleet calls this machine.
    pub host: String,
    pub written_at: DateTime<Utc>,
    pub containers: Vec<Container>,
    pub data: Vec<DataDirectory>,
    /// Folders that volumes stand for (option `device`), by volume.
    #[serde(default)]
    pub devices: BTreeMap<String, PathBuf>,
}

/// A container, as the engine tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    /// The first is its own; others are those of links.
    pub names: Vec<String>,
    /// It has processes, or is about to have some again: running, paused, restarting.
    pub alive: bool,
    pub mounts: Vec<Mounted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounted {
    /// Unset for a folder of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Where the files are on the host, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Inside the container.
    pub destination: PathBuf,
    pub read_only: bool,
}

/// Which container of a compose project it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub project: String,
    pub name: String,
    pub number: String,
    /// Of `compose run`: beside the service, not in its place.
    pub one_off: bool,
}

/// Where a database server keeps its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataDirectory {
    pub place: Place,
    /// Folders of the host that are the place; a volume with a `device` has two.
    pub roots: Vec<PathBuf>,
    /// The data directories in it, relative; empty path: the place itself.
    pub inside: Vec<PathBuf>,
    /// "PostgreSQL 16".
    pub server: String,
    /// Unset when no server was seen on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(default)]
    pub databases: Vec<String>,
    /// Ids of containers that run a server on it, or are made to.
    #[serde(default)]
    pub servers: Vec<String>,
    /// A server outside containers runs on it.
    #[serde(default)]
    pub on_host: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    Volume { name: String, anonymous: bool },
    Folder(PathBuf),
}

/// Why the facts could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not the agent's work; is it of another version?", .path.display())]
    Content {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{} is of version {found}, and this program knows version {VERSION}", .path.display())]
    Version { path: PathBuf, found: u32 },
}

impl Facts {
    /// Before anything was seen.
    #[must_use]
    pub fn none(host: &str, now: DateTime<Utc>) -> Self {
        Self {
            version: VERSION,
            host: host.to_owned(),
            written_at: now,
            containers: Vec::new(),
            data: Vec::new(),
            devices: BTreeMap::new(),
        }
    }

    /// None: the agent has never written any.
    ///
    /// # Errors
    /// When the file is there and is of no use.
    pub fn load(path: &Path) -> Result<Option<Self>, FactsError> {
        let path = || path.to_owned();
        let bytes = match std::fs::read(path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(FactsError::Read {
                    path: path(),
                    source,
                });
            }
        };
        let content = |source| FactsError::Content {
            path: path(),
            source,
        };
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_slice(&bytes).map_err(content)?;
        if head.version != VERSION {
            return Err(FactsError::Version {
                path: path(),
                found: head.version,
            });
        }
        serde_json::from_slice(&bytes).map(Some).map_err(content)
    }

    /// Readable for nobody but root, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(&self, path: &Path) -> Result<(), PrivateFileError> {
        write_private(path, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// The agent has looked lately.
    #[must_use]
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        now - self.written_at < FRESH
    }
}

impl Container {
    #[must_use]
    pub fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.id)
    }
}

impl DataDirectory {
    /// Every data directory in it, on the host.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.roots
            .iter()
            .flat_map(|root| self.inside.iter().map(move |inside| joined(root, inside)))
    }
}

fn joined(root: &Path, inside: &Path) -> PathBuf {
    match inside.as_os_str().is_empty() {
        true => root.to_owned(),
        false => root.join(inside),
    }
}

impl Place {
    /// As protections name it.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Volume { name, .. } => name.clone(),
            Self::Folder(path) => path.display().to_string(),
        }
    }
}

impl From<&DataDirectory> for GuardedData {
    fn from(data: &DataDirectory) -> Self {
        Self {
            protection: Protection {
                place: data.place.key(),
                ..data.protection.clone().unwrap_or_default()
            },
            server: data.server.clone(),
            instance: data.instance.clone().unwrap_or_default(),
            in_use: data.on_host || !data.servers.is_empty(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Volume { name, .. } => write!(f, "volume {name}"),
            Self::Folder(path) => write!(f, "folder {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_private_come_back_and_another_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts.json");
        assert_eq!(Facts::load(&path).unwrap(), None);
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let mut facts = Facts::none("web-1", now);
        facts.data.push(DataDirectory {
            place: Place::Volume {
                name: "shop_db".to_owned(),
                anonymous: false,
            },
            roots: vec!["/v/shop_db/_data".into()],
            inside: vec![PathBuf::new(), "18/docker".into()],
            server: "PostgreSQL 18".to_owned(),
            instance: None,
            databases: vec![],
            servers: vec![],
            on_host: false,
            protection: None,
        });
        facts.store(&path).unwrap();
        assert_eq!(Facts::load(&path).unwrap(), Some(facts.clone()));
        let paths: Vec<_> = facts.data[0].paths().collect();
        assert_eq!(paths[1], Path::new("/v/shop_db/_data/18/docker"));
        assert!(facts.is_fresh(now) && !facts.is_fresh(now + FRESH));
        std::fs::write(&path, r#"{"version":2}"#).unwrap();
        assert!(matches!(
            Facts::load(&path),
            Err(FactsError::Version { found: 2, .. })
        ));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(
            Facts::load(&path),
            Err(FactsError::Content { .. })
        ));
    }
}
