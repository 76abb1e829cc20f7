//! Incidents, to the wire.

use holdfast_proto::wire;

use super::time;
use crate::{
    incident::{Incident, Lead, Line, State},
    runbook::answer_to,
};

impl From<Incident> for wire::Incident {
    fn from(incident: Incident) -> Self {
        let state = wire::IncidentState::from(incident.state());
        let Incident {
            id,
            about: _,
            lead,
            opened_at,
            opened_by,
            assigned_to,
            resolved_at,
            closed_at,
            closed_by,
            cause,
            handled: _,
        } = incident;
        let Lead {
            code,
            kind,
            severity,
            subject,
            title,
            advice,
        } = lead;
        let advice = match answer_to(&kind) {
            Some(_) if advice.is_empty() => format!("ctl incident run {id}"),
            Some(_) => format!("ctl incident run {id} (by hand: {advice})"),
            None => advice,
        };
        Self {
            id,
            state: state.into(),
            code,
            kind,
            severity: wire::Severity::from(severity).into(),
            subject,
            title,
            advice,
            opened_at: time(opened_at),
            opened_by,
            assigned_to,
            resolved_at: resolved_at.and_then(time),
            closed_at: closed_at.and_then(time),
            closed_by,
            cause,
        }
    }
}

impl From<State> for wire::IncidentState {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Resolved => Self::Resolved,
            State::Closed => Self::Closed,
        }
    }
}

impl From<Line> for wire::IncidentLine {
    fn from(line: Line) -> Self {
        let Line {
            at,
            kind,
            by,
            text,
            reference,
        } = line;
        Self {
            at: time(at),
            kind,
            by,
            text,
            reference,
        }
    }
}
