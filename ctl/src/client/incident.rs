//! Incidents: listed, shown, reported, opened, noted, assigned, closed.

use holdfast_proto::{WireError, wire};

use super::{
    CallError, Client, each,
    finding::told,
    read::{required, time, variant},
    within,
};
use crate::view::{
    finding::Finding,
    incident::{Incident, IncidentDetail, IncidentReport, Line, State},
};

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    pub async fn incidents(&mut self, include_closed: bool) -> Result<Vec<Incident>, CallError> {
        let request = wire::ListIncidentsRequest { include_closed };
        let answer = within(self.within, self.inner.list_incidents(request)).await?;
        each(answer.incidents, Incident::try_from)
    }

    pub async fn incident(&mut self, id: u64) -> Result<IncidentDetail, CallError> {
        let request = wire::GetIncidentRequest { id };
        let answer = within(self.within, self.inner.get_incident(request)).await?;
        Ok(IncidentDetail {
            incident: one("GetIncidentResponse", answer.incident)?,
            findings: each(answer.findings, Finding::try_from)?,
            timeline: each(answer.timeline, Line::try_from)?,
        })
    }

    pub async fn report_incident(&mut self, id: u64) -> Result<IncidentReport, CallError> {
        let request = wire::ReportIncidentRequest { id };
        let answer = within(self.within, self.inner.report_incident(request)).await?;
        Ok(IncidentReport {
            incident: id,
            markdown: answer.markdown,
        })
    }

    pub async fn open_incident(&mut self, finding: u64) -> Result<Incident, CallError> {
        let request = wire::OpenIncidentRequest { finding };
        let answer = within(self.within, self.inner.open_incident(request)).await?;
        one("OpenIncidentResponse", answer.incident)
    }

    pub async fn note_incident(&mut self, id: u64, text: String) -> Result<Incident, CallError> {
        let request = wire::NoteIncidentRequest { id, text };
        let answer = within(self.within, self.inner.note_incident(request)).await?;
        one("NoteIncidentResponse", answer.incident)
    }

    /// `to`: empty for whoever asks.
    pub async fn assign_incident(
        &mut self,
        id: u64,
        to: String,
        nobody: bool,
    ) -> Result<Incident, CallError> {
        let request = wire::AssignIncidentRequest { id, to, nobody };
        let answer = within(self.within, self.inner.assign_incident(request)).await?;
        one("AssignIncidentResponse", answer.incident)
    }

    pub async fn close_incident(
        &mut self,
        id: u64,
        cause: String,
        still_found: bool,
    ) -> Result<Incident, CallError> {
        let request = wire::CloseIncidentRequest {
            id,
            cause,
            still_found,
        };
        let answer = within(self.within, self.inner.close_incident(request)).await?;
        one("CloseIncidentResponse", answer.incident)
    }
}

fn one(message: &'static str, incident: Option<wire::Incident>) -> Result<Incident, CallError> {
    let incident = required(message, "incident", incident)?;
    Ok(Incident::try_from(incident)?)
}

impl TryFrom<wire::Incident> for Incident {
    type Error = WireError;

    fn try_from(incident: wire::Incident) -> Result<Self, WireError> {
        let wire::Incident {
            id,
            state,
            code,
            kind,
            severity,
            subject,
            title,
            advice,
            opened_at,
            opened_by,
            assigned_to,
            resolved_at,
            closed_at,
            closed_by,
            cause,
        } = incident;
        Ok(Self {
            id,
            state: variant("Incident", "state", state, |state| match state {
                wire::IncidentState::Unspecified => None,
                wire::IncidentState::Open => Some(State::Open),
                wire::IncidentState::Resolved => Some(State::Resolved),
                wire::IncidentState::Closed => Some(State::Closed),
            })?,
            code,
            kind,
            severity: variant("Incident", "severity", severity, told)?,
            subject,
            title,
            advice,
            opened_at: time("Incident", "opened_at", opened_at)?,
            opened_by,
            assigned_to,
            resolved_at: time("Incident", "resolved_at", resolved_at)?,
            closed_at: time("Incident", "closed_at", closed_at)?,
            closed_by,
            cause,
        })
    }
}

impl TryFrom<wire::IncidentLine> for Line {
    type Error = WireError;

    fn try_from(line: wire::IncidentLine) -> Result<Self, WireError> {
        let wire::IncidentLine {
            at,
            kind,
            by,
            text,
            reference,
        } = line;
        Ok(Self {
            at: time("IncidentLine", "at", at)?,
            kind,
            by,
            text,
            reference,
        })
    }
}
