//! A merge that left something.

use holdfast_proto::task::{MergeRow, MergedRows, MergedTable};

use super::{job_detail, text};
use crate::view::merge::{MergeResult, Merging};

pub(crate) fn merged() -> MergeResult {
    let mut detail = job_detail();
    detail.job.kind = text("merge-rows");
    detail.proof = None;
    detail.merged = Some(rows());
    let merging = Merging {
        job: 42,
        database: text("web-1/shop-db/shop"),
        from: text("shop__before_41"),
        replaced_by: Some(41),
    };
    MergeResult::of(merging, false, detail)
}

/// One that left nothing.
pub(crate) fn all_came() -> MergedRows {
    let mut merged = rows();
    for table in &mut merged.tables {
        table.unmergeable.clear();
        table.taken = table.conflicts;
        table.refused = 0;
        table.rows.retain(|row| row.reason.is_empty());
    }
    merged
}

fn rows() -> MergedRows {
    let row = |key: &str, columns: &[&str], reason: &str| MergeRow {
        key: text(key),
        columns: columns.iter().map(|name| text(name)).collect(),
        reason: text(reason),
    };
    let table = |name: &str| MergedTable {
        schema: text("public"),
        name: text(name),
        ..MergedTable::default()
    };
    MergedRows {
        tables: vec![
            MergedTable {
                unmergeable: text("it has no primary key to tell its rows by"),
                ..table("log")
            },
            MergedTable {
                only_there: 2,
                equal: 13,
                conflicts: 1,
                merged: 1,
                refused: 1,
                left_out_columns: vec![text("nickname")],
                rows: vec![
                    row("id=5", &["email"], ""),
                    row(
                        "id=16",
                        &[],
                        "users_email_key allows it once, and it is in the live row id=99",
                    ),
                ],
                ..table("users")
            },
        ],
    }
}
