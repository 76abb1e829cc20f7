//! How a data directory is, told from its files alone. Fields mean what `task.proto` says.

use serde::{Deserialize, Serialize};

use crate::fleet::Engine;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriageData {
    pub instance: String,
    pub volume: String,
    pub shown: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriagedData {
    pub directories: Vec<DataTriage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataTriage {
    pub path: String,
    pub engine: Engine,
    pub version: String,
    pub system_identifier: String,
    pub running: bool,
    pub verdict: DataVerdict,
    pub evidence: Vec<DataEvidence>,
    pub runbook: String,
    pub next: String,
}

/// How it is. The later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataVerdict {
    /// Nothing speaks against it, and everything could be read.
    Sound,
    /// The server did not stop in order, and recovers by itself: normal.
    NeedsRecovery,
    /// Something could not be read, by us or by the server.
    Unknown,
    /// What is broken can be built anew from the rest.
    IndexBroken,
    /// The log is damaged that a recovery would need.
    WalDamaged,
    /// A table or a file that the server cannot do without is lost or damaged.
    DataLost,
}

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataEvidence {
    pub code: String,
    pub verdict: DataVerdict,
    pub what: String,
}

impl DataVerdict {
    /// As scripts and people see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::NeedsRecovery => "needs-recovery",
            Self::Unknown => "unknown",
            Self::IndexBroken => "index-broken",
            Self::WalDamaged => "wal-damaged",
            Self::DataLost => "data-lost",
        }
    }
}

impl TriagedData {
    /// The worst of all directories; none: there is none.
    #[must_use]
    pub fn worst(&self) -> Option<DataVerdict> {
        self.directories.iter().map(|one| one.verdict).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_directory_decides_and_the_unknown_is_worse_than_the_sound() {
        let one = |verdict| DataTriage {
            path: String::new(),
            engine: Engine::Postgres,
            version: String::new(),
            system_identifier: String::new(),
            running: false,
            verdict,
            evidence: Vec::new(),
            runbook: String::new(),
            next: String::new(),
        };
        let both = |a, b| TriagedData {
            directories: vec![one(a), one(b)],
        };
        assert_eq!(TriagedData::default().worst(), None);
        let unread = both(DataVerdict::Unknown, DataVerdict::Sound);
        assert_eq!(unread.worst(), Some(DataVerdict::Unknown));
        let lost = both(DataVerdict::WalDamaged, DataVerdict::DataLost);
        assert_eq!(lost.worst(), Some(DataVerdict::DataLost));
    }
}
