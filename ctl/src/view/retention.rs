//! What retention would do with each backup, and why.

use serde::Serialize;

use super::Time;
use crate::output::{
    Page, View,
    grid::{Grid, plain, toned},
    paint::Tone,
    units,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionPreview {
    pub backups: Vec<RetentionLine>,
    pub kept: u64,
    pub going: u64,
    /// What those that go added to the repository; what of it is freed, pruning finds out.
    pub going_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionLine {
    pub backup: u64,
    pub database: String,
    pub kind: String,
    pub state: String,
    pub pinned: bool,
    pub taken_at: Option<Time>,
    pub logical_bytes: u64,
    pub stored_bytes: u64,
    pub keep: bool,
    pub reasons: Vec<String>,
    pub marked_at: Option<Time>,
    pub goes_at: Option<Time>,
    pub policy: String,
}

impl RetentionPreview {
    #[must_use]
    pub fn of(backups: Vec<RetentionLine>) -> Self {
        let going = || backups.iter().filter(|line| !line.keep);
        Self {
            kept: backups.iter().filter(|line| line.keep).count() as u64,
            going: going().count() as u64,
            going_bytes: going().map(|line| line.stored_bytes).sum(),
            backups,
        }
    }
}

impl RetentionPreview {
    pub(super) fn table(&self, page: &Page) -> String {
        let head = ["BACKUP", "DATABASE", "TAKEN", "STATE", "STORED", "", "WHY"];
        let mut grid = Grid::new(page, &head, "no backups").right(&[0, 4]);
        for line in &self.backups {
            let taken = line.taken_at.map(|at| at.format("%F %H:%M").to_string());
            let verdict = match (line.keep, line.goes_at) {
                (true, _) => toned(Tone::Good, "keep"),
                (false, None) => toned(Tone::Warn, "remove"),
                (false, Some(at)) => toned(
                    Tone::Warn,
                    format!("remove {}", units::ago(page.now, Some(at))),
                ),
            };
            grid.row(vec![
                toned(Tone::Strong, line.backup),
                plain(&line.database),
                plain(taken.unwrap_or_default()),
                plain(&line.state),
                plain(units::size(line.stored_bytes)),
                verdict,
                plain(line.reasons.join("; ")),
            ]);
        }
        grid.render()
    }
}

impl View for RetentionPreview {
    fn text(&self, page: &Page) -> String {
        let mut out = self.table(page);
        if !self.backups.is_empty() {
            out.push_str(&format!(
                "{} stay, {} go ({})\n",
                self.kept,
                self.going,
                units::size(self.going_bytes)
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples::policy as samples,
    };

    #[test]
    fn every_backup_has_its_reasons_and_the_end_counts_them() {
        let text = samples::retention().text(&page());
        for said in [
            "keep",
            "the newest good one; daily 1 of 7 (2026-11-20)",
            "remove",
            "1 stay, 1 go",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }
}
