//! User-count checks: what is asked, how an outcome is judged, and what is kept of it.

use std::time::Duration;

use holdfast_proto::{
    check::{CheckLimits, CheckOutcome, CheckVerdict},
    names::DatabaseName,
    task::{DatabaseTarget, RunCheck},
};

mod record;
mod set;
pub mod verdict;

pub use record::{RecordError, record, trim};
pub use set::{NewCheck, SetError, run_once, set};
pub use verdict::{Judgement, Reason, judge};

/// A check on one database.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub id: u64,
    pub database: DatabaseName,
    pub name: String,
    /// One row, one integer.
    pub count_sql: String,
    /// One row, one timestamp; empty when not asked.
    pub newest_sql: String,
    pub limits: CheckLimits,
    pub every: Duration,
    /// Of both statements together.
    pub timeout: Duration,
}

/// One run with its verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckRun {
    pub outcome: CheckOutcome,
    pub verdict: CheckVerdict,
    pub reasons: Vec<String>,
}

/// A check and its last run.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckState {
    pub check: Check,
    /// None before the first.
    pub last: Option<CheckRun>,
}

impl Check {
    /// The task that runs it on this database (its own, or a copy of it).
    #[must_use]
    pub fn task_on(&self, instance: &str, database: &str) -> RunCheck {
        RunCheck {
            target: DatabaseTarget {
                instance: instance.to_owned(),
                database: database.to_owned(),
            },
            count_sql: self.count_sql.clone(),
            newest_sql: self.newest_sql.clone(),
            timeout: self.timeout,
        }
    }

    /// "web-1/shop-db/shop users".
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{} {}", self.database, self.name)
    }
}

#[cfg(test)]
mod tests;
