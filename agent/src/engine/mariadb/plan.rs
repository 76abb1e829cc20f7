//! Which tables travel and in which parts: pure.

use holdfast_proto::{
    image::{CopyFormat, Hash128, Part, RelationKind, RelationPlan},
    task::Selection,
};

use super::document::{Document, Table};
use crate::engine::postgres::plan::select::glob;

/// A table is cut into no more: where keys lie thin, a part holds little.
const MOST_PARTS: u64 = 4096;

/// What a table is cut for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cutting {
    /// A server: the parts are read and loaded at once. On few processors one piece is faster.
    Server { cpus: u32 },
    /// A repository: small parts, the same on every machine. Chunks lie at fixed places of a part, so a row that is
    /// written into the middle costs its part and not the table.
    Repository,
}

impl Cutting {
    /// Smaller tables stay whole.
    fn worth_it(self) -> u64 {
        match self {
            Self::Server { cpus: ..=2 } => u64::MAX,
            Self::Server { .. } => 256 << 20,
            Self::Repository => 64 << 20,
        }
    }

    /// About the size of a part.
    fn part_bytes(self) -> u64 {
        match self {
            Self::Server { .. } => 128 << 20,
            Self::Repository => 32 << 20,
        }
    }
}

/// A table of the document with its parts.
#[derive(Debug, Clone)]
pub struct Travelling {
    pub plan: RelationPlan,
    pub table: Table,
    pub parts: Vec<Part>,
}

/// The smallest and the largest value of a key's first column, where it is a whole number.
pub type Range = Option<(i64, i64)>;

/// Leaves out of the document what the selection does not name. Gives patterns that match no table.
pub fn select(document: &mut Document, selection: &Selection) -> Vec<String> {
    let database = document.database.clone();
    let matches = |pattern: &str, name: &str| {
        glob(pattern, name)
            || pattern
                .match_indices('.')
                .any(|(at, _)| glob(&pattern[..at], &database) && glob(&pattern[at + 1..], name))
    };
    let names: Vec<String> = document
        .tables
        .iter()
        .map(|table| table.name.clone())
        .collect();
    let patterns = [
        &selection.tables,
        &selection.exclude_tables,
        &selection.exclude_table_data,
    ];
    let unmatched = patterns.into_iter().flatten();
    let unmatched = unmatched
        .filter(|pattern| !names.iter().any(|name| matches(pattern, name)))
        .cloned()
        .collect();
    let any = |patterns: &[String], name: &str| patterns.iter().any(|p| matches(p, name));
    let stays = |name: &str| {
        (selection.tables.is_empty() || any(&selection.tables, name))
            && !any(&selection.exclude_tables, name)
    };
    document.tables.retain(|table| stays(&table.name));
    document.triggers.retain(|trigger| stays(&trigger.table));
    unmatched
}

/// Whether a table's rows are asked for.
#[must_use]
pub fn with_rows(document: &Document, selection: &Selection, name: &str) -> bool {
    let matches = |pattern: &String| {
        glob(pattern, name) || glob(pattern, &format!("{}.{name}", document.database))
    };
    !selection.schema_only && !selection.exclude_table_data.iter().any(matches)
}

/// One table as it travels; `range` is of its key.
#[must_use]
pub fn travelling(
    id: u32,
    database: &str,
    table: &Table,
    range: Range,
    cutting: Cutting,
) -> Travelling {
    let parts = cut(table, range, cutting);
    Travelling {
        plan: RelationPlan {
            id,
            schema: database.to_owned(),
            name: table.name.clone(),
            kind: RelationKind::Table,
            columns: table
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            format: CopyFormat::Text,
            parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
            estimated_bytes: table.bytes,
            filter: String::new(),
            constraint_indexes: Vec::new(),
        },
        table: table.clone(),
        parts,
    }
}

/// Whether it is worth asking for the range of its key.
#[must_use]
pub fn may_be_cut(table: &Table, cutting: Cutting) -> bool {
    table.bytes > cutting.worth_it() && table.engine == "InnoDB" && !table.key.is_empty()
}

/// At multiples of a power of two, so that a border stays where it is while the table grows.
fn cut(table: &Table, range: Range, cutting: Cutting) -> Vec<Part> {
    let whole = || vec![part(0, 0, 0)];
    let Some((first, last)) = range.filter(|_| may_be_cut(table, cutting)) else {
        return whole();
    };
    let (first, last) = (
        u64::try_from(first).unwrap_or(0),
        u64::try_from(last).unwrap_or(0),
    );
    let span = last.saturating_sub(first).max(1);
    let wanted = table.bytes.div_ceil(cutting.part_bytes()).max(1);
    let step = (span / wanted)
        .max(span / MOST_PARTS)
        .max(1)
        .next_power_of_two();
    let begin = first / step;
    let end = last / step + 1;
    if end <= begin + 1 {
        return whole();
    }
    (begin..end)
        .enumerate()
        .map(|(index, at)| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            part(index, at * step, (at + 1) * step)
        })
        .collect()
}

fn part(index: u32, first_page: u64, end_page: u64) -> Part {
    Part {
        index,
        first_page,
        end_page,
        rows: 0,
        bytes: 0,
        bytes_hash: Hash128::default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(bytes: u64) -> Table {
        Table {
            name: "t".to_owned(),
            engine: "InnoDB".to_owned(),
            key: vec!["id".to_owned()],
            bytes,
            ..Table::default()
        }
    }

    proptest! {
        #[test]
        fn borders_follow_each_other(bytes in 0u64..(40 << 30), first in -5i64..1000, more in 0i64..100_000_000, cpus in proptest::option::of(0u32..64)) {
            let cutting = cpus.map_or(Cutting::Repository, |cpus| Cutting::Server { cpus });
            let parts = cut(&table(bytes), Some((first, first + more)), cutting);
            prop_assert!(!parts.is_empty() && parts.len() <= 2 * MOST_PARTS as usize);
            prop_assert!(parts.len() == 1 || cpus.is_none_or(|cpus| cpus > 2));
            for pair in parts.windows(2) {
                prop_assert_eq!(pair[0].end_page, pair[1].first_page);
                prop_assert_eq!(pair[0].index + 1, pair[1].index);
            }
        }
    }

    #[test]
    fn a_table_that_grows_keeps_its_borders() {
        for cutting in [Cutting::Server { cpus: 8 }, Cutting::Repository] {
            let before = cut(&table(1 << 30), Some((1, 1_000_000)), cutting);
            let after = cut(&table(1_100 << 20), Some((1, 1_100_000)), cutting);
            assert!(before.len() > 4);
            assert_eq!(before, after[..before.len()]);
        }
    }

    #[test]
    fn a_selection_names_tables_by_patterns() {
        let mut document = Document {
            database: "shop".to_owned(),
            tables: ["orders", "order_items", "users"]
                .map(|name| Table {
                    name: name.to_owned(),
                    ..Table::default()
                })
                .into(),
            ..Document::default()
        };
        let selection = Selection {
            tables: vec!["shop.order*".to_owned(), "nowhere".to_owned()],
            exclude_table_data: vec!["orders".to_owned()],
            ..Selection::default()
        };
        assert_eq!(select(&mut document, &selection), ["nowhere"]);
        let names: Vec<_> = document.tables.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["orders", "order_items"]);
        assert!(
            !with_rows(&document, &selection, "orders")
                && with_rows(&document, &selection, "order_items")
        );
    }
}
