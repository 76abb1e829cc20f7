//! Drills: the list, one with its rungs, and the report for whoever has to be convinced.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use holdfast_proto::drill::{DrillReport, REPORT_FORMAT, RungOutcome};
use serde::Serialize;

use super::Time;
use crate::{
    exit::Exit,
    output::{
        Page, View,
        grid::{Grid, or_dash, plain, toned},
        paint::Tone,
        units,
    },
};

mod document;

/// What the controller made of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Drilling {
    pub job: u64,
    pub backup: u64,
    pub source: String,
    pub host: String,
    pub taken_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillList {
    pub drills: Vec<DrillLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillLine {
    pub id: u64,
    pub job: u64,
    pub database: String,
    pub backup: u64,
    /// Of the image.
    pub taken_at: Time,
    /// Where it was restored.
    pub host: String,
    pub started_at: Time,
    pub ended_at: Option<Time>,
    pub state: State,
    /// The first rung that did not pass.
    pub broken: String,
    pub reason: String,
    pub took_seconds: Option<f64>,
    /// Age of the backup when the drill began.
    pub rpo_seconds: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Running,
    Proven,
    Damaged,
    CouldNotRun,
}

/// One drill; no report while it runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillDetail {
    pub drill: DrillLine,
    pub report: Option<DrillReport>,
}

/// A report with the proof of who made it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SignedReport {
    /// JSON: what is signed are the bytes of this text.
    pub statement: String,
    /// Base64 of the signature in DER.
    pub signature: String,
    pub algorithm: &'static str,
    /// PEM, of the authority whose key signed.
    pub certificate: String,
    #[serde(skip)]
    pub report: DrillReport,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Markdown,
    Html,
    Json,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub signed: SignedReport,
    #[serde(skip)]
    pub format: Format,
}

impl SignedReport {
    /// # Errors
    /// The reason: the statement is of a later version, or none.
    pub fn read(statement: String, signature: &[u8], certificate: String) -> Result<Self, String> {
        let value: serde_json::Value =
            serde_json::from_str(&statement).map_err(|error| format!("it is no JSON: {error}"))?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if let Some(format) = format.filter(|format| *format > u64::from(REPORT_FORMAT)) {
            return Err(format!(
                "the report has format {format}, and this ctl knows up to {REPORT_FORMAT}: upgrade ctl"
            ));
        }
        let report = serde_json::from_value(value)
            .map_err(|error| format!("it is no report of a drill: {error}"))?;
        Ok(Self {
            statement,
            signature: STANDARD.encode(signature),
            algorithm: "ECDSA P-256 with SHA-256",
            certificate,
            report,
        })
    }
}

impl State {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Proven => "proven",
            Self::Damaged => "DAMAGED",
            Self::CouldNotRun => "could not run",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Running => Tone::Dim,
            Self::Proven => Tone::Good,
            Self::Damaged => Tone::Bad,
            Self::CouldNotRun => Tone::Warn,
        }
    }
}

impl DrillDetail {
    /// `job`: how the drill's job ended, which decides where nobody can say anything of the backup.
    #[must_use]
    pub fn exit(&self, job: Exit) -> Exit {
        match (self.drill.state, job) {
            (State::Damaged, _) => Exit::NotProven,
            // Proven, and something is left on the host.
            (State::Proven, job) => job,
            (_, Exit::Cancelled | Exit::Stuck) => job,
            (State::CouldNotRun | State::Running, _) => Exit::CouldNotCheck,
        }
    }
}

impl View for DrillList {
    fn text(&self, page: &Page) -> String {
        let head = [
            "DRILL",
            "DATABASE",
            "BACKUP",
            "ON",
            "STARTED",
            "",
            "TOOK",
            "RPO",
            "FIRST BROKEN",
        ];
        let mut grid = Grid::new(page, &head, "there was no drill yet");
        for drill in &self.drills {
            grid.row(vec![
                toned(Tone::Strong, drill.id),
                plain(&drill.database),
                plain(drill.backup),
                plain(&drill.host),
                plain(units::ago(page.now, Some(drill.started_at))),
                toned(drill.state.tone(), drill.state.word()),
                plain(span(drill.took_seconds)),
                plain(span(drill.rpo_seconds)),
                or_dash(&drill.broken),
            ]);
        }
        grid.render()
    }
}

impl View for DrillDetail {
    fn text(&self, page: &Page) -> String {
        let drill = &self.drill;
        let Some(report) = &self.report else {
            return format!(
                "drill {} of {} runs: ctl job watch {}\n",
                drill.id, drill.database, drill.job
            );
        };
        let mark = match drill.state {
            State::Proven => "✓",
            State::Damaged => "✗",
            State::Running | State::CouldNotRun => "?",
        };
        let head = format!(
            "{mark} drill {}: backup {} of {} is {}",
            drill.id,
            drill.backup,
            drill.database,
            report.verdict.title()
        );
        let mut text = page.paint.tone(drill.state.tone(), &head);
        if !report.reason.is_empty() {
            let rung = report.broken.map(|rung| rung.title()).unwrap_or_default();
            text.push_str(&format!(": {rung}: {}", report.reason));
        }
        text.push('\n');
        for rung in &report.rungs {
            let (mark, tone) = match rung.outcome {
                RungOutcome::Passed => ("✓", Tone::Good),
                RungOutcome::Failed => ("✗", Tone::Bad),
                RungOutcome::CouldNotRun => ("?", Tone::Warn),
            };
            let line = format!("  {mark} {:<34}", rung.name.title());
            text.push_str(&page.paint.tone(tone, &line));
            text.push_str(&format!(" {}\n", rung.detail));
            for finding in rung.findings.iter().skip(1) {
                text.push_str(&format!("      {finding}\n"));
            }
        }
        for (what, value) in document::times(report) {
            text.push_str(&format!("  {what:<36} {value}\n"));
        }
        text.push_str(&format!("  next: ctl drill report {}\n", drill.id));
        text
    }
}

impl View for Report {
    fn text(&self, _: &Page) -> String {
        match self.format {
            Format::Markdown => document::markdown(&self.signed),
            Format::Html => document::html(&self.signed),
            Format::Json => {
                let json = serde_json::to_string_pretty(&self.signed);
                json.map(|json| json + "\n").unwrap_or_default()
            }
        }
    }
}

fn span(seconds: Option<f64>) -> String {
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.map_or_else(|| "-".to_owned(), units::span)
}

#[cfg(test)]
mod tests;
