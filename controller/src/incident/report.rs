//! What is to be learned from an incident, as Markdown.

use std::{fmt::Write as _, time::Duration};

use chrono::{DateTime, Utc};

use super::{Incident, Line, State};
use crate::{catalog::Counted, detect::Finding, objective::Recovery};

/// Everything that the report is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub incident: Incident,
    pub findings: Vec<Finding>,
    pub timeline: Vec<Line>,
    /// By the checks of what it concerns.
    pub counted: Vec<Counted>,
    /// Real ones, not drills, of what it concerns.
    pub recoveries: Vec<Recovery>,
    pub now: DateTime<Utc>,
}

/// What keeps such a thing from happening again, by the kind of what was found.
const PREVENTION: &[(&[&str], &str)] = &[
    (
        &[
            "identity-swapped",
            "volume-gone",
            "anonymous-volume",
            "beside-volume",
            "container-layer",
        ],
        "look at the compose file of the service, and apply the patch: `ctl compose check FILE --patch`",
    ),
    (
        &["double-mount", "volume-gone", "identity-swapped"],
        "let Docker refuse it on this host; there, as root: `holdfast-agent guard install`",
    ),
    (
        &[
            "database-gone",
            "check-suspicious",
            "volume-gone",
            "data-damaged",
        ],
        "see that backups are made and proven often enough: `ctl objectives`",
    ),
    (
        &["disk-filling", "archiver-failing", "slot-lag"],
        "see what fills the disk, and what keeps it: `ctl host show HOST`",
    ),
    (
        &["host-silent"],
        "see that the host could be built anew from its backups: `ctl drill list`",
    ),
];

#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    let incident = &report.incident;
    let _ = writeln!(
        text,
        "# Incident {}: {}\n",
        incident.id, incident.lead.title
    );
    summary(report, &mut text);
    impact(report, &mut text);
    course(report, &mut text);
    cause(incident, &mut text);
    done(report, &mut text);
    recovery(report, &mut text);
    prevented(report, &mut text);
    actions(report, &mut text);
    text
}

/// With its first finding, which may have lasted before it opened the incident.
fn began(report: &Report) -> DateTime<Utc> {
    let findings = report.findings.iter().map(|finding| finding.opened_at);
    let first = findings.min().unwrap_or(report.incident.opened_at);
    first.min(report.incident.opened_at)
}

fn heading(text: &mut String, title: &str) {
    let _ = writeln!(text, "\n## {title}\n");
}

fn bullet(text: &mut String, what: &str) {
    let _ = writeln!(text, "* {what}");
}

fn summary(report: &Report, text: &mut String) {
    let incident = &report.incident;
    let end = match (incident.state(), incident.over_at()) {
        (State::Open, _) | (_, None) => {
            format!("open for {} now", span(began(report), report.now))
        }
        (_, Some(at)) => format!("over at {} after {}", moment(at), span(began(report), at)),
    };
    let _ = writeln!(text, "| | |\n|---|---|");
    let row = |text: &mut String, name: &str, value: &str| {
        let _ = writeln!(text, "| {name} | {} |", cell(value));
    };
    row(
        text,
        "what",
        &format!("{} {}", incident.lead.code, incident.lead.kind),
    );
    row(text, "severity", incident.lead.severity.as_str());
    row(text, "where", &incident.lead.subject);
    row(text, "seen", &moment(began(report)));
    row(
        text,
        "state",
        &format!("{}, {end}", incident.state().as_str()),
    );
    let who = if incident.assigned_to.is_empty() {
        "nobody"
    } else {
        &incident.assigned_to
    };
    row(text, "had by", who);
    if !incident.closed_by.is_empty() {
        row(text, "closed by", &incident.closed_by);
    }
}

/// What was wrong, and how many users were missing.
fn impact(report: &Report, text: &mut String) {
    heading(text, "Impact");
    for finding in &report.findings {
        let until = match finding.closed_at {
            Some(at) => format!("for {}", span(finding.opened_at, at)),
            None => "still".to_owned(),
        };
        bullet(
            text,
            &format!(
                "{} {} on {}, {until}: {}",
                finding.severity.as_str(),
                finding.kind,
                finding.subject,
                finding.message
            ),
        );
    }
    if report.counted.is_empty() {
        let _ = writeln!(
            text,
            "\nNo check counts anything there: how many users were concerned is not known."
        );
        return;
    }
    let _ = writeln!(
        text,
        "\n| check | before | at least | now |\n|---|---|---|---|"
    );
    for counted in &report.counted {
        let Counted {
            database,
            name,
            before,
            lowest,
            last,
        } = counted;
        let _ = writeln!(
            text,
            "| {} {} | {} | {} | {} |",
            cell(database),
            cell(name),
            number(*before),
            number(*lowest),
            number(*last)
        );
    }
}

