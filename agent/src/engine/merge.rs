//! What merging rows is on every engine: which tables belong together, and what is noted for the way back.
//!
//! Rows are told by the live table's primary key. Pure: the engines bring the facts and do the rest.

use std::collections::BTreeSet;

use holdfast_proto::task::{
    FailureKind, MergedRows, MergedTable, TaskFailure, TaskPhase, TaskProgress,
};
use serde::{Deserialize, Serialize};

use super::postgres::{failure::failure, plan::select::glob};
use crate::task::Context;

/// Of each table so many conflicts and so many refused rows are shown.
pub const SHOWN: usize = 20;

/// A table of either side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Empty on MariaDB.
    pub schema: String,
    pub name: String,
    pub columns: Vec<Column>,
    /// Names of the primary key's columns; empty: it has none.
    pub key: Vec<String>,
    /// Why rows of it can never be merged; empty when they can.
    pub obstacle: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Computed by the server from others.
    pub generated: bool,
    /// NOT NULL.
    pub required: bool,
    /// Has a default, or counts by itself.
    pub filled: bool,
    /// The server gives it, and no UPDATE may.
    pub fixed: bool,
}

/// One table on both sides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pair {
    pub live: Table,
    /// Those whose values travel, in the order of the live table.
    pub columns: Vec<String>,
    pub left_out: Vec<String>,
}

/// Every table of both sides is in exactly one of the two lists, unless a pattern leaves it out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairing {
    pub pairs: Vec<Pair>,
    pub unmergeable: Vec<MergedTable>,
}

/// What a merge leaves for its repetition and for its undo, in the same transaction as the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub report: MergedRows,
    pub tables: Vec<LedgerTable>,
    /// The rows are out again.
    pub undone: bool,
}

/// One table's rows: those brought in as they were written, those overwritten as they were before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTable {
    /// Its name in the ledger.
    pub rows: String,
    pub schema: String,
    pub name: String,
    pub key: Vec<String>,
    /// Every column of the live table, then.
    pub columns: Vec<String>,
    /// Those of them that the merge wrote.
    pub written: Vec<String>,
}

impl Table {
    /// As operators name it.
    #[must_use]
    pub fn title(&self) -> String {
        title(&self.schema, &self.name)
    }

    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn matches(&self, pattern: &str) -> bool {
        glob(pattern, &self.name) || glob(pattern, &self.title())
    }

    fn unmergeable(&self, why: impl Into<String>) -> MergedTable {
        MergedTable {
            schema: self.schema.clone(),
            name: self.name.clone(),
            unmergeable: why.into(),
            ..MergedTable::default()
        }
    }
}

impl Pair {
    #[must_use]
    pub fn unmergeable(&self, why: impl Into<String>) -> MergedTable {
        self.live.unmergeable(why)
    }

    /// Columns that an overwritten row gets from the kept one.
    pub fn overwritten(&self) -> impl Iterator<Item = &str> {
        let may = |name: &&String| {
            let fixed = self.live.column(name).is_some_and(|column| column.fixed);
            !fixed && !self.live.key.contains(name)
        };
        self.columns.iter().filter(may).map(String::as_str)
    }
}

/// "public.users"; on MariaDB "users".
#[must_use]
pub fn title(schema: &str, name: &str) -> String {
    if schema.is_empty() {
        name.to_owned()
    } else {
        format!("{schema}.{name}")
    }
}

/// Tells which table it is at.
pub fn progress(context: &Context, done: u64, of: u64, current: &str) {
    context.progress.report(TaskProgress {
        phase: TaskPhase::Data,
        bytes_done: 0,
        bytes_total: 0,
        rows_done: 0,
        items_done: done,
        items_total: of,
        current: current.to_owned(),
        verified_rows: 0,
        path: None,
    });
}

