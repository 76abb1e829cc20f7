//! Samples of policies, retention and objectives.

use super::text;
use crate::{
    output::testing::at,
    view::{
        objective::{Objective, ObjectiveList, Scenario, Verdict},
        policy::{
            Change, ChangeKind, Coverage, CoverageChange, Exported, HostPlan, Mistake,
            PoliciesApplied, Policy, PolicyDiff, PolicyList, PolicyMatch, Target, Work, WorkState,
        },
        retention::{RetentionLine, RetentionPreview},
    },
};

fn policy() -> Policy {
    Policy {
        name: text("shop"),
        selects: text("name shop"),
        protects: true,
        reason: String::new(),
        backup: text("daily"),
        time_zone: text("UTC"),
        retention: text("daily 7, weekly 4 and monthly 12"),
        drill: text("monthly"),
        targets: vec![Target {
            scenario: Scenario::Rpo,
            seconds: 86_400.0,
        }],
        checks: vec![text("users")],
        stops: vec![text("web")],
        starts: vec![text("web")],
        databases: vec![text("web-1/shop-db/shop")],
        volumes: false,
        stop: false,
    }
}

pub(crate) fn list() -> PolicyList {
    PolicyList {
        policies: vec![policy()],
        unprotected: vec![text("web-1/shop-db/scratch")],
    }
}

pub(crate) fn coverage() -> Coverage {
    Coverage {
        database: text("web-1/shop-db/shop"),
        policy: Some(policy()),
        matches: vec![PolicyMatch {
            policy: text("shop"),
            selects: true,
            why: text("selects by name shop"),
        }],
        work: vec![Work {
            work: text("backup"),
            schedule: text("daily (UTC)"),
            state: WorkState::Next,
            at: Some(at("2026-11-21T02:11:00Z")),
            why: text("by schedule"),
            last_started_at: Some(at("2026-11-20T02:11:00Z")),
            last_job: Some(42),
        }],
    }
}

pub(crate) fn host_plan() -> HostPlan {
    HostPlan {
        host: text("web-1"),
        rebuilt_on: text("lab-1"),
        has_backups: true,
        work: vec![Work {
            work: text("rebuild"),
            schedule: text("quarterly (UTC)"),
            state: WorkState::Held,
            at: Some(at("2026-10-01T02:11:00Z")),
            why: text("lab-1 is not connected"),
            last_started_at: Some(at("2026-07-01T02:11:00Z")),
            last_job: Some(43),
        }],
    }
}

fn change() -> Change {
    Change {
        kind: ChangeKind::Changed,
        name: text("shop"),
        lines: vec![text("backup: hourly -> daily")],
        weakens: true,
    }
}

pub(crate) fn diff() -> PolicyDiff {
    PolicyDiff {
        mistakes: vec![Mistake {
            line: 4,
            column: 13,
            key: text("policies[0].backup"),
            message: text("\"dayly\" is no schedule"),
            advice: text("did you mean daily?"),
        }],
        changes: vec![change()],
        coverage: vec![CoverageChange {
            database: text("web-1/shop-db/shop"),
            from_policy: text("default"),
            to_policy: text("shop"),
        }],
        version: 3,
    }
}

pub(crate) fn applied() -> PoliciesApplied {
    PoliciesApplied {
        changes: vec![change()],
        version: 4,
    }
}

pub(crate) fn exported() -> Exported {
    Exported {
        text: text("policies: []\n"),
        version: 4,
    }
}

pub(crate) fn retention() -> RetentionPreview {
    let newest = RetentionLine {
        backup: 7,
        database: text("web-1/shop-db/shop"),
        kind: text("full"),
        state: text("proven"),
        pinned: false,
        taken_at: Some(at("2026-11-20T02:11:00Z")),
        logical_bytes: 1 << 30,
        stored_bytes: 1 << 20,
        keep: true,
        reasons: vec![
            text("the newest good one"),
            text("daily 1 of 7 (2026-11-20)"),
        ],
        marked_at: None,
        goes_at: None,
        policy: text("shop"),
    };
    let old = RetentionLine {
        backup: 1,
        keep: false,
        reasons: vec![text("older than what daily 7 keep")],
        marked_at: Some(at("2026-11-20T03:00:00Z")),
        goes_at: Some(at("2026-11-21T03:00:00Z")),
        ..newest.clone()
    };
    RetentionPreview::of(vec![newest, old])
}

pub(crate) fn objectives() -> ObjectiveList {
    ObjectiveList {
        objectives: vec![Objective {
            database: text("web-1/shop-db/shop"),
            policy: text("shop"),
            scenario: Scenario::Drill,
            target_seconds: Some(1800.0),
            measured_seconds: Some(720.0),
            measured_at: Some(at("2026-11-01T02:11:00Z")),
            trend_seconds: vec![700.0, 720.0],
            verdict: Verdict::Holds,
            reason: String::new(),
            job: Some(40),
        }],
    }
}
