//! Findings, to the wire.

use holdfast_proto::wire;

use super::time;
use crate::detect::{Finding, Severity};

impl From<Finding> for wire::Finding {
    fn from(finding: Finding) -> Self {
        let Finding {
            id,
            kind,
            key: _,
            severity,
            subject,
            message,
            advice,
            opened_at,
            closed_at,
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
        }
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
