//! What a drill found out, as its report says it: the text that the controller signs and `ctl` shows.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::task::SandboxLimits;

/// Of [`DrillReport`]: readers refuse a higher one.
pub const REPORT_FORMAT: u32 = 2;

/// What a drill tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillKind {
    /// One backup, restored into a throwaway server.
    Backup,
    /// Everything of a host: servers, roles, databases, volumes.
    Rebuild,
    /// Every byte of a host's repository is read; nothing is restored.
    Offsite,
}

/// Everything an auditor asks for: what, when, from which backup, every rung, times, versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    pub format: u32,
    pub kind: DrillKind,
    pub drill: u64,
    pub job: u64,
    /// Host/instance/database, or host/volume; of a rebuild and an off-site drill the host.
    pub subject: String,
    /// None: it was not of one backup; `parts` says of which.
    pub backup: Option<DrilledBackup>,
    /// Where it was restored; none: nothing was to be.
    pub host: Option<String>,
    /// None: it was not of one server; `parts` says of which.
    pub server: Option<DrilledServer>,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub verdict: Verdict,
    /// The first rung that did not pass.
    pub broken: Option<RungName>,
    /// Why; empty when everything passed.
    pub reason: String,
    pub rungs: Vec<Rung>,
    /// What a rebuild brought back, and what an off-site drill looked at, one by one.
    pub parts: Vec<DrilledPart>,
    pub times: DrillTimes,
    pub targets: DrillTargets,
    /// Version of the controller.
    pub controller: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrilledBackup {
    pub id: u64,
    /// "full", "volume".
    pub kind: String,
    pub taken_at: DateTime<Utc>,
    pub stored_at: DateTime<Utc>,
    /// The repository's own name of it.
    pub snapshot: String,
    /// The write-ahead log's place that the image shows.
    pub lsn: String,
    pub tables: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Of the schema, as it was sent.
    pub schema_hash: String,
    /// Of a volume.
    #[serde(default)]
    pub files: u64,
    /// Of a volume: of the list of everything in it.
    #[serde(default)]
    pub fingerprint: String,
}

/// The throwaway server, and the one that the backup is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrilledServer {
    pub image: String,
    /// In the store of that host's container engine; empty when it was not found.
    pub image_id: String,
    pub limits: SandboxLimits,
    /// Of the server that the backup is of.
    pub source_version: String,
    /// Empty: it did not come up.
    pub version: String,
}

/// One backup among many: of a database or a volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrilledPart {
    /// Host/instance/database, or host/volume.
    pub subject: String,
    pub backup: u64,
    /// "full", "volume".
    pub kind: String,
    pub taken_at: DateTime<Utc>,
    /// The repository's own name of it.
    pub snapshot: String,
    pub bytes: u64,
    pub outcome: RungOutcome,
    /// What was found, or what is wrong first.
    pub detail: String,
    /// None: it was not restored into a server.
    pub server: Option<DrilledServer>,
    /// Of its own; empty when it was only read.
    pub rungs: Vec<Rung>,
    pub times: DrillTimes,
}

/// In the order in which they are climbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RungName {
    /// Every byte of the backup (of an off-site drill: of the repository) was read and is authentic, and it is
    /// this backup's.
    Repository,
    /// Every backup that the catalog knows has its snapshot, and nothing is missing in it.
    Snapshots,
    /// The repository says of every backup what the catalog says.
    Manifests,
    /// Nothing of the host is without a backup.
    Covered,
    Restored,
    Relations,
    Rows,
    Fingerprints,
    /// Indexes and constraints.
    Structure,
    Checks,
    Assertions,
    /// Of a volume: names, content, owners.
    Files,
    /// Every database of the host passed every rung of its own.
    Databases,
    /// Every volume of the host did.
    Volumes,
    /// Says nothing of the backup: whether a recovery fits into its target.
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    pub name: RungName,
    pub outcome: RungOutcome,
    /// What was looked at, or what is wrong first.
    pub detail: String,
    /// Everything that is wrong, one line each.
    pub findings: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RungOutcome {
    Passed,
    Failed,
    /// Never green, and no proof of damage.
    CouldNotRun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Proven,
    Damaged,
    CouldNotRun,
    /// Everything that has a backup is back, and something has none.
    Incomplete,
}

/// In milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillTimes {
    /// Reading every byte of the backup first, which a recovery does not do.
    pub read_ms: Option<u64>,
    /// From the wish for a server to a database that is proven.
    pub took_ms: Option<u64>,
    /// Parts of it; the rest is the server's start.
    pub fetch_ms: Option<u64>,
    pub restore_ms: Option<u64>,
    pub index_ms: Option<u64>,
    pub check_ms: Option<u64>,
    /// Age of the backup (the oldest of several) when the drill began: what a loss at that moment would have cost.
    /// None: nothing was to be restored.
    pub rpo_ms: Option<u64>,
}

/// In milliseconds; none: no policy sets one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillTargets {
    pub rto_ms: Option<u64>,
    pub rpo_ms: Option<u64>,
}

impl DrillKind {
    pub const ALL: [Self; 3] = [Self::Backup, Self::Rebuild, Self::Offsite];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Rebuild => "rebuild",
            Self::Offsite => "offsite",
        }
    }
}

impl RungName {
    /// Every rung, from below.
    pub const ALL: [Self; 15] = [
        Self::Repository,
        Self::Snapshots,
        Self::Manifests,
        Self::Covered,
        Self::Restored,
        Self::Relations,
        Self::Rows,
        Self::Fingerprints,
        Self::Structure,
        Self::Checks,
        Self::Assertions,
        Self::Files,
        Self::Databases,
        Self::Volumes,
        Self::Time,
    ];

    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Repository => "repository data intact",
            Self::Snapshots => "every backup is there",
            Self::Manifests => "every manifest is the catalog's",
            Self::Covered => "everything has a backup",
            Self::Restored => "restored without error",
            Self::Relations => "every relation is there",
            Self::Rows => "row counts are equal",
            Self::Fingerprints => "every fingerprint is equal",
            Self::Structure => "indexes and constraints are sound",
            Self::Checks => "user counts are within limits",
            Self::Assertions => "assertions hold",
            Self::Files => "every file is as it was",
            Self::Databases => "every database is back",
            Self::Volumes => "every volume is back",
            Self::Time => "time is within its target",
        }
    }
}

impl RungOutcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::CouldNotRun => "could not run",
        }
    }
}

impl Verdict {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Damaged => "damaged",
            Self::CouldNotRun => "could-not-run",
            Self::Incomplete => "incomplete",
        }
    }

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::CouldNotRun => "could not run",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for DrillKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RungName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_are_listed_from_below() {
        assert!(RungName::ALL.is_sorted());
    }
}
