//! Findings, to the wire.

use holdfast_proto::wire;

use super::time;
use crate::detect::{Evidence, Finding, Severity};

impl From<Finding> for wire::Finding {
    fn from(finding: Finding) -> Self {
        let Finding {
            id,
            code,
            kind,
            key: _,
            severity,
            subject,
            message,
            evidence,
            advice,
            opened_at,
            closed_at,
            incident,
        } = finding;
        Self {
            id,
            kind,
            severity: wire::Severity::from(severity).into(),
            subject,
            message,
            advice,
            opened_at: time(opened_at),
            closed_at: closed_at.and_then(time),
            code,
            incident: incident.unwrap_or(0),
            evidence: evidence.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Evidence> for wire::Evidence {
    fn from(evidence: Evidence) -> Self {
        let Evidence { what, value } = evidence;
        Self { what, value }
    }
}

impl From<Severity> for wire::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}
