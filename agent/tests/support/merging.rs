//! The verbs of a merge on the database `shop` of the instance `shop-db`, and its kept predecessor.

use holdfast_agent::task::{Context, perform};
use holdfast_proto::task::{
    DatabaseTarget, MergeRows, MergedRows, MergedTable, TaskFailure, TaskResult, TaskSpec,
    UnmergeRows, UnmergedRows,
};

pub const KEPT: &str = "shop__before_1";
const LEDGER: &str = "shop__merged_2";

pub async fn merge(
    context: &Context,
    change: fn(&mut MergeRows),
) -> Result<MergedRows, TaskFailure> {
    let mut spec = MergeRows {
        target: target(),
        kept: KEPT.to_owned(),
        tables: vec![],
        take: false,
        dry_run: false,
        ledger: LEDGER.to_owned(),
    };
    change(&mut spec);
    match perform(TaskSpec::MergeRows(spec), context).await? {
        TaskResult::MergedRows(merged) => Ok(merged),
        other => panic!("{other:?}"),
    }
}

pub async fn unmerge(
    context: &Context,
    change: fn(&mut UnmergeRows),
) -> Result<UnmergedRows, TaskFailure> {
    let mut spec = UnmergeRows {
        target: target(),
        ledger: LEDGER.to_owned(),
        succeeded: true,
        forget: false,
    };
    change(&mut spec);
    match perform(TaskSpec::UnmergeRows(spec), context).await? {
        TaskResult::UnmergedRows(unmerged) => Ok(unmerged),
        other => panic!("{other:?}"),
    }
}

pub fn table<'a>(merged: &'a MergedRows, name: &str) -> &'a MergedTable {
    let found = merged.tables.iter().find(|table| table.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in {merged:#?}"))
}

fn target() -> DatabaseTarget {
    DatabaseTarget {
        instance: "shop-db".to_owned(),
        database: "shop".to_owned(),
    }
}
