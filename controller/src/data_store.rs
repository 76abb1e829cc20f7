//! What the data of each database service lie on, remembered: the identity of a data store, and every change of it.
//!
//! A *service* is what stays when a container is made anew: compose's project and service on a host, else the
//! instance's name. Reports are [`observe`]d, [`advance`] says what an observation changes, the catalog keeps it.

mod accept;
mod advance;
mod observe;
mod predecessor;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    fleet::Engine,
    names::{HostName, InstanceName},
};
use serde::{Deserialize, Serialize};

pub use accept::{Accepted, accept};
pub use advance::{Step, advance};
pub use observe::{is_alive, observe};
pub use predecessor::match_up;
pub use words::changes;

type Time = DateTime<Utc>;

/// What makes the data themselves, and where they are. Empty: not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataStore {
    pub engine: Engine,
    pub container: String,
    pub image_digest: String,
    /// As the server sees it.
    pub path: String,
    /// On the host, links resolved; empty for what lies in the container itself.
    pub host_path: String,
    /// None: the data lie on no volume.
    pub volume: Option<VolumeIdentity>,
    pub inode: u64,
    /// When the data directory was made, where the file system tells.
    #[serde(default)]
    pub born_at: Option<Time>,
    pub file_system: String,
    pub system_identifier: String,
}

/// A volume that was removed and made again under its name is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeIdentity {
    pub name: String,
    pub created_at: Option<Time>,
    pub driver: String,
}

/// What a server holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Sizes of its databases in bytes, by name.
    pub databases: BTreeMap<String, u64>,
    /// What their checks counted last: by database and name of the check, "shop users".
    pub counts: BTreeMap<String, i64>,
}

/// A large database that is not there any more, or nearly empty, on data that are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Bytes.
    pub before: u64,
    /// None: it is not there.
    pub now: Option<u64>,
    pub at: Time,
}

/// What tells a service that goes on under another name from another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traits {
    /// Compose's; empty outside compose.
    pub project: String,
    pub compose_service: String,
    pub config_hash: String,
    /// On the host.
    pub ports: BTreeSet<u16>,
}

/// A service as it is reported now.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub name: InstanceName,
    pub service: String,
    pub store: DataStore,
    /// None while its server does not answer.
    pub contents: Option<Contents>,
    pub traits: Traits,
    /// Its container runs, or a server outside containers answers.
    pub alive: bool,
}

/// A service as the catalog knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub id: u64,
    pub host: HostName,
    pub service: String,
    /// As it was named last.
    pub instance: String,
    pub traits: Traits,
    /// What its data shall lie on, and what was in it when it was seen last.
    pub accepted: DataStore,
    pub contents: Contents,
    /// Of what was in it, by name of the database; what is here stays in `contents` as it was.
    pub lost: BTreeMap<String, Lost>,
    /// What they lie on instead, and since when.
    pub swapped: Option<Swapped>,
    pub first_seen_at: Time,
    /// When its container or server was reported last.
    pub last_seen_at: Time,
}

/// Other data in the place of those that are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    pub store: DataStore,
    /// Empty until its server answers.
    pub contents: Contents,
    pub at: Time,
}

/// A line of a service's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at: Time,
    pub host: HostName,
    pub service: String,
    pub instance: String,
    pub kind: EventKind,
    /// In words.
    pub changes: Vec<String>,
    /// Who accepted it, and why; else empty.
    pub by: String,
    pub reason: String,
    /// From then on; none when nothing is there any more.
    pub store: Option<DataStore>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    FirstSeen,
    /// The same data, elsewhere or otherwise.
    Changed,
    /// Other data in the place of those that are known.
    Swapped,
    /// Back to what is known.
    Returned,
    /// Somebody, or what was found in it, says that the other data are the right ones.
    Accepted,
}

impl EventKind {
    pub const ALL: [Self; 5] = [
        Self::FirstSeen,
        Self::Changed,
        Self::Swapped,
        Self::Returned,
        Self::Accepted,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstSeen => "first-seen",
            Self::Changed => "changed",
            Self::Swapped => "swapped",
            Self::Returned => "returned",
            Self::Accepted => "accepted",
        }
    }
}

impl Known {
    #[must_use]
    pub fn name(&self) -> InstanceName {
        InstanceName {
            host: self.host.clone(),
            instance: self.instance.clone(),
        }
    }

    /// What its data lie on now, accepted or not.
    #[must_use]
    pub fn current(&self) -> &DataStore {
        let swapped = self.swapped.as_ref();
        swapped.map_or(&self.accepted, |swapped| &swapped.store)
    }
}

impl DataStore {
    /// The name of the volume that the data lie on.
    #[must_use]
    pub fn volume_name(&self) -> Option<&str> {
        self.volume.as_ref().map(|volume| volume.name.as_str())
    }

    /// Name of the volume, or path of the folder on the host; none: the data lie in the container itself.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let folder = Some(&self.host_path).filter(|path| !path.is_empty());
        let volume = self.volume_name().map(str::to_owned);
        volume.or_else(|| folder.cloned())
    }

    /// Whether both are the same data; none: not told yet.
    ///
    /// The identifier that was made with a data directory decides: it stays when the directory is moved. Without it
    /// the same place holds the same data, and nobody knows of another one.
    #[must_use]
    pub fn same_data(&self, other: &Self) -> Option<bool> {
        let (ours, theirs) = (&self.system_identifier, &other.system_identifier);
        if !ours.is_empty() && !theirs.is_empty() {
            return Some(ours == theirs && self.engine == other.engine);
        }
        self.same_place(other).then_some(true)
    }

    fn same_place(&self, other: &Self) -> bool {
        let same_name =
            self.volume_name() == other.volume_name() && self.host_path == other.host_path;
        let nothing_was_there = self.inode == 0 && self.system_identifier.is_empty();
        same_name
            && (nothing_was_there || self.same_directory(other) || self.volume == other.volume)
    }

    /// The very one, as its file system tells. Older engines say of a volume that it was made whenever something was made or
    /// removed in it.
    fn same_directory(&self, other: &Self) -> bool {
        self.born_at.is_some() && self.born_at == other.born_at && self.inode == other.inode
    }
}
