//! Checks: defined, listed, looked back at.

use std::time::Duration;

use holdfast_proto::{
    WireError,
    check::{CheckLimits, CheckOutcome, CheckVerdict},
    names::DatabaseName,
    time::{from_duration, to_duration},
    wire,
};

use super::{
    CallError, Client, each,
    read::{required, variant},
    within,
};
use crate::view::check::{Check, CheckHistory, CheckRun, CheckSet, Limits, Outcome};

/// A check as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckSpec {
    pub database: DatabaseName,
    pub name: String,
    pub count_sql: String,
    pub newest_sql: String,
    pub limits: CheckLimits,
    pub every: Duration,
    pub timeout: Duration,
}

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    /// Validated by running it once.
    pub async fn set_check(&mut self, spec: CheckSpec) -> Result<CheckSet, CallError> {
        let request = wire::SetCheckRequest {
            check: Some(spec.into()),
        };
        let answer = within(self.within, self.inner.set_check(request)).await?;
        Ok(CheckSet {
            check: required("SetCheckResponse", "check", answer.check)?.try_into()?,
            replaced: answer.replaced,
        })
    }

    pub async fn remove_check(
        &mut self,
        database: &DatabaseName,
        name: &str,
    ) -> Result<(), CallError> {
        let request = wire::RemoveCheckRequest {
            database: Some(database.clone().into()),
            name: name.to_owned(),
        };
        within(self.within, self.inner.remove_check(request)).await?;
        Ok(())
    }

    pub async fn checks(&mut self) -> Result<Vec<Check>, CallError> {
        let answer = within(
            self.within,
            self.inner.list_checks(wire::ListChecksRequest {}),
        )
        .await?;
        each(answer.checks, Check::try_from)
    }

    pub async fn check_history(
        &mut self,
        database: &DatabaseName,
        name: &str,
        limit: u32,
    ) -> Result<CheckHistory, CallError> {
        let request = wire::GetCheckHistoryRequest {
            database: Some(database.clone().into()),
            name: name.to_owned(),
            limit,
        };
        let answer = within(self.within, self.inner.get_check_history(request)).await?;
        Ok(CheckHistory {
            check: required("GetCheckHistoryResponse", "check", answer.check)?.try_into()?,
            runs: each(answer.runs, CheckRun::try_from)?,
        })
    }
}

impl From<CheckSpec> for wire::Check {
    fn from(spec: CheckSpec) -> Self {
        let CheckSpec {
            database,
            name,
            count_sql,
            newest_sql,
            limits,
            every,
            timeout,
        } = spec;
        Self {
            id: 0,
            database: Some(database.into()),
            name,
            count_sql,
            newest_sql,
            limits: Some(limits.into()),
            every: Some(to_duration(every)),
            timeout: Some(to_duration(timeout)),
            last: None,
        }
    }
}

impl TryFrom<wire::Check> for Check {
    type Error = WireError;

    fn try_from(check: wire::Check) -> Result<Self, WireError> {
        let wire::Check {
            id,
            database,
            name,
            count_sql,
            newest_sql,
            limits,
            every,
            timeout,
            last,
        } = check;
        let database = DatabaseName::try_from(required("Check", "database", database)?)?;
        let limits = CheckLimits::try_from(limits.unwrap_or_default())?;
        Ok(Self {
            id,
            database: database.to_string(),
            name,
            count_sql,
            newest_sql,
            limits: Limits {
                min: limits.min,
                max: limits.max,
                max_drop_percent: limits.max_drop_percent,
                max_age_seconds: limits.max_age.map(|age| age.as_secs()),
            },
            every_seconds: from_duration("Check", "every", every)?.as_secs(),
            timeout_seconds: from_duration("Check", "timeout", timeout)?.as_secs(),
            last: last.map(CheckRun::try_from).transpose()?,
        })
    }
}

impl TryFrom<wire::CheckRun> for CheckRun {
    type Error = WireError;

    fn try_from(run: wire::CheckRun) -> Result<Self, WireError> {
        let wire::CheckRun {
            outcome,
            verdict: word,
            reasons,
        } = run;
        let outcome = CheckOutcome::try_from(required("CheckRun", "outcome", outcome)?)?;
        Ok(Self {
            verdict: variant("CheckRun", "verdict", word, verdict)?,
            reasons,
            outcome: Outcome::from(outcome),
        })
    }
}

pub(super) fn verdict(verdict: wire::CheckVerdict) -> Option<CheckVerdict> {
    CheckVerdict::try_from(verdict).ok()
}
