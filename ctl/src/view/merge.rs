//! What a merge of rows brought in, what it left, and why.

use std::fmt::Write as _;

use holdfast_proto::task::{MergedRows, MergedTable};
use serde::Serialize;

use super::job::{Job, JobDetail, JobState, moment};
use crate::{
    exit::Exit,
    output::{
        Page, View,
        grid::{Grid, plain, toned},
        paint::Tone,
        units,
    },
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MergeResult {
    pub database: String,
    /// Beside it, on the same server.
    pub from: String,
    /// The job that replaced it; none when it was named.
    pub replaced_by: Option<u64>,
    pub dry_run: bool,
    pub job: Job,
    pub merged: Option<MergedRows>,
    pub undo: String,
    #[serde(skip)]
    pub exit: Exit,
}

/// What the controller made of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Merging {
    pub job: u64,
    pub database: String,
    pub from: String,
    pub replaced_by: Option<u64>,
}

impl MergeResult {
    #[must_use]
    pub fn of(merging: Merging, dry_run: bool, detail: JobDetail) -> Self {
        Self {
            database: merging.database,
            from: merging.from,
            replaced_by: merging.replaced_by,
            dry_run,
            exit: detail.exit(),
            job: detail.job,
            merged: detail.merged,
            undo: detail.after.undo,
        }
    }

    fn headline(&self) -> (Tone, String) {
        let what = format!("{} → {}", self.from, self.database);
        let Some(merged) = &self.merged else {
            let line = format!("✗ {what}: job {} {}", self.job.id, self.job.state.word());
            return (Tone::Bad, line);
        };
        if self.job.state != JobState::Succeeded {
            let line = format!("✗ {what}: {}, nothing is merged", self.job.state.word());
            return (Tone::Bad, line);
        }
        let count = |of: fn(&MergedTable) -> u64| sum(merged, of);
        let rows = units::plural(count(|table| table.merged), "row");
        let taken = match count(|table| table.taken) {
            0 => String::new(),
            taken => format!(", {taken} overwritten"),
        };
        let done = if self.dry_run {
            format!("{rows} would be merged{taken}; nothing was touched")
        } else {
            format!("{rows} merged{taken}")
        };
        if leaves_some(merged) {
            (Tone::Warn, format!("! {what}: {done}; some were left"))
        } else {
            (Tone::Good, format!("✓ {what}: {done}"))
        }
    }
}

impl View for MergeResult {
    fn text(&self, page: &Page) -> String {
        let (tone, line) = self.headline();
        let mut out = format!("{}\n", page.paint.tone(tone, &line));
        for (label, text) in [("reason", &self.job.reason), ("advice", &self.job.advice)] {
            if !text.is_empty() {
                let _ = writeln!(out, "  {label:<10} {text}");
            }
        }
        if let Some(merged) = &self.merged {
            out.push_str(&merged_text(merged, page));
        }
        out.push_str("next:\n");
        let id = self.job.id;
        if let Some(until) = self.job.undo_until {
            let _ = writeln!(
                out,
                "  ctl job undo {id:<5} takes the merged rows out again, until {}",
                moment(until)
            );
        }
        let _ = writeln!(out, "  ctl job show {id:<5} the report again");
        out
    }
}

/// Something is for a person to look at.
#[must_use]
pub fn leaves_some(merged: &MergedRows) -> bool {
    let mut tables = merged.tables.iter();
    tables.any(|table| table.conflicts > table.taken || table.refused > 0 || may_have_more(table))
}