/// Which tables of the two sides belong together, and why others do not.
///
/// # Errors
/// `Invalid` for a pattern that no table matches.
pub fn pair(kept: &[Table], live: &[Table], patterns: &[String]) -> Result<Pairing, TaskFailure> {
    for pattern in patterns {
        if !kept.iter().chain(live).any(|table| table.matches(pattern)) {
            return Err(failure(
                FailureKind::Invalid,
                format!("no table matches {pattern:?}"),
                "patterns are schema.table or table, * stands for any run of characters",
            ));
        }
    }
    let wanted = |table: &&Table| {
        patterns.is_empty() || patterns.iter().any(|pattern| table.matches(pattern))
    };
    let same = |a: &Table, b: &Table| (&a.schema, &a.name) == (&b.schema, &b.name);
    let mut pairing = Pairing::default();
    for theirs in kept.iter().filter(wanted) {
        match live.iter().find(|ours| same(ours, theirs)) {
            Some(ours) => match obstacle(theirs, ours) {
                Some(why) => pairing.unmergeable.push(ours.unmergeable(why)),
                None => pairing.pairs.push(pair_of(theirs, ours)),
            },
            None => pairing
                .unmergeable
                .push(theirs.unmergeable("it is not in the live database")),
        }
    }
    for ours in live.iter().filter(wanted) {
        if !kept.iter().any(|theirs| same(ours, theirs)) {
            let why = "only the live database has it: there is nothing to merge";
            pairing.unmergeable.push(ours.unmergeable(why));
        }
    }
    Ok(pairing)
}

fn obstacle(theirs: &Table, ours: &Table) -> Option<String> {
    let keys: Vec<BTreeSet<_>> = [theirs, ours]
        .iter()
        .map(|table| table.key.iter().collect())
        .collect();
    if !ours.obstacle.is_empty() {
        Some(ours.obstacle.clone())
    } else if !theirs.obstacle.is_empty() {
        Some(theirs.obstacle.clone())
    } else if ours.key.is_empty() {
        Some("it has no primary key to tell its rows by".to_owned())
    } else if keys[0] != keys[1] {
        Some("its primary key is another one in the kept database".to_owned())
    } else if ours
        .key
        .iter()
        .any(|name| ours.column(name).is_none_or(|column| column.generated))
    {
        Some("its primary key is generated".to_owned())
    } else {
        None
    }
}

fn pair_of(theirs: &Table, ours: &Table) -> Pair {
    let in_both = |column: &&Column| theirs.column(&column.name).is_some();
    let columns = ours.columns.iter().filter(in_both);
    let columns = columns.filter(|column| !column.generated);
    let only_ours = ours.columns.iter().filter(|column| !in_both(column));
    let only_theirs = theirs.columns.iter();
    let only_theirs = only_theirs.filter(|column| ours.column(&column.name).is_none());
    let left_out = only_ours.chain(only_theirs).filter(|c| !c.generated);
    Pair {
        columns: columns.map(|column| column.name.clone()).collect(),
        left_out: left_out.map(|column| column.name.clone()).collect(),
        live: ours.clone(),
    }
}

/// The database that the ledger was made in is not the one that stands there.
#[must_use]
pub fn another_database(database: &str) -> TaskFailure {
    failure(
        FailureKind::Conflict,
        format!(
            "the database {database:?} is not the one that the rows were merged into: the merge's record is not there"
        ),
        "nothing was changed; when a later restore or copy replaced it, undo that one first (ctl job list)",
    )
}

/// Rows of the merge are others by now.
#[must_use]
pub fn changed_since(table: &str, count: u64, keys: &[String]) -> TaskFailure {
    let rows = if count == 1 { "row has" } else { "rows have" };
    failure(
        FailureKind::Conflict,
        format!(
            "{count} merged {rows} been changed since in {table}: {}",
            listed(keys, count)
        ),
        "nothing was taken out; look at these rows, and delete by hand what is not wanted",
    )
}

