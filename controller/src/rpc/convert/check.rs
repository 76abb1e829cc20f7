//! Checks and their runs, to the wire.

use holdfast_proto::{
    check::{CheckLimits, CheckVerdict},
    wire,
};

use super::duration;
use crate::check::{Check, CheckRun, CheckState};

impl From<CheckState> for wire::Check {
    fn from(state: CheckState) -> Self {
        let CheckState { check, last } = state;
        let Check {
            id,
            database,
            name,
            count_sql,
            newest_sql,
            limits,
            every,
            timeout,
        } = check;
        let CheckLimits {
            min,
            max,
            max_drop_percent,
            max_age,
        } = limits;
        Self {
            id,
            database: Some(database.into()),
            name,
            count_sql,
            newest_sql,
            limits: Some(wire::CheckLimits {
                min,
                max,
                max_drop_percent,
                max_age: max_age.and_then(duration),
            }),
            every: duration(every),
            timeout: duration(timeout),
            last: last.map(Into::into),
        }
    }
}

impl From<CheckRun> for wire::CheckRun {
    fn from(run: CheckRun) -> Self {
        let CheckRun {
            outcome,
            verdict,
            reasons,
        } = run;
        Self {
            outcome: Some(outcome.into()),
            verdict: verdict_of(verdict).into(),
            reasons,
        }
    }
}

pub fn verdict_of(verdict: CheckVerdict) -> wire::CheckVerdict {
    match verdict {
        CheckVerdict::Ok => wire::CheckVerdict::Ok,
        CheckVerdict::Suspicious => wire::CheckVerdict::Suspicious,
        CheckVerdict::CouldNotRun => wire::CheckVerdict::CouldNotRun,
    }
}
