//! Rungs of every kind of drill, and the verdict that follows from them. Pure.

use std::time::Duration;

use holdfast_proto::drill::{Rung, RungName, RungOutcome, Verdict};

/// How one rung came out, before it has its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Passed(String),
    /// Everything that is wrong.
    Failed(Vec<String>),
    CouldNot(String),
}

/// What follows from the rungs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// The first rung that decided, or did not pass.
    pub broken: Option<RungName>,
    pub reason: String,
}

/// One rung that failed is damage, whatever else could not run. Time says nothing of the backups, and what has none
/// cannot be damaged: then what is there is proven, and not everything.
#[must_use]
pub fn judge(rungs: &[Rung]) -> Judgement {
    let first = |of: fn(RungName) -> bool, outcome| {
        let mut rungs = rungs.iter();
        rungs.find(move |rung| of(rung.name) && rung.outcome == outcome)
    };
    let of_data = |name| !matches!(name, RungName::Time | RungName::Covered);
    let untimed = |name| name != RungName::Time;
    let failed = first(of_data, RungOutcome::Failed);
    let unknown = first(untimed, RungOutcome::CouldNotRun);
    let left = first(untimed, RungOutcome::Failed);
    let (verdict, broken) = match (failed, unknown, left) {
        (Some(failed), ..) => (Verdict::Damaged, Some(failed)),
        (None, Some(unknown), _) => (Verdict::CouldNotRun, Some(unknown)),
        (None, None, Some(left)) => (Verdict::Incomplete, Some(left)),
        (None, None, None) => {
            let late = |rung: &&Rung| rung.outcome != RungOutcome::Passed;
            (Verdict::Proven, rungs.iter().find(late))
        }
    };
    Judgement {
        verdict,
        broken: broken.map(|rung| rung.name),
        reason: broken.map(|rung| rung.detail.clone()).unwrap_or_default(),
    }
}

#[must_use]
pub fn passed_unless(wrong: Vec<String>, detail: String) -> Found {
    if wrong.is_empty() {
        Found::Passed(detail)
    } else {
        Found::Failed(wrong)
    }
}

#[must_use]
pub fn rung(name: RungName, found: Found) -> Rung {
    let (outcome, detail, findings) = match found {
        Found::Passed(detail) => (RungOutcome::Passed, detail, Vec::new()),
        Found::CouldNot(why) => (RungOutcome::CouldNotRun, why, Vec::new()),
        Found::Failed(findings) => {
            let first = findings.first().cloned().unwrap_or_default();
            let detail = match findings.len() {
                0 | 1 => first,
                n => format!("{first} (and {} more)", n - 1),
            };
            (RungOutcome::Failed, detail, findings)
        }
    };
    Rung {
        name,
        outcome,
        detail,
        findings,
    }
}

/// The rung of time: what it took against its target.
#[must_use]
pub fn time(took: Duration, target: Option<Duration>) -> Found {
    match target {
        None => Found::Passed(format!("{}; no target is set", span(took))),
        Some(target) if took <= target => {
            Found::Passed(format!("{} of {}", span(took), span(target)))
        }
        Some(target) => Found::Failed(vec![format!(
            "{} is more than the target of {}",
            span(took),
            span(target)
        )]),
    }
}

#[must_use]
pub fn span(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(outcomes: &[(RungName, RungOutcome)]) -> (Verdict, Option<RungName>) {
        let rungs: Vec<_> = outcomes
            .iter()
            .map(|(name, outcome)| Rung {
                name: *name,
                outcome: *outcome,
                detail: String::new(),
                findings: vec![],
            })
            .collect();
        let judged = judge(&rungs);
        (judged.verdict, judged.broken)
    }

    #[test]
    fn what_has_no_backup_is_not_green_and_damages_nothing() {
        use RungName::{Covered, Databases, Time};
        use RungOutcome::{CouldNotRun, Failed, Passed};
        let whole = [(Covered, Passed), (Databases, Passed), (Time, Passed)];
        assert_eq!(of(&whole), (Verdict::Proven, None));
        let late = [(Covered, Passed), (Databases, Passed), (Time, Failed)];
        assert_eq!(of(&late), (Verdict::Proven, Some(Time)));
        let left = [(Covered, Failed), (Databases, Passed), (Time, Failed)];
        assert_eq!(of(&left), (Verdict::Incomplete, Some(Covered)));
        let unknown = [(Covered, Failed), (Databases, CouldNotRun)];
        assert_eq!(of(&unknown), (Verdict::CouldNotRun, Some(Databases)));
        let unasked = [(Covered, CouldNotRun), (Databases, Passed)];
        assert_eq!(of(&unasked), (Verdict::CouldNotRun, Some(Covered)));
        let broken = [(Covered, Failed), (Databases, Failed)];
        assert_eq!(of(&broken), (Verdict::Damaged, Some(Databases)));
    }
}
