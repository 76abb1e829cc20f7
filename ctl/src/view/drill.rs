//! Drills: the list, one with its rungs, and the report for whoever has to be convinced.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use holdfast_proto::drill::{DrillKind, DrillReport, REPORT_FORMAT, RungOutcome};
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
    pub kind: DrillKind,
    /// The database, or the host.
    pub subject: String,
    /// None: not of one backup.
    pub backup: Option<u64>,
    pub taken_at: Option<DateTime<Utc>>,
    /// Where it is restored; none: nothing is.
    pub host: Option<String>,
    /// How many backups are looked at.
    pub backups: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillList {
    pub drills: Vec<DrillLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillLine {
    pub id: u64,
    pub job: u64,
    pub kind: DrillKind,
    /// The database, or the host.
    pub subject: String,
    /// None: not of one backup.
    pub backup: Option<u64>,
    /// Of the image.
    pub taken_at: Option<Time>,
    /// Where it was restored; none: nothing was.
    pub host: Option<String>,
    pub started_at: Time,
    pub ended_at: Option<Time>,
    pub state: State,
    /// The first rung that did not pass.
    pub broken: String,
    pub reason: String,
    pub took_seconds: Option<f64>,
    /// Age of the (oldest) backup when the drill began.
    pub rpo_seconds: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Running,
    Proven,
    Damaged,
    CouldNotRun,
    /// What has a backup is back, and something has none.
    Incomplete,
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
            Self::Incomplete => "INCOMPLETE",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Running => Tone::Dim,
            Self::Proven => Tone::Good,
            Self::Damaged | Self::Incomplete => Tone::Bad,
            Self::CouldNotRun => Tone::Warn,
        }
    }
}

impl DrillDetail {
    /// `job`: how the drill's job ended, which decides where nobody can say anything of the backup.
    #[must_use]
    pub fn exit(&self, job: Exit) -> Exit {
        match (self.drill.state, job) {
            (State::Damaged | State::Incomplete, _) => Exit::NotProven,
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
            "KIND",
            "OF",
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
                plain(drill.kind),
                plain(&drill.subject),
                or_dash(&drill.backup.map(|id| id.to_string()).unwrap_or_default()),
                or_dash(drill.host.as_deref().unwrap_or_default()),
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
                drill.id, drill.subject, drill.job
            );
        };
        let mark = match drill.state {
            State::Proven => "✓",
            State::Damaged | State::Incomplete => "✗",
            State::Running | State::CouldNotRun => "?",
        };
        let head = format!(
            "{mark} drill {}: {} is {}",
            drill.id,
            named(drill),
            report.verdict.title()
        );
        let mut text = page.paint.tone(drill.state.tone(), &head);
        if !report.reason.is_empty() {
            let rung = report.broken.map(|rung| rung.title()).unwrap_or_default();
            text.push_str(&format!(": {rung}: {}", report.reason));
        }
        text.push('\n');
        for rung in &report.rungs {
            let (mark, tone) = marked(rung.outcome);
            let line = format!("  {mark} {:<34}", rung.name.title());
            text.push_str(&page.paint.tone(tone, &line));
            text.push_str(&format!(" {}\n", rung.detail));
            for finding in rung.findings.iter().skip(1) {
                text.push_str(&format!("      {finding}\n"));
            }
        }
        text.push_str(&parts(report, page));
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

/// "backup 12 of web-1/shop-db/shop", "the rebuild of web-1", "the repository of web-1".
fn named(drill: &DrillLine) -> String {
    match (drill.kind, drill.backup) {
        (DrillKind::Backup, Some(backup)) => format!("backup {backup} of {}", drill.subject),
        (DrillKind::Backup, None) => drill.subject.clone(),
        (DrillKind::Rebuild, _) => format!("the rebuild of {}", drill.subject),
        (DrillKind::Offsite, _) => format!("the repository of {}", drill.subject),
    }
}

/// Each with its own backup; of what was only read, those that are not whole.
fn parts(report: &DrillReport, page: &Page) -> String {
    let mut text = String::new();
    for part in &report.parts {
        if report.kind == DrillKind::Offsite && part.outcome == RungOutcome::Passed {
            continue;
        }
        let (mark, tone) = marked(part.outcome);
        let line = format!("  {mark} {}", part.subject);
        text.push_str(&page.paint.tone(tone, &line));
        let taken = part.taken_at.format("%F %H:%M:%S");
        let took = part.times.took_ms.map(Duration::from_millis);
        let took = took.map_or_else(String::new, |took| format!(", in {}", units::span(took)));
        text.push_str(&format!(
            " (backup {}, taken {taken} UTC{took}): {}\n",
            part.backup, part.detail
        ));
    }
    text
}

fn marked(outcome: RungOutcome) -> (&'static str, Tone) {
    match outcome {
        RungOutcome::Passed => ("✓", Tone::Good),
        RungOutcome::Failed => ("✗", Tone::Bad),
        RungOutcome::CouldNotRun => ("?", Tone::Warn),
    }
}

impl fmt::Display for Drilling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backups = units::plural(self.backups, "backup");
        match self.kind {
            DrillKind::Backup => {
                f.write_str("drill")?;
                if let Some(backup) = self.backup {
                    write!(f, " of backup {backup}")?;
                }
                write!(f, " of {}", self.subject)?;
                if let Some(taken_at) = self.taken_at {
                    write!(f, ", taken {} UTC", taken_at.format("%F %H:%M:%S"))?;
                }
            }
            DrillKind::Rebuild => write!(f, "rebuild of {} from {backups}", self.subject)?,
            DrillKind::Offsite => {
                write!(f, "reading the repository of {}, {backups}", self.subject)?;
            }
        }
        if let Some(host) = &self.host {
            write!(f, ", on {host}")?;
        }
        Ok(())
    }
}

fn span(seconds: Option<f64>) -> String {
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.map_or_else(|| "-".to_owned(), units::span)
}

#[cfg(test)]
mod tests;
