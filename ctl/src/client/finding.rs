//! Findings: listed, shown, explained.

use holdfast_proto::{WireError, wire};

use super::{
    CallError, Client, each,
    read::{required, time, variant},
    within,
};
use crate::view::finding::{Evidence, Finding, Page, Severity};

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    pub async fn findings(&mut self, include_closed: bool) -> Result<Vec<Finding>, CallError> {
        let request = wire::ListFindingsRequest { include_closed };
        let answer = within(self.within, self.inner.list_findings(request)).await?;
        each(answer.findings, Finding::try_from)
    }

    pub async fn finding(&mut self, id: u64) -> Result<Finding, CallError> {
        let request = wire::GetFindingRequest { id };
        let answer = within(self.within, self.inner.get_finding(request)).await?;
        let finding = required("GetFindingResponse", "finding", answer.finding)?;
        Ok(Finding::try_from(finding)?)
    }

    /// By code or kind.
    pub async fn explain_finding(&mut self, kind: String) -> Result<Page, CallError> {
        let request = wire::ExplainFindingRequest { kind };
        let answer = within(self.within, self.inner.explain_finding(request)).await?;
        let wire::ExplainFindingResponse { code, kind, page } = answer;
        Ok(Page { code, kind, page })
    }
}

pub(super) fn told(severity: wire::Severity) -> Option<Severity> {
    match severity {
        wire::Severity::Unspecified => None,
        wire::Severity::Info => Some(Severity::Info),
        wire::Severity::Warning => Some(Severity::Warning),
        wire::Severity::Critical => Some(Severity::Critical),
    }
}

impl TryFrom<wire::Finding> for Finding {
    type Error = WireError;

    fn try_from(finding: wire::Finding) -> Result<Self, WireError> {
        let wire::Finding {
            id,
            code,
            kind,
            severity,
            subject,
            message,
            evidence,
            advice,
            opened_at,
            closed_at,
            incident,
        } = finding;
        let evidence = evidence.into_iter().map(|one| Evidence {
            what: one.what,
            value: one.value,
        });
        Ok(Self {
            id,
            code,
            kind,
            severity: variant("Finding", "severity", severity, told)?,
            subject,
            message,
            evidence: evidence.collect(),
            advice,
            opened_at: time("Finding", "opened_at", opened_at)?,
            closed_at: time("Finding", "closed_at", closed_at)?,
            incident: Some(incident).filter(|id| *id != 0),
        })
    }
}
