//! Why a backup stays or goes, in words that an operator reads.

use std::fmt;

use super::Period;
use crate::job::JobId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    Pinned,
    ReadBy(JobId),
    NewestProven,
    NewestStored,
    /// One of the last so many.
    Last {
        place: u32,
        of: u32,
    },
    /// The newest of one of the last so many periods that have a backup.
    Newest {
        period: Period,
        /// "2026-11-20", "2026-W47".
        of_period: String,
        place: u32,
        of: u32,
    },
    /// Younger than this, measured from the newest good one.
    Within {
        rule: String,
    },
    /// Its date is wrong, so it is not counted, and nothing is known of its age.
    FromTheFuture,
    /// Damaged, and no good backup is there.
    NothingBetter,
    DamagedOfLate,
    NoRules,

    // Of what goes:
    NoRuleKeepsIt {
        rules: String,
    },
    Damaged,
    /// Somebody asked for it.
    Deleted {
        by: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => f.write_str("pinned"),
            Self::ReadBy(job) => write!(f, "job {job} reads it"),
            Self::NewestProven => f.write_str("the newest proven one"),
            Self::NewestStored => f.write_str("the newest good one"),
            Self::Last { place, of } => write!(f, "last {place} of {of}"),
            Self::Newest {
                period,
                of_period,
                place,
                of,
            } => write!(f, "{} {place} of {of} ({of_period})", period.rule()),
            Self::Within { rule } => write!(f, "within {rule} of the newest good one"),
            Self::FromTheFuture => {
                f.write_str("its date is in the future: not counted until a look at the clocks")
            }
            Self::NothingBetter => f.write_str("damaged, but there is no good one"),
            Self::DamagedOfLate => f.write_str("damaged: kept for 7 days, to be looked into"),
            Self::NoRules => f.write_str("no rule lets anything go"),
            Self::NoRuleKeepsIt { rules } => write!(f, "older than what {rules} keep"),
            Self::Damaged => f.write_str("damaged, and good ones are there"),
            Self::Deleted { by } => write!(f, "deleted by {by}"),
        }
    }
}
