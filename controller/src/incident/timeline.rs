//! What happened, in order: findings, jobs, what operators asked for, what became of the data.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Event, EventKind, Incident};
use crate::{audit, catalog::HostRefusal, data_store, detect::Finding, job::JobSummary};

/// What caused it was before it was seen.
const BEFORE: TimeDelta = TimeDelta::minutes(15);

/// Everything that the timeline is made of, as far as it concerns the incident.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sources {
    pub events: Vec<Event>,
    pub findings: Vec<Finding>,
    pub jobs: Vec<JobSummary>,
    pub audit: Vec<audit::Entry>,
    pub data: Vec<data_store::Event>,
    pub guarded: Vec<HostRefusal>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub at: DateTime<Utc>,
    /// "finding", "over", "job", "step", "command", "refused", "guard", "data", or the kind of an [`Event`].
    pub kind: String,
    /// "operator/ann"; empty: nobody.
    pub by: String,
    pub text: String,
    /// Where more of it is: "finding 12", "job 7"; may be empty.
    pub reference: String,
}

impl Incident {
    /// The time that the timeline tells of; without an end while nobody has closed it.
    #[must_use]
    pub fn span(&self) -> (DateTime<Utc>, Option<DateTime<Utc>>) {
        (self.opened_at - BEFORE, self.closed_at)
    }

    fn spans(&self, at: DateTime<Utc>) -> bool {
        let (from, to) = self.span();
        at >= from && to.is_none_or(|to| at <= to)
    }
}

/// Oldest first. What is outside of the incident's time is left out, but for what is its own: findings, and what was said.
#[must_use]
pub fn timeline(incident: &Incident, sources: Sources) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    lines.extend(sources.findings.iter().flat_map(of_finding));
    lines.extend(sources.events.into_iter().map(of_event));
    let rest = sources.jobs.into_iter().flat_map(of_job);
    let rest = rest.chain(sources.audit.into_iter().filter_map(of_audit));
    let rest = rest.chain(sources.data.into_iter().map(of_data));
    let rest = rest.chain(sources.guarded.into_iter().map(of_guard));
    lines.extend(rest.filter(|line| incident.spans(line.at)));
    // A service of two names has its history under both.
    let lines: BTreeSet<_> = lines.into_iter().collect();
    lines.into_iter().collect()
}

fn of_finding(finding: &Finding) -> Vec<Line> {
    let line = |at, kind: &str, text| Line {
        at,
        kind: kind.to_owned(),
        by: String::new(),
        text,
        reference: format!("finding {}", finding.id),
    };
    let what = format!(
        "{} {}: {}",
        finding.severity.as_str(),
        finding.kind,
        finding.message
    );
    let mut lines = vec![line(finding.opened_at, "finding", what)];
    if let Some(at) = finding.closed_at {
        let what = format!("{} of {} is over", finding.kind, finding.subject);
        lines.push(line(at, "over", what));
    }
    lines
}

fn of_event(event: Event) -> Line {
    Line {
        at: event.at,
        kind: event.kind.as_str().to_owned(),
        by: event.by,
        text: match event.kind {
            EventKind::Resolved => "nothing is found any more".to_owned(),
            EventKind::Opened
            | EventKind::Reopened
            | EventKind::Assigned
            | EventKind::Note
            | EventKind::Closed => event.text,
        },
        reference: String::new(),
    }
}

fn of_job(job: JobSummary) -> Vec<Line> {
    let line = |at, text| Line {
        at,
        kind: "job".to_owned(),
        by: job.requested_by.clone(),
        text,
        reference: format!("job {}", job.id),
    };
    let named = format!("{} {}", job.kind, job.title);
    let mut lines = vec![line(job.created_at, format!("asked for: {named}"))];
    if let Some(at) = job.ended_at {
        let mut text = format!("{}: {named}", job.state.as_str());
        if !job.reason.is_empty() {
            text.push_str(&format!(": {}", job.reason));
        }
        lines.push(line(at, text));
    }
    lines
}

/// A job that was made tells of itself; what concerns the incident is an event of its own.
fn of_audit(entry: audit::Entry) -> Option<Line> {
    let content = entry.content;
    let refused = content.outcome == audit::Outcome::Refused;
    let is_step = content.action == "incident.step";
    let told_elsewhere =
        content.action.starts_with("job.") || content.action.starts_with("incident.");
    if told_elsewhere && !refused && !is_step {
        return None;
    }
    let (kind, text) = match (refused, is_step) {
        (false, true) => ("step", content.detail),
        (refused, _) => {
            let mut text = format!("{} {}", content.action, content.subject);
            if !content.detail.is_empty() {
                text.push_str(&format!(": {}", content.detail));
            }
            (if refused { "refused" } else { "command" }, text)
        }
    };
    Some(Line {
        at: content.at,
        kind: kind.to_owned(),
        by: content.actor,
        text,
        reference: String::new(),
    })
}

/// By the host's clock.
fn of_guard(refused: HostRefusal) -> Line {
    let HostRefusal { host, refusal } = refused;
    Line {
        at: refusal.at,
        kind: "guard".to_owned(),
        by: String::new(),
        text: format!("{host} refused {}: {}", refusal.call, refusal.sentence),
        reference: String::new(),
    }
}

fn of_data(event: data_store::Event) -> Line {
    let name = format!("{}/{}", event.host, event.instance);
    let mut text = format!("data of {name} {}", event.kind.as_str().replace('-', " "));
    if !event.changes.is_empty() {
        text.push_str(&format!(": {}", event.changes.join(", ")));
    }
    if !event.reason.is_empty() {
        text.push_str(&format!(" ({})", event.reason));
    }
    Line {
        at: event.at,
        kind: "data".to_owned(),
        by: event.by,
        text,
        reference: String::new(),
    }
}