/// Other rows refer to what would go.
#[must_use]
pub fn referred_to(table: &str, by: &str, count: u64, keys: &[String]) -> TaskFailure {
    failure(
        FailureKind::Conflict,
        format!(
            "rows of {by} that came later refer to merged rows of {table}: {}",
            listed(keys, count)
        ),
        "nothing was taken out; delete the rows that refer to them first, or leave them",
    )
}

/// The live table is another one than when the rows came.
#[must_use]
pub fn table_changed(table: &str) -> TaskFailure {
    failure(
        FailureKind::Conflict,
        format!("{table} is gone or has other columns than when the rows were merged"),
        "nothing was taken out; delete by hand what is not wanted",
    )
}

fn listed(keys: &[String], count: u64) -> String {
    let more = count.saturating_sub(keys.len() as u64);
    let shown = keys.join("; ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, columns: &[&str], key: &[&str]) -> Table {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            ..Column::default()
        };
        Table {
            schema: "public".to_owned(),
            name: name.to_owned(),
            columns: columns.iter().map(column).collect(),
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            obstacle: String::new(),
        }
    }

    fn why(kept: &[Table], live: &[Table]) -> String {
        let pairing = pair(kept, live, &[]).unwrap();
        assert_eq!(pairing.pairs, []);
        pairing.unmergeable[0].unmergeable.clone()
    }

    #[test]
    fn only_columns_of_both_travel_and_generated_ones_never_do() {
        let kept = table("users", &["id", "name", "old", "full"], &["id"]);
        let mut live = table("users", &["full", "name", "id", "new"], &["id"]);
        live.columns[0].generated = true;
        let pairing = pair(&[kept], &[live], &[]).unwrap();
        assert_eq!(pairing.unmergeable, []);
        assert_eq!(pairing.pairs[0].columns, ["name", "id"]);
        assert_eq!(pairing.pairs[0].left_out, ["new", "old"]);
        let overwritten: Vec<_> = pairing.pairs[0].overwritten().collect();
        assert_eq!(overwritten, ["name"]);
    }

    #[test]
    fn every_table_that_cannot_be_merged_says_why() {
        let plain = || table("users", &["id", "name"], &["id"]);
        let keyless = || table("users", &["id", "name"], &[]);
        assert!(why(&[plain()], &[]).contains("not in the live database"));
        assert!(why(&[], &[plain()]).contains("only the live database"));
        assert!(why(&[keyless()], &[keyless()]).contains("no primary key"));
        let other = table("users", &["id", "name"], &["name"]);
        assert!(why(&[other], &[plain()]).contains("another one"));
        let mut generated = plain();
        generated.columns[0].generated = true;
        assert!(why(&[plain()], &[generated]).contains("generated"));
        let refused = Table {
            obstacle: "it has triggers".to_owned(),
            ..plain()
        };
        assert_eq!(why(&[plain()], &[refused]), "it has triggers");
    }

    #[test]
    fn patterns_choose_and_one_that_chooses_nothing_is_a_mistake() {
        let both = [
            table("users", &["id"], &["id"]),
            table("orders", &["id"], &["id"]),
        ];
        let names = |patterns: &[&str]| -> Vec<String> {
            let patterns: Vec<_> = patterns.iter().map(|p| (*p).to_owned()).collect();
            let pairing = pair(&both, &both, &patterns).unwrap();
            pairing.pairs.into_iter().map(|p| p.live.name).collect()
        };
        assert_eq!(names(&["users"]), ["users"]);
        assert_eq!(names(&["public.o*"]), ["orders"]);
        assert_eq!(names(&[]).len(), 2);
        let missed = pair(&both, &both, &["gone".to_owned()]).unwrap_err();
        assert_eq!(missed.kind, FailureKind::Invalid);
    }

    #[test]
    fn a_list_of_keys_is_short_and_its_count_exact() {
        let keys = ["id=1".to_owned(), "id=2".to_owned()];
        let failure = changed_since("public.users", 7, &keys);
        assert_eq!(
            failure.message,
            "7 merged rows have been changed since in public.users: id=1; id=2 and 5 more"
        );
        assert!(!failure.retryable);
    }
}
