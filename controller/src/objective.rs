//! Targets and what was measured, side by side: for each database and scenario whether the target holds.

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::names::DatabaseName;

use crate::{
    catalog::{Backup, BackupId},
    job::JobId,
    policy::Plan,
};

/// What nobody has measured for this long counts no more.
const STALE_AFTER: TimeDelta = TimeDelta::days(366);
/// How many of the last measurements show where it goes.
const TREND: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// Age of the newest good backup: what a loss now would cost.
    Rpo,
    Restore,
    Drill,
    Rebuild,
}

/// One recovery with what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    pub database: DatabaseName,
    pub scenario: Scenario,
    pub at: DateTime<Utc>,
    /// Everything was there, and proven.
    pub passed: bool,
    pub backup: Option<BackupId>,
    pub job: Option<JobId>,
    /// From the request to a database that is proven.
    pub took: Duration,
    /// Parts of it: reading the repository, storing rows, indexes, checks.
    pub fetch: Duration,
    pub restore: Duration,
    pub index: Duration,
    pub check: Duration,
    /// Age of the backup at that moment.
    pub rpo: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objective {
    pub scenario: Scenario,
    pub target: Option<Duration>,
    pub measured: Option<Duration>,
    pub measured_at: Option<DateTime<Utc>>,
    /// The last ones, oldest first.
    pub trend: Vec<Duration>,
    pub verdict: Verdict,
    pub reason: String,
    pub job: Option<JobId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    Broken,
    /// Not green: nobody knows.
    NeverMeasured,
    /// Measured too long ago to count.
    Stale,
    NoTarget,
}

