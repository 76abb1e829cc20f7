//! Policies, retention and objectives.

use std::time::Duration;

use holdfast_proto::{
    WireError,
    names::{DatabaseName, HostName},
    time::from_duration,
    wire,
};

use super::{
    CallError, Client, each,
    read::{required, time, variant},
    within,
};
use crate::view::{
    objective::{Objective, Scenario, Verdict},
    policy::{
        Change, ChangeKind, Coverage, CoverageChange, Exported, HostPlan, Mistake, PoliciesApplied,
        Policy, PolicyDiff, PolicyList, PolicyMatch, Target, Work, WorkState,
    },
    retention::{RetentionLine, RetentionPreview},
};

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    pub async fn compare_policies(&mut self, text: String) -> Result<PolicyDiff, CallError> {
        let request = wire::ComparePoliciesRequest { text };
        let answer = within(self.within, self.inner.compare_policies(request)).await?;
        Ok(PolicyDiff {
            mistakes: answer.mistakes.into_iter().map(Mistake::from).collect(),
            changes: each(answer.changes, Change::try_from)?,
            coverage: each(answer.coverage, CoverageChange::try_from)?,
            version: answer.version,
        })
    }

    /// `version`: what it was compared with; 0: whatever there is.
    pub async fn apply_policies(
        &mut self,
        text: String,
        version: u64,
    ) -> Result<PoliciesApplied, CallError> {
        let request = wire::ApplyPoliciesRequest { text, version };
        let answer = within(self.within, self.inner.apply_policies(request)).await?;
        Ok(PoliciesApplied {
            changes: each(answer.changes, Change::try_from)?,
            version: answer.version,
        })
    }

    pub async fn export_policies(&mut self) -> Result<Exported, CallError> {
        let request = wire::ExportPoliciesRequest {};
        let answer = within(self.within, self.inner.export_policies(request)).await?;
        let wire::ExportPoliciesResponse { text, version } = answer;
        Ok(Exported { text, version })
    }

    pub async fn policies(&mut self) -> Result<PolicyList, CallError> {
        let request = wire::ListPoliciesRequest {};
        let answer = within(self.within, self.inner.list_policies(request)).await?;
        Ok(PolicyList {
            policies: each(answer.policies, Policy::try_from)?,
            unprotected: each(answer.unprotected, name)?,
        })
    }

    pub async fn coverage(&mut self, database: &DatabaseName) -> Result<Coverage, CallError> {
        let request = wire::GetCoverageRequest {
            database: Some(database.clone().into()),
        };
        let answer = within(self.within, self.inner.get_coverage(request)).await?;
        let wire::GetCoverageResponse {
            database,
            policy,
            matches,
            work,
        } = answer;
        Ok(Coverage {
            database: name(required("GetCoverageResponse", "database", database)?)?,
            policy: policy.map(Policy::try_from).transpose()?,
            matches: matches.into_iter().map(PolicyMatch::from).collect(),
            work: each(work, Work::try_from)?,
        })
    }

    pub async fn host_plan(&mut self, host: &HostName) -> Result<HostPlan, CallError> {
        let request = wire::GetHostPlanRequest {
            host: host.to_string(),
        };
        let answer = within(self.within, self.inner.get_host_plan(request)).await?;
        let wire::GetHostPlanResponse {
            host,
            rebuilt_on,
            has_backups,
            work,
        } = answer;
        Ok(HostPlan {
            host,
            rebuilt_on,
            has_backups,
            work: each(work, Work::try_from)?,
        })
    }

    /// None: of all databases.
    pub async fn retention(
        &mut self,
        database: Option<DatabaseName>,
    ) -> Result<RetentionPreview, CallError> {
        let request = wire::PreviewRetentionRequest {
            database: database.map(Into::into),
        };
        let answer = within(self.within, self.inner.preview_retention(request)).await?;
        Ok(RetentionPreview::of(each(
            answer.lines,
            RetentionLine::try_from,
        )?))
    }

    /// None: of all databases.
    pub async fn objectives(
        &mut self,
        database: Option<DatabaseName>,
    ) -> Result<Vec<Objective>, CallError> {
        let request = wire::ListObjectivesRequest {
            database: database.map(Into::into),
        };
        let answer = within(self.within, self.inner.list_objectives(request)).await?;
        each(answer.objectives, Objective::try_from)
    }
}

fn name(name: wire::DatabaseName) -> Result<String, WireError> {
    Ok(DatabaseName::try_from(name)?.to_string())
}

impl From<wire::PolicyMistake> for Mistake {
    fn from(mistake: wire::PolicyMistake) -> Self {
        let wire::PolicyMistake {
            line,
            column,
            key,
            message,
            advice,
        } = mistake;
        Self {
            line,
            column,
            key,
            message,
            advice,
        }
    }
}

impl TryFrom<wire::PolicyChange> for Change {
    type Error = WireError;

    fn try_from(change: wire::PolicyChange) -> Result<Self, WireError> {
        let wire::PolicyChange {
            kind,
            name,
            lines,
            weakens,
        } = change;
        Ok(Self {
            kind: variant("PolicyChange", "kind", kind, |kind| match kind {
                wire::PolicyChangeKind::Unspecified => None,
                wire::PolicyChangeKind::Added => Some(ChangeKind::Added),
                wire::PolicyChangeKind::Changed => Some(ChangeKind::Changed),
                wire::PolicyChangeKind::Removed => Some(ChangeKind::Removed),
            })?,
            name,
            lines,
            weakens,
        })
    }
}

impl TryFrom<wire::CoverageChange> for CoverageChange {
    type Error = WireError;

