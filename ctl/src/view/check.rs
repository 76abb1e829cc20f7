//! User-count checks: what is asked, how it was answered, how it moved.

use std::{fmt::Write as _, time::Duration};

use holdfast_proto::check::{CheckOutcome, CheckVerdict};
use serde::Serialize;

use super::Time;
use crate::{
    exit::Exit,
    output::{
        Page, View,
        grid::{Grid, plain, toned},
        paint::Tone,
        sparkline::sparkline,
        units,
    },
};

/// How many runs the sparkline holds.
const SPARK: usize = 60;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub at: Option<Time>,
    pub count: Option<i64>,
    pub newest: Option<Time>,
    pub error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckRun {
    pub verdict: CheckVerdict,
    pub reasons: Vec<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limits {
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub max_drop_percent: Option<f64>,
    pub max_age_seconds: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    pub id: u64,
    pub database: String,
    pub name: String,
    pub count_sql: String,
    pub newest_sql: String,
    pub limits: Limits,
    pub every_seconds: u64,
    pub timeout_seconds: u64,
    pub last: Option<CheckRun>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckList {
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckSet {
    pub check: Check,
    pub replaced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckRemoved {
    pub database: String,
    pub name: String,
}

/// Newest run first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckHistory {
    pub check: Check,
    pub runs: Vec<CheckRun>,
}

impl From<CheckOutcome> for Outcome {
    fn from(outcome: CheckOutcome) -> Self {
        Self {
            at: Some(outcome.at),
            count: outcome.count,
            newest: outcome.newest,
            error: outcome.error,
        }
    }
}

impl CheckRun {
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.verdict {
            CheckVerdict::Ok => Exit::Ok,
            CheckVerdict::Suspicious => Exit::NotProven,
            CheckVerdict::CouldNotRun => Exit::CouldNotCheck,
        }
    }
}

impl Limits {
    fn text(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.min.map(|min| format!("≥ {}", units::signed(min))));
        parts.extend(self.max.map(|max| format!("≤ {}", units::signed(max))));
        parts.extend(
            self.max_drop_percent
                .map(|percent| format!("drop ≤ {percent} %")),
        );
        parts.extend(
            self.max_age_seconds
                .map(|age| format!("newest ≤ {}", units::span(Duration::from_secs(age)))),
        );
        parts.join(", ")
    }
}

impl View for CheckList {
    fn text(&self, page: &Page) -> String {
        let head = [
            "CHECK", "DATABASE", "VERDICT", "COUNT", "NEWEST", "LIMITS", "EVERY", "RAN",
        ];
        let mut grid = Grid::new(
            page,
            &head,
            "no checks; `ctl check set HOST/INSTANCE/DATABASE NAME --count SQL` makes one",
        )
        .right(&[3]);
        for check in &self.checks {
            let last = check.last.as_ref();
            let (word, tone) =
                last.map_or(("not run yet", Tone::Dim), |run| verdict_word(run.verdict));
            let verdict = match last.map(|run| run.reasons.join("; ")) {
                Some(reasons) if !reasons.is_empty() => format!("{word}: {reasons}"),
                _ => word.to_owned(),
            };
            let outcome = last.map(|run| &run.outcome);
            grid.row(vec![
                toned(Tone::Strong, &check.name),
                plain(&check.database),
                toned(tone, verdict),
                plain(
                    outcome
                        .and_then(|o| o.count)
                        .map(units::signed)
                        .unwrap_or_default(),
                ),
                plain(newest(outcome.and_then(|o| o.newest), page.now)),
                plain(check.limits.text()),
                plain(units::span(Duration::from_secs(check.every_seconds))),
                plain(units::ago(page.now, outcome.and_then(|o| o.at))),
            ]);
        }
        grid.render()
    }
}

impl View for CheckSet {
    fn text(&self, page: &Page) -> String {
        let check = &self.check;
        let mut out = format!(
            "check {} on {} is {}; runs every {}\n",
            check.name,
            check.database,
            if self.replaced { "replaced" } else { "set" },
            units::span(Duration::from_secs(check.every_seconds)),
        );
        if let Some(run) = &check.last {
            let (word, tone) = verdict_word(run.verdict);
            let _ = write!(
                out,
                "first run: {}, {}",
                page.paint.tone(tone, word),
                outcome_text(&run.outcome, page.now)
            );
            if !run.reasons.is_empty() {
                let _ = write!(out, " ({})", run.reasons.join("; "));
            }
            out.push('\n');
        }
        out
    }
}

impl View for CheckRemoved {
    fn text(&self, _: &Page) -> String {
        format!("check {} on {} is removed\n", self.name, self.database)
    }
}

impl View for CheckHistory {
    fn text(&self, page: &Page) -> String {
        let counts: Vec<Option<i64>> = self
            .runs
            .iter()
            .take(SPARK)
            .rev()
            .map(|run| run.outcome.count)
            .collect();
        let mut out = format!(
            "{} on {}\n",
            page.paint.tone(Tone::Strong, &self.check.name),
            self.check.database
        );
        let limits = self.check.limits.text();
        if !limits.is_empty() {
            let _ = writeln!(out, "limits {limits}");
        }
        if let (Some(low), Some(high)) =
            (counts.iter().flatten().min(), counts.iter().flatten().max())
        {
            let _ = writeln!(
                out,
                "{}  {} to {}",
                sparkline(&counts),
                units::signed(*low),
                units::signed(*high)
            );
        }
        out.push('\n');
        let mut grid = Grid::new(
            page,
            &["AT", "VERDICT", "COUNT", "NEWEST", "WHY"],
            "no runs yet",
        )
        .right(&[2]);
        for run in &self.runs {
            let (word, tone) = verdict_word(run.verdict);
            let why = if run.outcome.error.is_empty() {
                run.reasons.join("; ")
            } else {
                run.outcome.error.clone()
            };
            grid.row(vec![
                plain(units::ago(page.now, run.outcome.at)),
                toned(tone, word),
                plain(run.outcome.count.map(units::signed).unwrap_or_default()),
                plain(newest(run.outcome.newest, page.now)),
                plain(why),
            ]);
        }
        out.push_str(&grid.render());
        out
    }
}

/// "ok", "suspicious", "could not run", and how that is meant.
#[must_use]
pub fn verdict_word(verdict: CheckVerdict) -> (&'static str, Tone) {
    match verdict {
        CheckVerdict::Ok => ("ok", Tone::Good),
        CheckVerdict::Suspicious => ("suspicious", Tone::Bad),
        CheckVerdict::CouldNotRun => ("could not run", Tone::Warn),
    }
}

/// "5 000 rows, newest 1 h ago", or why not.
#[must_use]
pub fn outcome_text(outcome: &Outcome, now: Time) -> String {
    if !outcome.error.is_empty() {
        return outcome.error.clone();
    }
    let mut text = match outcome.count {
        Some(1) => "1 row".to_owned(),
        Some(count) => format!("{} rows", units::signed(count)),
        None => "no count".to_owned(),
    };
    if let Some(at) = outcome.newest {
        let _ = write!(text, ", newest {}", units::ago(now, Some(at)));
    }
    text
}

fn newest(at: Option<Time>, now: Time) -> String {
    at.map(|at| units::ago(now, Some(at))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn a_list_tells_the_verdict_and_why() {
        assert_eq!(
            samples::check_list().text(&page()),
            "CHECK  DATABASE            VERDICT                        COUNT  NEWEST   LIMITS                                     EVERY  RAN\n\
             users  web-1/shop-db/shop  suspicious: 12 fewer than 100     12  1 h ago  ≥ 100, ≤ 9 000, drop ≤ 10 %, newest ≤ 7 d  1 m    5 s ago\n\
             carts  web-1/shop-db/shop  not run yet                                                                               1 m    never\n"
        );
    }

    #[test]
    fn history_draws_oldest_to_newest() {
        let text = samples::check_history().text(&page());
        assert!(text.contains("▆×█▁  12 to 5 000\n"), "{text}");
        assert!(
            text.contains("could not run                  connection refused\n"),
            "{text}"
        );
    }

    #[test]
    fn setting_tells_the_first_run() {
        assert_eq!(
            samples::check_set().text(&page()),
            "check users on web-1/shop-db/shop is replaced; runs every 1 m\n\
             first run: suspicious, 12 rows, newest 1 h ago (12 fewer than 100)\n"
        );
    }
}
