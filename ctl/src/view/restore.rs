//! How a restore ended: as a copy does, with the backup that it came from.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{copy::CopyResult, job::JobDetail};
use crate::output::{Page, View};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestoreResult {
    pub backup: u64,
    /// The moment that the backup shows.
    pub taken_at: DateTime<Utc>,
    #[serde(flatten)]
    pub end: CopyResult,
}

/// What the controller made of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Restoring {
    pub job: u64,
    pub backup: u64,
    /// Of which it is a backup.
    pub source: String,
    pub target: String,
    pub taken_at: DateTime<Utc>,
}

impl RestoreResult {
    #[must_use]
    pub fn of(restoring: Restoring, dry_run: bool, detail: JobDetail) -> Self {
        let Restoring {
            job: _,
            backup,
            source,
            target,
            taken_at,
        } = restoring;
        Self {
            backup,
            taken_at,
            end: CopyResult::of(source, target, dry_run, detail),
        }
    }
}

impl View for RestoreResult {
    fn text(&self, page: &Page) -> String {
        let Self { backup, end, .. } = self;
        let what = format!("backup {backup} of {} → {}", end.source, end.target);
        end.text_of(&what, page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{output::testing::page, view::samples};

    #[test]
    fn a_restore_says_from_which_backup_and_how_to_take_it_back() {
        let text = samples::restored().text(&page());
        let head =
            "✓ backup 12 of web-1/shop-db/shop → web-2/shop-db/shop_test: restored and proven\n";
        assert!(text.starts_with(head), "{text}");
        assert!(
            text.contains("ctl job undo 42    takes the restored database back, until"),
            "{text}"
        );
    }

    #[test]
    fn a_dry_run_promises_a_restore() {
        let mut dry = samples::restored();
        dry.end.dry_run = true;
        let text = dry.text(&page());
        assert!(
            text.ends_with(": this backup can be restored; nothing was touched\n"),
            "{text}"
        );
    }
}