/// Tables with something to tell, then the rows that were left. The counts are exact, the rows the first few.
#[must_use]
pub fn merged_text(merged: &MergedRows, page: &Page) -> String {
    let head = [
        "TABLE",
        "ONLY THERE",
        "MERGED",
        "EQUAL",
        "CONFLICTS",
        "OVERWRITTEN",
        "REFUSED",
    ];
    let mut grid = Grid::new(page, &head, "no table to merge").right(&[1, 2, 3, 4, 5, 6]);
    let compared = merged.tables.iter();
    for table in compared.filter(|table| table.unmergeable.is_empty()) {
        let left = |count: u64| {
            let tone = if count == 0 { Tone::Plain } else { Tone::Warn };
            toned(tone, count)
        };
        grid.row(vec![
            plain(title(table)),
            plain(table.only_there),
            plain(table.merged),
            plain(table.equal),
            left(table.conflicts),
            plain(table.taken),
            left(table.refused),
        ]);
    }
    let mut out = grid.render();
    for table in &merged.tables {
        if !table.unmergeable.is_empty() {
            let tone = if may_have_more(table) {
                Tone::Warn
            } else {
                Tone::Dim
            };
            let line = format!("  {}: not merged: {}", title(table), table.unmergeable);
            let _ = writeln!(out, "{}", page.paint.tone(tone, &line));
        }
        if !table.left_out_columns.is_empty() {
            let columns = table.left_out_columns.join(", ");
            let _ = writeln!(
                out,
                "  {}: only one side has {columns}: left out",
                title(table)
            );
        }
        out.push_str(&rows(table));
    }
    out
}

fn rows(table: &MergedTable) -> String {
    let mut out = String::new();
    for row in &table.rows {
        let what = match (row.reason.as_str(), table.taken > 0) {
            ("", true) => format!("overwritten: {}", row.columns.join(", ")),
            ("", false) => format!("differs in {}; the live row stays", row.columns.join(", ")),
            (reason, _) => format!("refused: {reason}"),
        };
        let _ = writeln!(out, "  {} {}: {what}", title(table), row.key);
    }
    let more = (table.conflicts + table.refused).saturating_sub(table.rows.len() as u64);
    if more > 0 && !table.rows.is_empty() {
        let _ = writeln!(out, "  {}: and {more} more", title(table));
    }
    out
}

/// A table that only the live database has lacks nothing.
fn may_have_more(table: &MergedTable) -> bool {
    !table.unmergeable.is_empty() && !table.unmergeable.starts_with("only the live")
}

fn sum(merged: &MergedRows, of: fn(&MergedTable) -> u64) -> u64 {
    merged.tables.iter().map(of).sum()
}

fn title(table: &MergedTable) -> String {
    if table.schema.is_empty() {
        table.name.clone()
    } else {
        format!("{}.{}", table.schema, table.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{output::testing::page, view::samples};

    #[test]
    fn a_merge_says_what_came_and_what_was_left() {
        let result = samples::merged();
        assert_eq!(result.exit, Exit::Incomplete);
        let text = result.text(&page());
        for part in [
            "! shop__before_41 → web-1/shop-db/shop: 1 row merged; some were left\n",
            "  public.users id=5: differs in email; the live row stays\n",
            "  public.users id=16: refused: users_email_key allows it once",
            "  public.log: not merged: it has no primary key to tell its rows by\n",
            "  ctl job undo 42    takes the merged rows out again, until ",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }

    #[test]
    fn only_a_merge_that_left_nothing_is_a_plain_success() {
        let ends = |change: fn(&mut MergedTable)| {
            let mut table = MergedTable::default();
            change(&mut table);
            leaves_some(&MergedRows {
                tables: vec![table],
            })
        };
        assert!(!ends(|table| table.merged = 3));
        assert!(ends(|table| table.conflicts = 1));
        assert!(!ends(|table| (table.conflicts, table.taken) = (1, 1)));
        assert!(ends(|table| table.refused = 1));
        assert!(ends(
            |table| table.unmergeable = "it has no primary key".to_owned()
        ));
        assert!(!ends(
            |table| table.unmergeable = "only the live database has it".to_owned()
        ));
    }

    #[test]
    fn a_dry_run_promises_and_touches_nothing() {
        let mut dry = samples::merged();
        dry.dry_run = true;
        let text = dry.text(&page());
        assert!(
            text.contains("1 row would be merged; nothing was touched"),
            "{text}"
        );
    }
}