fn course(report: &Report, text: &mut String) {
    heading(text, "Timeline");
    let _ = writeln!(text, "| when | what | who |\n|---|---|---|");
    for line in &report.timeline {
        let mut what = format!("{}: {}", line.kind, line.text);
        if !line.reference.is_empty() {
            let _ = write!(what, " ({})", line.reference);
        }
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            moment(line.at),
            cell(&what),
            cell(&line.by)
        );
    }
}

fn cause(incident: &Incident, text: &mut String) {
    heading(text, "Cause");
    let said = match (incident.cause.as_str(), incident.state()) {
        ("", State::Closed) => "Nobody has said what it was.".to_owned(),
        ("", State::Open | State::Resolved) => format!(
            "Not said yet: `ctl incident close {} --cause \"…\"`",
            incident.id
        ),
        (cause, _) => cause.to_owned(),
    };
    let _ = writeln!(text, "{said}");
}

fn done(report: &Report, text: &mut String) {
    heading(text, "What was done");
    let deeds = report.timeline.iter().filter(|line| {
        let is_deed = matches!(
            line.kind.as_str(),
            "job" | "step" | "command" | "note" | "data"
        );
        is_deed && !line.by.is_empty() && line.at >= began(report)
    });
    let mut any = false;
    for line in deeds {
        any = true;
        bullet(
            text,
            &format!("{} {}: {}", clock(line.at), line.by, line.text),
        );
    }
    if !any {
        let _ = writeln!(text, "Nobody did anything here by command.");
    }
}

/// Measured beside what was promised elsewhere: `ctl objectives` has the targets.
fn recovery(report: &Report, text: &mut String) {
    heading(text, "Recovery");
    let incident = &report.incident;
    match incident.resolved_at {
        Some(at) => bullet(
            text,
            &format!(
                "from the first finding to none: {}",
                span(began(report), at)
            ),
        ),
        None => bullet(
            text,
            "something is still found, or it was closed with what was found",
        ),
    }
    for one in &report.recoveries {
        let ended = if one.passed { "proven" } else { "not proven" };
        let mut said = format!(
            "{} restored in {} (RTO), {ended}",
            one.database,
            exactly(one.took)
        );
        match one.rpo {
            Some(rpo) => {
                let _ = write!(said, "; the backup was {} old (RPO)", exactly(rpo));
            }
            None => said.push_str("; how old the backup was is not known"),
        }
        bullet(text, &said);
    }
    if report.recoveries.is_empty() {
        bullet(text, "nothing was restored from a backup");
    }
}

fn prevented(report: &Report, text: &mut String) {
    heading(text, "What prevented worse");
    // Words about the incident itself do no harm.
    let harmless = ["incident.close", "incident.note", "incident.assign"];
    let refused = report.timeline.iter().filter(|line| {
        let is_harmless = harmless.iter().any(|action| line.text.starts_with(action));
        line.kind == "refused" && !is_harmless
    });
    let mut any = false;
    for line in refused {
        any = true;
        bullet(
            text,
            &format!("{} refused to {}: {}", clock(line.at), line.by, line.text),
        );
    }
    let guarded = report.timeline.iter().filter(|line| line.kind == "guard");
    for line in guarded {
        any = true;
        bullet(
            text,
            &format!("{} the guard of {}", clock(line.at), line.text),
        );
    }
    let kept = report.recoveries.iter().filter(|one| one.passed).count();
    if kept > 0 {
        any = true;
        bullet(
            text,
            "a backup was there, and what came back of it was compared with what was read when it was made",
        );
    }
    if !any {
        let _ = writeln!(text, "Nothing is known of that.");
    }
}

fn actions(report: &Report, text: &mut String) {
    heading(text, "Action items");
    let open = report
        .findings
        .iter()
        .filter(|finding| finding.closed_at.is_none());
    for finding in open {
        let next = if finding.advice.is_empty() {
            format!("ctl finding explain {}", finding.code)
        } else {
            finding.advice.clone()
        };
        bullet(
            text,
            &format!(
                "[ ] still found: {} on {}: {next}",
                finding.kind, finding.subject
            ),
        );
    }
    for (kinds, what) in PREVENTION {
        let found = |finding: &Finding| kinds.contains(&finding.kind.as_str());
        if report.findings.iter().any(found) {
            bullet(text, &format!("[ ] {what}"));
        }
    }
    let mut codes: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    for code in codes {
        bullet(
            text,
            &format!("[ ] read what is known of it: `ctl finding explain {code}`"),
        );
    }
}

/// A table's cell ends at a bar or a line's end.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn number(count: Option<i64>) -> String {
    count.map_or_else(|| "not counted".to_owned(), |count| count.to_string())
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn clock(at: DateTime<Utc>) -> String {
    at.format("%H:%M:%S").to_string()
}

/// To the second.
fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let took = (to - from).to_std().unwrap_or_default();
    humantime::format_duration(Duration::from_secs(took.as_secs())).to_string()
}

/// To the second from a minute on, else to the millisecond.
fn exactly(took: Duration) -> String {
    let took = match took.as_secs() {
        0..60 => Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        seconds => Duration::from_secs(seconds),
    };
    humantime::format_duration(took).to_string()
}
