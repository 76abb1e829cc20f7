//! Bring rows that only a replaced database has into the one that took its place: one step, all or nothing.
//!
//! The agent does it in one transaction and keeps, in the same one, what it did and what the way back needs. So a
//! repeated step is answered with what was done, and the undo takes out exactly that.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{
    names::DatabaseName,
    task::{DatabaseTarget, MergedRows, TaskFailure, TaskResult, TaskSpec, UnmergeRows},
};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    definition::{Definition, Step},
    event::{Leftover, Outcome},
    landing::marked::{Mark, carries_mark, looks_marked, marked},
    locks::{Resource, ResourceWish},
    position::{Phase, Position},
    step::{StepContext, wrong_result},
    view::JobReport,
};

mod merge;
pub mod replaced;

/// Two databases are read through once; what waits for locks longer than this is better asked for again.
const DEADLINE: Duration = Duration::from_hours(24);

/// What an operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeRows {
    /// Where the rows go.
    pub database: DatabaseName,
    /// Where they come from: another database of the same server.
    pub from: String,
    /// The job that replaced it, when one was asked for or found.
    pub replaced_by: Option<JobId>,
    /// Patterns; empty: every table.
    pub tables: Vec<String>,
    /// Of rows in conflict the replaced one wins; else the live one stays.
    pub take: bool,
    /// Only the report; nothing changes.
    pub dry_run: bool,
    /// How long it can be undone.
    pub keep: Duration,
}

#[async_trait]
impl Definition for MergeRows {
    fn title(&self) -> String {
        format!("{} → {}", self.from, self.database)
    }

    fn check(&self) -> Result<(), String> {
        if looks_marked(&self.database.database) {
            return Err(format!(
                "{} is a name that a job gives to what it keeps: nothing is merged into it",
                self.database
            ));
        }
        if self.from == self.database.database {
            return Err(format!("{} cannot be merged into itself", self.database));
        }
        if self.from.is_empty() || self.tables.iter().any(|pattern| pattern.trim().is_empty()) {
            return Err("a name or a pattern is empty".to_owned());
        }
        Ok(())
    }

    /// While rows are read from the replaced one nobody drops it.
    fn locks(&self) -> Vec<ResourceWish> {
        let live = Resource::Database(self.database.clone());
        let replaced = Resource::Database(DatabaseName {
            database: self.from.clone(),
            ..self.database.clone()
        });
        vec![
            if self.dry_run {
                ResourceWish::shared(live)
            } else {
                ResourceWish::exclusive(live)
            },
            ResourceWish::shared(replaced),
            ResourceWish::shared(Resource::Instance(self.database.instance_name())),
        ]
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        vec![Box::new(merge::Merge(self))]
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn keep(&self) -> Option<Duration> {
        (!self.dry_run).then_some(self.keep)
    }

    fn report(&self, _: JobId, position: &Position, now: DateTime<Utc>) -> JobReport {
        let merged = merged(position);
        JobReport {
            undo: merged
                .as_ref()
                .map(|merged| self.undo(merged, position, now))
                .unwrap_or_default(),
            merged,
            ..JobReport::default()
        }
    }

    /// The record goes; the rows stay for good.
    async fn sweep(&self, leftover: &Leftover, ctx: &StepContext) -> Result<bool, TaskFailure> {
        if !carries_mark(&leftover.database.database, ctx.job) {
            return Err(super::definition::defect(format!(
                "{} is no record of job {}",
                leftover.database, ctx.job
            )));
        }
        let spec = TaskSpec::UnmergeRows(UnmergeRows {
            forget: true,
            ..self.unmerge(ctx.job, true)
        });
        match ctx.task("", &self.database.host, spec).await? {
            TaskResult::UnmergedRows(unmerged) => Ok(unmerged.existed),
            other => Err(wrong_result("unmerge-rows", &other)),
        }
    }
}

impl MergeRows {
    /// What the agent notes for the way back is kept under this name.
    fn ledger(&self, job: JobId) -> String {
        marked(&self.database.database, Mark::Merged, job)
    }

    fn target(&self) -> DatabaseTarget {
        DatabaseTarget {
            instance: self.database.instance.clone(),
            database: self.database.database.clone(),
        }
    }

    fn unmerge(&self, job: JobId, succeeded: bool) -> UnmergeRows {
        UnmergeRows {
            target: self.target(),
            ledger: self.ledger(job),
            succeeded,
            forget: false,
        }
    }

    fn leftover(&self, job: JobId, now: DateTime<Utc>) -> Leftover {
        let keep = TimeDelta::from_std(self.keep).unwrap_or(TimeDelta::MAX);
        let drop_after = now.checked_add_signed(keep);
        Leftover {
            database: DatabaseName {
                database: self.ledger(job),
                ..self.database.clone()
            },
            drop_after: drop_after.unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }

    /// What `ctl job undo` would do now, in one sentence; empty when it would do nothing.
    fn undo(&self, merged: &MergedRows, position: &Position, now: DateTime<Utc>) -> String {
        let Phase::Ended(ended) = &position.phase else {
            return String::new();
        };
        if ended.outcome != Outcome::Succeeded || ended.undo_until.is_none_or(|until| until <= now)
        {
            return String::new();
        }
        let rows: u64 = merged.tables.iter().map(|table| table.merged).sum();
        let taken: u64 = merged.tables.iter().map(|table| table.taken).sum();
        let back = match taken {
            0 => String::new(),
            taken => format!(" and gives {taken} overwritten ones back"),
        };
        format!(
            "takes {rows} merged rows out of {} again{back}; refused if one of them has been changed since",
            self.database.database
        )
    }
}

fn merged(position: &Position) -> Option<MergedRows> {
    let output = position.output(merge::NAME)?.clone();
    serde_json::from_value(output).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> MergeRows {
        MergeRows {
            database: "web-1/shop-db/shop".parse().unwrap(),
            from: "shop__before_41".to_owned(),
            replaced_by: Some(41),
            tables: vec![],
            take: false,
            dry_run: false,
            keep: Duration::from_hours(24),
        }
    }

    #[test]
    fn what_a_job_keeps_is_read_and_never_merged_into() {
        assert_eq!(request().check(), Ok(()));
        let mut wrong = request();
        wrong.database.database = "shop__before_41".to_owned();
        assert!(wrong.check().is_err());
        let mut wrong = request();
        wrong.from = "shop".to_owned();
        assert!(wrong.check().unwrap_err().contains("itself"));
        let mut wrong = request();
        wrong.tables = vec![" ".to_owned()];
        assert!(wrong.check().is_err());
    }

    #[test]
    fn the_replaced_database_is_not_dropped_meanwhile() {
        let named = |request: MergeRows| -> Vec<_> {
            let wishes = request.locks().into_iter();
            wishes
                .map(|wish| (wish.resource.to_string(), wish.exclusive))
                .collect()
        };
        let (live, kept) = (
            "database:web-1/shop-db/shop".to_owned(),
            "database:web-1/shop-db/shop__before_41".to_owned(),
        );
        let wishes = named(request());
        assert!(wishes.contains(&(live.clone(), true)), "{wishes:?}");
        assert!(wishes.contains(&(kept, false)), "{wishes:?}");
        let mut dry = request();
        dry.dry_run = true;
        assert!(named(dry).contains(&(live, false)));
    }
}
