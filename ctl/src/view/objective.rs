//! Targets and what was measured, side by side.

use std::time::Duration;

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

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectiveList {
    pub objectives: Vec<Objective>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Objective {
    pub database: String,
    pub policy: String,
    pub scenario: Scenario,
    pub target_seconds: Option<f64>,
    pub measured_seconds: Option<f64>,
    pub measured_at: Option<Time>,
    /// The last ones, oldest first.
    pub trend_seconds: Vec<f64>,
    pub verdict: Verdict,
    pub reason: String,
    pub job: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    Rpo,
    Restore,
    Drill,
    Rebuild,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Holds,
    Broken,
    NeverMeasured,
    Stale,
    NoTarget,
}

impl Scenario {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Rpo => "rpo",
            Self::Restore => "restore",
            Self::Drill => "drill",
            Self::Rebuild => "rebuild",
        }
    }
}

impl Verdict {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Broken => "BROKEN",
            Self::NeverMeasured => "never measured",
            Self::Stale => "stale",
            Self::NoTarget => "no target",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Holds => Tone::Good,
            Self::Broken => Tone::Bad,
            Self::NeverMeasured | Self::Stale => Tone::Warn,
            Self::NoTarget => Tone::Dim,
        }
    }
}

impl Objective {
    /// What `--strict` makes of it: a target of which nobody knows whether it holds is not green.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match (self.verdict, self.target_seconds) {
            (Verdict::Broken, _) => Exit::NotProven,
            (Verdict::NeverMeasured | Verdict::Stale, Some(_)) => Exit::CouldNotCheck,
            _ => Exit::Ok,
        }
    }
}

impl View for ObjectiveList {
    fn text(&self, page: &Page) -> String {
        let head = [
            "DATABASE", "SCENARIO", "TARGET", "MEASURED", "WHEN", "TREND", "", "WHY",
        ];
        let mut grid = Grid::new(page, &head, "no database is protected");
        for objective in &self.objectives {
            grid.row(vec![
                toned(Tone::Strong, &objective.database),
                plain(objective.scenario.word()),
                plain(span(objective.target_seconds)),
                plain(span(objective.measured_seconds)),
                plain(units::ago(page.now, objective.measured_at)),
                plain(trend(&objective.trend_seconds)),
                toned(objective.verdict.tone(), objective.verdict.word()),
                plain(&objective.reason),
            ]);
        }
        grid.render()
    }
}

fn span(seconds: Option<f64>) -> String {
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.map_or_else(|| "-".to_owned(), units::span)
}

fn trend(seconds: &[f64]) -> String {
    let milliseconds = |seconds: &f64| {
        let span = Duration::try_from_secs_f64(*seconds).ok()?;
        i64::try_from(span.as_millis()).ok()
    };
    sparkline(&seconds.iter().map(milliseconds).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::Verdict;
    use crate::{
        exit::Exit,
        output::{View as _, testing::page},
        view::samples::policy as samples,
    };

    #[test]
    fn a_target_that_nobody_measured_is_not_green() {
        let mut objective = samples::objectives().objectives[0].clone();
        for (verdict, target, exit) in [
            (Verdict::Holds, Some(1.0), Exit::Ok),
            (Verdict::Broken, Some(1.0), Exit::NotProven),
            (Verdict::NeverMeasured, Some(1.0), Exit::CouldNotCheck),
            (Verdict::Stale, Some(1.0), Exit::CouldNotCheck),
            (Verdict::NeverMeasured, None, Exit::Ok),
            (Verdict::NoTarget, None, Exit::Ok),
        ] {
            (objective.verdict, objective.target_seconds) = (verdict, target);
            assert_eq!(objective.exit(), exit, "{verdict:?}");
        }
    }

    #[test]
    fn target_and_measured_stand_side_by_side() {
        let text = samples::objectives().text(&page());
        for said in ["drill", "30 m", "12 m", "holds"] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }
}
