//! Names of databases that a job makes beside others: they carry its mark, so that nothing else is ever dropped.

use std::fmt;

use super::LONGEST_NAME;
use crate::job::JobId;

/// What a marked database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// What is being made.
    Staging,
    /// What stood under the name before.
    Before,
    /// What an operator undid.
    Undone,
    /// The record of a merge.
    Merged,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Staging => "staging",
            Self::Before => "before",
            Self::Undone => "undone",
            Self::Merged => "merged",
        })
    }
}

/// `<database>__<mark>_<job>`; the database's part is cut so that the whole fits.
#[must_use]
pub fn marked(database: &str, mark: Mark, job: JobId) -> String {
    let suffix = suffix(mark, job);
    let room = LONGEST_NAME.saturating_sub(suffix.len());
    let cut = database.floor_char_boundary(room.min(database.len()));
    format!("{}{suffix}", &database[..cut])
}

/// Whether the name is of the kind that jobs make, whichever job.
#[must_use]
pub fn looks_marked(name: &str) -> bool {
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    digits.len() < name.len()
        && name[digits.len()..]
            .parse()
            .is_ok_and(|job| carries_mark(name, job))
}

/// Whether the job made this name, and nobody but it may have.
#[must_use]
pub fn carries_mark(name: &str, job: JobId) -> bool {
    [Mark::Staging, Mark::Before, Mark::Undone, Mark::Merged]
        .into_iter()
        .any(|mark| name.ends_with(&suffix(mark, job)))
}

fn suffix(mark: Mark, job: JobId) -> String {
    format!("__{mark}_{job}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_like_a_sentence() {
        assert_eq!(marked("shop_test", Mark::Before, 7), "shop_test__before_7");
        assert!(carries_mark("shop_test__before_7", 7));
        assert!(!carries_mark("shop_test__before_17", 7));
        assert!(!carries_mark("shop_test", 7));
    }

    proptest! {
        #[test]
        fn always_fits_and_is_always_recognised(name in "\\PC{1,70}", job in 1u64..) {
            let made = marked(&name, Mark::Staging, job);
            prop_assert!(made.len() <= LONGEST_NAME);
            prop_assert!(carries_mark(&made, job));
            prop_assert!(!carries_mark(&made, job.wrapping_add(1)));
        }
    }
}
