//! Policies, coverage, retention and objectives, to the wire.

use holdfast_proto::{names::DatabaseName, wire};

use super::{duration, time};
use crate::{
    catalog::{Backup, ScheduledRun},
    objective::{Objective, Scenario, Verdict},
    policy::{
        Match, Plan, Policy, Protection, Targets,
        compare::{Change, Kind},
        file::Mistake,
    },
    retention::{
        self,
        removal::{self, Step},
    },
    schedule::{self, Decision, Timing},
    standing::{Care, DatabaseStanding},
};

impl From<Mistake> for wire::PolicyMistake {
    fn from(mistake: Mistake) -> Self {
        let Mistake {
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

impl From<Change> for wire::PolicyChange {
    fn from(change: Change) -> Self {
        let Change {
            kind,
            name,
            lines,
            weakens,
        } = change;
        let kind = match kind {
            Kind::Added => wire::PolicyChangeKind::Added,
            Kind::Changed => wire::PolicyChangeKind::Changed,
            Kind::Removed => wire::PolicyChangeKind::Removed,
        };
        Self {
            kind: kind.into(),
            name,
            lines,
            weakens,
        }
    }
}

impl From<Match> for wire::PolicyMatch {
    fn from(found: Match) -> Self {
        let Match {
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

/// A policy with the databases that it covers.
pub fn policy_row(policy: &Policy, databases: Vec<DatabaseName>) -> wire::Policy {
    let base = wire::Policy {
        name: policy.name.clone(),
        selects: policy.select.to_string(),
        volumes: policy.select.is_of_volumes(),
        databases: databases.into_iter().map(Into::into).collect(),
        ..wire::Policy::default()
    };
    match &policy.protection {
        Protection::Off { reason } => wire::Policy {
            protects: false,
            reason: reason.clone(),
            ..base
        },
        Protection::On(plan) => with_plan(base, plan),
    }
}

fn with_plan(base: wire::Policy, plan: &Plan) -> wire::Policy {
    wire::Policy {
        protects: true,
        backup: plan.backup.text().to_owned(),
        stop: plan.stop,
        time_zone: plan.backup.zone().name().to_owned(),
        retention: plan.retention.to_string(),
        drill: plan
            .drill
            .as_ref()
            .map(|d| d.timing.text().to_owned())
            .unwrap_or_default(),
        targets: targets(plan.targets),
        checks: plan.checks.iter().map(|check| check.name.clone()).collect(),
        stops: plan.hooks.stop.clone(),
        starts: plan.hooks.start.clone(),
        ..base
    }
}

fn targets(targets: Targets) -> Vec<wire::ObjectiveTarget> {
    let Targets {
        rpo,
        restore,
        drill,
        rebuild,
    } = targets;
    let all = [
        (Scenario::Rpo, rpo),
        (Scenario::Restore, restore),
        (Scenario::Drill, drill),
        (Scenario::Rebuild, rebuild),
    ];
    all.into_iter()
        .filter_map(|(of, target)| {
            Some(wire::ObjectiveTarget {
                scenario: scenario(of).into(),
                target: Some(duration(target?)?),
            })
        })
        .collect()
}

pub fn work_row(
    timing: Option<&Timing>,
    runs: &[ScheduledRun],
    decision: &Decision,
) -> wire::ScheduledWork {
    use schedule::Verdict;
    let (state, at, why) = match &decision.verdict {
        Verdict::Start { slot, why } => (wire::ScheduleState::Due, Some(*slot), why.to_string()),
        Verdict::Running { since } => (wire::ScheduleState::Running, Some(*since), String::new()),
        Verdict::Held { slot, by } => (wire::ScheduleState::Held, Some(*slot), by.clone()),
        Verdict::Next { at, why } => (wire::ScheduleState::Next, Some(*at), why.to_string()),
        Verdict::Never => (wire::ScheduleState::Never, None, String::new()),
    };
    let last = runs.iter().find(|run| run.work == decision.work);
    wire::ScheduledWork {
        work: decision.work.to_string(),
        schedule: timing.map(ToString::to_string).unwrap_or_default(),
        state: state.into(),
        at: at.and_then(time),
        why,
        last_started_at: last.and_then(|run| time(run.started_at)),
        last_job: last.and_then(|run| run.job).map_or(0, |(job, _)| job),
    }
}

/// A backup, what retention wants of it, and whose rules these are.
pub fn retention_row(
    backup: Backup,
    decision: &retention::Decision,
    policy: String,
) -> wire::RetentionLine {
    let marked_at = backup.marked_at.filter(|_| !decision.keep);
    // From the mark alone: whether it is over does not matter here.
    let step = marked_at.map(|since| removal::step(false, Some(since), removal::GRACE, since));
    let goes_at = match step {
        Some(Step::Wait { until }) => Some(until),
        _ => None,
    };
    wire::RetentionLine {
        backup: backup.id,
        database: Some(backup.database.into()),
        kind: backup.kind.to_string(),
        state: backup.state.to_string(),
        pinned: backup.pinned,
        taken_at: time(backup.taken_at),
        logical_bytes: backup.logical_bytes,
        stored_bytes: backup.stored_bytes,
        keep: decision.keep,
        reasons: decision.reasons.iter().map(ToString::to_string).collect(),
        marked_at: marked_at.and_then(time),
        goes_at: goes_at.and_then(time),
        policy,
    }
}

pub fn objective_row(database: &DatabaseStanding, objective: Objective) -> wire::Objective {
    let verdict = match objective.verdict {
        Verdict::Holds => wire::ObjectiveVerdict::Holds,
        Verdict::Broken => wire::ObjectiveVerdict::Broken,
        Verdict::NeverMeasured => wire::ObjectiveVerdict::NeverMeasured,
        Verdict::Stale => wire::ObjectiveVerdict::Stale,
        Verdict::NoTarget => wire::ObjectiveVerdict::NoTarget,
    };
    wire::Objective {
        database: Some(database.subject.database.clone().into()),
        policy: database.policy.clone(),
        scenario: scenario(objective.scenario).into(),
        target: objective.target.and_then(duration),
        measured: objective.measured.and_then(duration),
        measured_at: objective.measured_at.and_then(time),
        trend: objective.trend.into_iter().filter_map(duration).collect(),
        verdict: verdict.into(),
        reason: objective.reason,
        job: objective.job.unwrap_or(0),
    }
}

pub fn volume_care(care: Care) -> wire::VolumeCare {
    match care {
        Care::Policy => wire::VolumeCare::Policy,
        Care::NotProtected => wire::VolumeCare::NotProtected,
        Care::Databases => wire::VolumeCare::Databases,
        Care::Nobody => wire::VolumeCare::Nobody,
        Care::NotAsked => wire::VolumeCare::NotAsked,
    }
}

fn scenario(scenario: Scenario) -> wire::Scenario {
    match scenario {
        Scenario::Rpo => wire::Scenario::Rpo,
        Scenario::Restore => wire::Scenario::Restore,
        Scenario::Drill => wire::Scenario::Drill,
        Scenario::Rebuild => wire::Scenario::Rebuild,
    }
}