    fn try_from(change: wire::CoverageChange) -> Result<Self, WireError> {
        let wire::CoverageChange {
            database,
            from_policy,
            to_policy,
        } = change;
        Ok(Self {
            database: name(required("CoverageChange", "database", database)?)?,
            from_policy,
            to_policy,
        })
    }
}

impl TryFrom<wire::Policy> for Policy {
    type Error = WireError;

    fn try_from(policy: wire::Policy) -> Result<Self, WireError> {
        let wire::Policy {
            name: own,
            selects,
            protects,
            reason,
            backup,
            time_zone,
            retention,
            drill,
            targets,
            checks,
            stops,
            starts,
            databases,
            volumes,
            stop,
        } = policy;
        let target = |target: wire::ObjectiveTarget| {
            Ok(Target {
                scenario: scenario("ObjectiveTarget", target.scenario)?,
                seconds: from_duration("ObjectiveTarget", "target", target.target)?.as_secs_f64(),
            })
        };
        Ok(Self {
            name: own,
            selects,
            protects,
            reason,
            backup,
            time_zone,
            retention,
            drill,
            targets: targets
                .into_iter()
                .map(target)
                .collect::<Result<_, WireError>>()?,
            checks,
            stops,
            starts,
            databases: databases.into_iter().map(name).collect::<Result<_, _>>()?,
            volumes,
            stop,
        })
    }
}

impl From<wire::PolicyMatch> for PolicyMatch {
    fn from(found: wire::PolicyMatch) -> Self {
        let wire::PolicyMatch {
            policy,
            selects,
            why,
        } = found;
        Self {
            policy,
            selects,
            why,
        }
    }
}

impl TryFrom<wire::ScheduledWork> for Work {
    type Error = WireError;

    fn try_from(work: wire::ScheduledWork) -> Result<Self, WireError> {
        let wire::ScheduledWork {
            work: what,
            schedule,
            state,
            at,
            why,
            last_started_at,
            last_job,
        } = work;
        Ok(Self {
            work: what,
            schedule,
            state: variant("ScheduledWork", "state", state, |state| match state {
                wire::ScheduleState::Unspecified => None,
                wire::ScheduleState::Next => Some(WorkState::Next),
                wire::ScheduleState::Due => Some(WorkState::Due),
                wire::ScheduleState::Running => Some(WorkState::Running),
                wire::ScheduleState::Held => Some(WorkState::Held),
                wire::ScheduleState::Never => Some(WorkState::Never),
            })?,
            at: time("ScheduledWork", "at", at)?,
            why,
            last_started_at: time("ScheduledWork", "last_started_at", last_started_at)?,
            last_job: Some(last_job).filter(|job| *job > 0),
        })
    }
}

impl TryFrom<wire::RetentionLine> for RetentionLine {
    type Error = WireError;

    fn try_from(line: wire::RetentionLine) -> Result<Self, WireError> {
        let wire::RetentionLine {
            backup,
            database,
            kind,
            state,
            pinned,
            taken_at,
            logical_bytes,
            stored_bytes,
            keep,
            reasons,
            marked_at,
            goes_at,
            policy,
        } = line;
        Ok(Self {
            backup,
            database: name(required("RetentionLine", "database", database)?)?,
            kind,
            state,
            pinned,
            taken_at: time("RetentionLine", "taken_at", taken_at)?,
            logical_bytes,
            stored_bytes,
            keep,
            reasons,
            marked_at: time("RetentionLine", "marked_at", marked_at)?,
            goes_at: time("RetentionLine", "goes_at", goes_at)?,
            policy,
        })
    }
}

impl TryFrom<wire::Objective> for Objective {
    type Error = WireError;

    fn try_from(objective: wire::Objective) -> Result<Self, WireError> {
        let wire::Objective {
            database,
            policy,
            scenario: of,
            target,
            measured,
            measured_at,
            trend,
            verdict,
            reason,
            job,
        } = objective;
        let seconds = |span| {
            let span = from_duration("Objective", "trend", Some(span))?;
            Ok::<_, WireError>(Duration::as_secs_f64(&span))
        };
        Ok(Self {
            database: name(required("Objective", "database", database)?)?,
            policy,
            scenario: scenario("Objective", of)?,
            target_seconds: target.map(seconds).transpose()?,
            measured_seconds: measured.map(seconds).transpose()?,
            measured_at: time("Objective", "measured_at", measured_at)?,
            trend_seconds: trend.into_iter().map(seconds).collect::<Result<_, _>>()?,
            verdict: variant("Objective", "verdict", verdict, |verdict| match verdict {
                wire::ObjectiveVerdict::Unspecified => None,
                wire::ObjectiveVerdict::Holds => Some(Verdict::Holds),
                wire::ObjectiveVerdict::Broken => Some(Verdict::Broken),
                wire::ObjectiveVerdict::NeverMeasured => Some(Verdict::NeverMeasured),
                wire::ObjectiveVerdict::NoTarget => Some(Verdict::NoTarget),
                wire::ObjectiveVerdict::Stale => Some(Verdict::Stale),
            })?,
            reason,
            job: Some(job).filter(|job| *job > 0),
        })
    }
}

fn scenario(message: &'static str, value: i32) -> Result<Scenario, WireError> {
    variant(message, "scenario", value, |scenario| match scenario {
        wire::Scenario::Unspecified => None,
        wire::Scenario::Rpo => Some(Scenario::Rpo),
        wire::Scenario::Restore => Some(Scenario::Restore),
        wire::Scenario::Drill => Some(Scenario::Drill),
        wire::Scenario::Rebuild => Some(Scenario::Rebuild),
    })
}