impl Scenario {
    /// Those that a recovery measures.
    pub const MEASURED: [Self; 3] = [Self::Restore, Self::Drill, Self::Rebuild];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rpo => "rpo",
            Self::Restore => "restore",
            Self::Drill => "drill",
            Self::Rebuild => "rebuild",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every scenario of one database. `backups`: the good full ones, newest first; `recoveries`: its own, oldest first.
#[must_use]
pub fn objectives(
    plan: &Plan,
    backups: &[&Backup],
    recoveries: &[Recovery],
    now: DateTime<Utc>,
) -> Vec<Objective> {
    let mut all = vec![rpo(plan.targets.rpo, backups, now)];
    for scenario in Scenario::MEASURED {
        let target = match scenario {
            Scenario::Rpo => plan.targets.rpo,
            Scenario::Restore => plan.targets.restore,
            Scenario::Drill => plan.targets.drill,
            Scenario::Rebuild => plan.targets.rebuild,
        };
        let own = recoveries
            .iter()
            .filter(|recovery| recovery.scenario == scenario);
        all.push(measured(scenario, target, &own.collect::<Vec<_>>(), now));
    }
    all
}

fn rpo(target: Option<Duration>, backups: &[&Backup], now: DateTime<Utc>) -> Objective {
    let age = |backup: &Backup| (now - backup.taken_at).to_std().unwrap_or_default();
    let newest = backups.first();
    let gaps = backups.windows(2).take(TREND).filter_map(|pair| {
        let gap = pair[0].taken_at - pair[1].taken_at;
        gap.to_std().ok()
    });
    let mut trend: Vec<_> = gaps.collect();
    trend.reverse();
    let measured = newest.map(|backup| age(backup));
    let (verdict, reason) = match (measured, target) {
        (None, _) => (Verdict::NeverMeasured, "there is no good backup".to_owned()),
        (Some(_), None) => (Verdict::NoTarget, String::new()),
        (Some(age), Some(target)) if age <= target => (Verdict::Holds, String::new()),
        (Some(_), Some(_)) => (
            Verdict::Broken,
            "the newest good backup is older".to_owned(),
        ),
    };
    Objective {
        scenario: Scenario::Rpo,
        target,
        measured,
        measured_at: newest.map(|backup| backup.taken_at),
        trend,
        verdict,
        reason,
        job: newest.and_then(|backup| backup.job),
    }
}

fn measured(
    scenario: Scenario,
    target: Option<Duration>,
    own: &[&Recovery],
    now: DateTime<Utc>,
) -> Objective {
    let last = own.last();
    let passed = own.iter().filter(|recovery| recovery.passed);
    let times: Vec<Duration> = passed.map(|recovery| recovery.took).collect();
    let (verdict, reason) = match (last, target) {
        (None, _) => (
            Verdict::NeverMeasured,
            format!("no {scenario} has ever run"),
        ),
        (Some(last), _) if !last.passed => {
            (Verdict::Broken, format!("the last {scenario} did not pass"))
        }
        (Some(_), None) => (Verdict::NoTarget, String::new()),
        (Some(last), Some(_)) if now - last.at > STALE_AFTER => {
            (Verdict::Stale, "that was more than a year ago".to_owned())
        }
        (Some(last), Some(target)) if last.took <= target => (Verdict::Holds, String::new()),
        (Some(_), Some(_)) => (Verdict::Broken, "it took longer".to_owned()),
    };
    Objective {
        scenario,
        target,
        measured: last.map(|last| last.took),
        measured_at: last.map(|last| last.at),
        trend: times[times.len().saturating_sub(TREND)..].to_vec(),
        verdict,
        reason,
        job: last.and_then(|last| last.job),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySet;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn recovery(day: &str, minutes: u64, passed: bool) -> Recovery {
        Recovery {
            database: "web-1/shop-db/shop".parse().unwrap(),
            scenario: Scenario::Drill,
            at: at(day),
            passed,
            backup: None,
            job: Some(9),
            took: Duration::from_mins(minutes),
            fetch: Duration::ZERO,
            restore: Duration::ZERO,
            index: Duration::ZERO,
            check: Duration::ZERO,
            rpo: None,
        }
    }

    fn drill(target: Option<u64>, recoveries: &[Recovery]) -> Objective {
        let mut plan = PolicySet::default().default.plan().unwrap().clone();
        plan.targets.drill = target.map(Duration::from_mins);
        let now = at("2026-11-21T12:00:00Z");
        objectives(&plan, &[], recoveries, now).remove(2)
    }

    #[test]
    fn a_target_holds_only_when_the_last_one_passed_in_time_and_not_long_ago() {
        let good = recovery("2026-11-01T00:00:00Z", 20, true);
        let failed = recovery("2026-11-02T00:00:00Z", 5, false);
        let old = recovery("2025-11-01T00:00:00Z", 20, true);
        for (target, recoveries, verdict) in [
            (Some(30), vec![good.clone()], Verdict::Holds),
            (Some(20), vec![good.clone()], Verdict::Holds),
            (Some(19), vec![good.clone()], Verdict::Broken),
            (
                Some(30),
                vec![good.clone(), failed.clone()],
                Verdict::Broken,
            ),
            (Some(30), vec![], Verdict::NeverMeasured),
            (None, vec![], Verdict::NeverMeasured),
            (None, vec![good.clone()], Verdict::NoTarget),
            (None, vec![good.clone(), failed], Verdict::Broken),
            (Some(30), vec![old.clone()], Verdict::Stale),
            (Some(30), vec![old, good], Verdict::Holds),
        ] {
            let objective = drill(target, &recoveries);
            assert_eq!(objective.verdict, verdict, "{target:?} {recoveries:?}");
        }
    }

    #[test]
    fn the_trend_is_that_of_the_last_ten_that_passed() {
        let all: Vec<_> = (1..=14)
            .map(|day| recovery(&format!("2026-11-{day:02}T00:00:00Z"), day, day != 13))
            .collect();
        let objective = drill(Some(30), &all);
        let minutes: Vec<_> = objective
            .trend
            .iter()
            .map(|took| took.as_secs() / 60)
            .collect();
        assert_eq!(minutes, [4, 5, 6, 7, 8, 9, 10, 11, 12, 14]);
        assert_eq!(
            (objective.measured, objective.job),
            (Some(Duration::from_mins(14)), Some(9))
        );
    }
}
