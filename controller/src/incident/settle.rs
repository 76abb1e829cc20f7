//! What findings change of incidents: which open one, which join one, which is over.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{About, Incident, IncidentId, Lead, Services, State};
use crate::detect::{Finding, Severity};

/// One that is over by itself, and that nobody cared about, closes after this long.
const CLOSES_AFTER: TimeDelta = TimeDelta::hours(24);

/// What is down for less is a finding, and no incident.
const RESTART_TAKES: TimeDelta = TimeDelta::seconds(30);

/// What changes of one incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub of: Joining,
    /// Findings that belong to it from now on.
    pub join: Vec<u64>,
    /// When something else tells most now, or tells it otherwise.
    pub lead: Option<Lead>,
    /// From open to resolved, or back.
    pub becomes: Option<State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joining {
    New(About),
    Known(IncidentId),
}

/// `incidents`: those that are not closed. `findings`: open ones, and all of those incidents.
#[must_use]
pub fn settle(
    incidents: &[Incident],
    findings: &[Finding],
    services: &Services,
    now: DateTime<Utc>,
) -> Vec<Step> {
    let mut joining: BTreeMap<String, (About, Vec<&Finding>)> = BTreeMap::new();
    for finding in findings {
        if finding.incident.is_none() && finding.closed_at.is_none() {
            let about = About::of(finding, services);
            let of = joining.entry(about.to_string());
            of.or_insert_with(|| (about, vec![])).1.push(finding);
        }
    }
    let mut steps = Vec::new();
    // Those that are about the very same first: of two, one may have been opened before anybody knew the service.
    let (own, former): (Vec<&Incident>, Vec<_>) = incidents
        .iter()
        .partition(|incident| incident.about == about_now(incident, services));
    for incident in own.into_iter().chain(former) {
        let about = about_now(incident, services);
        let (_, joins) = joining.remove(&about).unwrap_or_else(none);
        let own = findings
            .iter()
            .filter(|finding| finding.incident == Some(incident.id));
        let all: Vec<_> = own.chain(joins.iter().copied()).collect();
        steps.extend(go_on(incident, &all, &joins, now));
    }
    let news = joining.into_values().filter_map(|(about, joins)| {
        let lead = lead(&joins)?;
        let opens = |finding: &&Finding| {
            let lasts = now - finding.opened_at >= patience(finding);
            lasts && finding.severity == Severity::Critical
        };
        joins.iter().copied().find(opens)?;
        Some(Step {
            of: Joining::New(about),
            join: joins.iter().map(|finding| finding.id).collect(),
            lead: Some(lead),
            becomes: None,
        })
    });
    steps.extend(news);
    steps
}

/// What was opened about an instance that nobody knew is about its service as soon as that is known.
fn about_now(incident: &Incident, services: &Services) -> String {
    let name = incident.about.strip_prefix(About::THING);
    let place = name.and_then(|name| name.split_once('/'));
    let service = place.and_then(|(host, name)| services.of(host, name));
    service.map_or_else(
        || incident.about.clone(),
        |service| About::Service(service).to_string(),
    )
}

/// A restart, by hand or by a deployment, is no incident.
fn patience(finding: &Finding) -> TimeDelta {
    match finding.kind.as_str() {
        "instance-down" => RESTART_TAKES,
        _ => TimeDelta::zero(),
    }
}

fn none<'a>() -> (About, Vec<&'a Finding>) {
    (About::Controller, vec![])
}

fn go_on(
    incident: &Incident,
    all: &[&Finding],
    joins: &[&Finding],
    now: DateTime<Utc>,
) -> Option<Step> {
    let is_open = all.iter().any(|finding| finding.closed_at.is_none());
    let becomes = match (incident.state(), is_open) {
        (State::Open, false) => Some(State::Resolved),
        (State::Resolved, true) => Some(State::Open),
        (State::Resolved, false) => closes(incident, now).then_some(State::Closed),
        (State::Open, true) | (State::Closed, _) => None,
    };
    let step = Step {
        of: Joining::Known(incident.id),
        join: joins.iter().map(|finding| finding.id).collect(),
        lead: lead(all).filter(|lead| *lead != incident.lead),
        becomes,
    };
    let changes = !step.join.is_empty() || step.lead.is_some() || step.becomes.is_some();
    changes.then_some(step)
}

fn closes(incident: &Incident, now: DateTime<Utc>) -> bool {
    let over = incident
        .resolved_at
        .is_some_and(|at| now - at > CLOSES_AFTER);
    over && !incident.handled
}

/// Of the worst the one of the first chapter, which tells what happened to the data, then the oldest.
fn lead(findings: &[&Finding]) -> Option<Lead> {
    let findings = findings.iter();
    let first = findings.min_by_key(|finding| {
        let worst_first = std::cmp::Reverse(finding.severity);
        (worst_first, &finding.code, finding.opened_at, finding.id)
    });
    first.map(|finding| Lead::from(*finding))
}
