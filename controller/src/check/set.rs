//! Set up a check: it must run once on its database before it is kept.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    check::{CheckLimits, CheckOutcome, CheckVerdict},
    names::DatabaseName,
    task::{TaskFailure, TaskResult, TaskSpec},
};

use super::{Check, CheckState, Judgement, judge, record::keep};
use crate::{
    catalog::{Catalog, CatalogError},
    dispatch::{Dispatch, outside_jobs},
    job::step::wrong_result,
};

const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);
const LONGEST_TIMEOUT: Duration = Duration::from_mins(10);
/// On top of the check's own timeout, for the way there and back.
const REACH_WITHIN: Duration = Duration::from_secs(20);

/// A check as an operator asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCheck {
    pub database: DatabaseName,
    pub name: String,
    pub count_sql: String,
    pub newest_sql: String,
    pub limits: CheckLimits,
    pub every: Duration,
    pub timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum SetError {
    #[error("the check makes no sense: {0}")]
    Invalid(String),
    #[error("the check could not run on {database}: {reason}")]
    DoesNotRun {
        database: DatabaseName,
        reason: String,
    },
    #[error("{database} could not be asked")]
    NotAsked {
        database: DatabaseName,
        #[source]
        source: Box<TaskFailure>,
    },
    #[error("{host} did not answer within {} s", .after.as_secs())]
    Timeout { host: String, after: Duration },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl SetError {
    /// What the operator can do next.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Invalid(_) => "`ctl check set --help` explains the limits".to_owned(),
            Self::DoesNotRun { .. } => {
                "try the statement in psql: it must give one row with one number (or time), reading only".to_owned()
            }
            Self::NotAsked { source, .. } => source.advice.clone(),
            Self::Timeout { .. } => "look at `ctl host list`; nothing was stored".to_owned(),
            Self::Catalog(_) => "look at the controller's log; the request can be repeated".to_owned(),
        }
    }
}

/// Runs the check once, and keeps it with this first run if it could. A suspicious first run is
/// kept too: that is what checks are for. True: it replaced one of its name.
///
/// # Errors
/// When it makes no sense, does not run, or its host does not answer; nothing is stored then.
pub async fn set(
    catalog: &Catalog,
    dispatch: &dyn Dispatch,
    new: NewCheck,
    by: &str,
) -> Result<(CheckState, bool), SetError> {
    validate(&new).map_err(SetError::Invalid)?;
    let mut check = Check {
        id: 0,
        database: new.database,
        name: new.name,
        count_sql: new.count_sql,
        newest_sql: new.newest_sql,
        limits: new.limits,
        every: new.every,
        timeout: new.timeout,
    };
    let outcome = run_once(dispatch, &check).await?;
    runs(&check, &outcome, catalog.clock.now())?;
    let (id, replaced) = catalog.put_check(&check, by, catalog.clock.now()).await?;
    check.id = id;
    let run = keep(catalog, &check, outcome).await?;
    let state = CheckState {
        check,
        last: Some(run),
    };
    Ok((state, replaced))
}

fn validate(new: &NewCheck) -> Result<(), String> {
    let name_is_fine = (1..=60).contains(&new.name.len())
        && new
            .name
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.".contains(c));
    if !name_is_fine {
        return Err(format!(
            "{:?} is no name for a check: 1 to 60 letters, digits, -, _ and .",
            new.name
        ));
    }
    if new.count_sql.trim().is_empty() {
        return Err("the count statement is empty".to_owned());
    }
    let limits = &new.limits;
    if let (Some(min), Some(max)) = (limits.min, limits.max)
        && min > max
    {
        return Err(format!(
            "the minimum of {min} is above the maximum of {max}"
        ));
    }
    if limits
        .max_drop_percent
        .is_some_and(|percent| !(0.0..=100.0).contains(&percent))
    {
        return Err("a drop is between 0 % and 100 %".to_owned());
    }
    if limits.max_age.is_some() && new.newest_sql.trim().is_empty() {
        return Err(
            "an age is limited, but no statement asks for the newest row (--newest)".to_owned(),
        );
    }
    if new.every < SHORTEST_INTERVAL {
        return Err(format!("at most every {} s", SHORTEST_INTERVAL.as_secs()));
    }
    if new.timeout.is_zero() || new.timeout > LONGEST_TIMEOUT {
        return Err(format!(
            "the timeout is above 0 and at most {} s",
            LONGEST_TIMEOUT.as_secs()
        ));
    }
    Ok(())
}

/// Runs it now, outside of any job; stores nothing.
///
/// # Errors
/// When its host refuses or does not answer. That the statement fails is an outcome.
pub async fn run_once(dispatch: &dyn Dispatch, check: &Check) -> Result<CheckOutcome, SetError> {
    let database = &check.database;
    let spec = TaskSpec::RunCheck(check.task_on(&database.instance, &database.database));
    let task = outside_jobs("run-check", spec);
    let task_id = task.task_id.clone();
    let after = check.timeout.saturating_add(REACH_WITHIN);
    let run = dispatch.run(&database.host, task, Arc::new(|_| {}));
    let ended = tokio::time::timeout(after, run).await;
    if ended.is_err() {
        dispatch.cancel(&database.host, &task_id, 0).await;
    }
    dispatch.forget(&database.host, &task_id).await;
    let failed = |source| SetError::NotAsked {
        database: database.clone(),
        source: Box::new(source),
    };
    match ended {
        Ok(Ok(TaskResult::CheckOutcome(outcome))) => Ok(outcome),
        Ok(Ok(other)) => Err(failed(wrong_result("run-check", &other))),
        Ok(Err(failure)) => Err(failed(failure)),
        Err(_) => Err(SetError::Timeout {
            host: database.host.to_string(),
            after,
        }),
    }
}

fn runs(check: &Check, outcome: &CheckOutcome, now: DateTime<Utc>) -> Result<(), SetError> {
    let Judgement { verdict, reasons } = judge(
        &check.limits,
        !check.newest_sql.is_empty(),
        None,
        outcome,
        now,
    );
    match (verdict, reasons.first()) {
        (CheckVerdict::CouldNotRun, reason) => Err(SetError::DoesNotRun {
            database: check.database.clone(),
            reason: match reason {
                Some(super::Reason::CouldNotRun(error)) => error.clone(),
                reason => reason.map(ToString::to_string).unwrap_or_default(),
            },
        }),
        (CheckVerdict::Ok | CheckVerdict::Suspicious, _) => Ok(()),
    }
}
