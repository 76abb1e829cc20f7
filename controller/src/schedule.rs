//! What is due when: a pure function of the schedules, what ran, what runs, and the time.
//!
//! [`Timing`] knows the moments of a schedule for one database; [`decide`] says of everything that has one
//! whether it starts now, and why not.

mod decide;
mod timing;

pub use decide::{Decision, Item, Limits, Run, RunEnd, Verdict, Waits, decide};
pub use timing::{BadTiming, Timing};

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is done by schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    Backup,
    Drill,
}

impl Work {
    pub const ALL: [Self; 2] = [Self::Backup, Self::Drill];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Drill => "drill",
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
