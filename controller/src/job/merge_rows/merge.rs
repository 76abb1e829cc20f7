//! The merge itself, and the way back.

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::task::{
    MergeRows as Verb, MergedRows, MergedTable, TaskFailure, TaskResult, TaskSpec, UnmergedRows,
};
use serde_json::Value;

use super::MergeRows;
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    step::{StepContext, wrong_result},
};

pub const NAME: &str = "merge";

#[derive(Debug)]
pub struct Merge<'a>(pub &'a MergeRows);

#[async_trait]
impl Step for Merge<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let host = &request.database.host;
        ctx.end_earlier_attempts("", host).await;
        let spec = TaskSpec::MergeRows(Verb {
            target: request.target(),
            kept: request.from.clone(),
            tables: request.tables.clone(),
            take: request.take,
            dry_run: request.dry_run,
            ledger: request.ledger(ctx.job),
        });
        match ctx.task("", host, spec).await? {
            TaskResult::MergedRows(merged) => {
                let mut done = StepDone::with(&merged)?;
                if !request.dry_run {
                    done.leaves.push(request.leftover(ctx.job, ctx.now()));
                }
                Ok(done)
            }
            other => Err(wrong_result("merge-rows", &other).into()),
        }
    }

    /// After a success the record stays until its time is over: it knows that the rows are out again.
    async fn undo(&self, ctx: &StepContext, why: &Why) -> Result<StepDone, TaskFailure> {
        let request = self.0;
        let host = &request.database.host;
        ctx.end_attempts("", host).await;
        if request.dry_run {
            return Ok(StepDone::default());
        }
        let succeeded = matches!(why, Why::Requested { .. });
        let spec = TaskSpec::UnmergeRows(request.unmerge(ctx.job, succeeded));
        match ctx.task("", host, spec).await? {
            TaskResult::UnmergedRows(unmerged) => {
                let mut done = StepDone::with(&unmerged).map_err(|failure| failure.failure)?;
                if succeeded {
                    done.leaves.push(request.leftover(ctx.job, ctx.now()));
                }
                Ok(done)
            }
            other => Err(wrong_result("unmerge-rows", &other)),
        }
    }

    fn says(&self, output: &Value) -> String {
        if let Ok(merged) = serde_json::from_value::<MergedRows>(output.clone()) {
            return in_words(&merged, self.0.dry_run);
        }
        match serde_json::from_value::<UnmergedRows>(output.clone()) {
            Ok(unmerged) => format!(
                "{} taken out, {} given back",
                units::plural(unmerged.removed, "row"),
                units::plural(unmerged.restored, "overwritten row")
            ),
            Err(_) => String::new(),
        }
    }
}

fn in_words(merged: &MergedRows, dry_run: bool) -> String {
    let sum = |of: fn(&MergedTable) -> u64| -> u64 { merged.tables.iter().map(of).sum() };
    let verb = if dry_run { "would be merged" } else { "merged" };
    let mut words = vec![format!(
        "{} {verb}",
        units::plural(sum(|table| table.merged), "row")
    )];
    let mut more = |count: u64, word: &str| {
        if count > 0 {
            words.push(format!("{count} {word}"));
        }
    };
    more(sum(|table| table.taken), "overwritten");
    more(
        sum(|table| table.conflicts.saturating_sub(table.taken)),
        "in conflict and left",
    );
    more(sum(|table| table.refused), "refused");
    let tables = merged.tables.iter();
    let unmergeable = tables.filter(|table| !table.unmergeable.is_empty());
    more(unmergeable.count() as u64, "not mergeable (tables)");
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_left_out_goes_unsaid() {
        let table = |change: fn(&mut MergedTable)| {
            let mut table = MergedTable::default();
            change(&mut table);
            table
        };
        let merged = MergedRows {
            tables: vec![
                table(|t| (t.merged, t.conflicts, t.taken) = (2, 3, 1)),
                table(|t| t.refused = 4),
                table(|t| t.unmergeable = "no key".to_owned()),
            ],
        };
        assert_eq!(
            in_words(&merged, false),
            "2 rows merged, 1 overwritten, 2 in conflict and left, 4 refused, 1 not mergeable (tables)"
        );
        assert_eq!(
            in_words(&MergedRows::default(), true),
            "0 rows would be merged"
        );
    }
}
