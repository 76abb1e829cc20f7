//! What is due when: a pure function of the schedules, what ran, what runs, and the time.
//!
//! [`Timing`] knows the moments of a schedule for one database or host; [`decide`] says of everything that has one
//! whether it starts now, and why not.

mod decide;
mod timing;

pub use decide::{Decision, Item, Limits, Run, RunEnd, Verdict, Waits, decide};
pub use timing::{BadTiming, Timing};

use std::fmt;

use holdfast_proto::names::{DatabaseName, HostName};
use serde::{Deserialize, Serialize};

/// What is done by schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    Backup,
    Drill,
    /// Everything of a host is brought back.
    Rebuild,
    /// Every byte of a host's repository is read.
    Offsite,
}

/// What it is done to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheduled {
    /// Or a volume, by the name of its series.
    Database(DatabaseName),
    /// As a whole.
    Host(HostName),
}

impl Work {
    pub const ALL: [Self; 4] = [Self::Backup, Self::Drill, Self::Rebuild, Self::Offsite];
    /// What is done to a database or a volume.
    pub const OF_DATABASES: [Self; 2] = [Self::Backup, Self::Drill];
    /// What is done to a host as a whole.
    pub const OF_HOSTS: [Self; 2] = [Self::Rebuild, Self::Offsite];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Drill => "drill",
            Self::Rebuild => "rebuild",
            Self::Offsite => "offsite",
        }
    }

    /// In a sentence.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Offsite => "off-site drill",
            Self::Backup | Self::Drill | Self::Rebuild => self.as_str(),
        }
    }
}

impl fmt::Display for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(name) => name.fmt(f),
            Self::Host(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
