//! Incidents: an open one, one that is over, a closed one.

use super::{finding_list, text};
use crate::{
    output::testing::at,
    view::{
        finding::Severity,
        incident::{Incident, IncidentDetail, IncidentList, Line, State},
    },
};

fn incident(id: u64, state: State) -> Incident {
    Incident {
        id,
        state,
        code: text("HF0102"),
        kind: text("identity-swapped"),
        severity: Severity::Critical,
        subject: text("web-1/shop-db"),
        title: text("web-1/shop-db came up on other data: volume a → b"),
        advice: text("ctl instance history web-1/shop-db"),
        opened_at: Some(at("2026-11-20T11:50:00Z")),
        opened_by: String::new(),
        assigned_to: String::new(),
        resolved_at: None,
        closed_at: None,
        closed_by: String::new(),
        cause: String::new(),
    }
}

pub(crate) fn list() -> IncidentList {
    let mut closed = incident(1, State::Closed);
    closed.resolved_at = Some(at("2026-11-20T11:55:00Z"));
    closed.closed_at = Some(at("2026-11-20T11:56:00Z"));
    closed.closed_by = text("operator/ann");
    closed.cause = text("the directory was renamed");
    let mut resolved = incident(2, State::Resolved);
    resolved.resolved_at = Some(at("2026-11-20T11:59:00Z"));
    IncidentList {
        incidents: vec![closed, resolved, detail().incident],
    }
}

pub(crate) fn detail() -> IncidentDetail {
    let mut open = incident(3, State::Open);
    open.assigned_to = text("ann");
    let mut findings = finding_list().findings;
    findings[0].incident = Some(3);
    findings[1].code = text("HF0301");
    findings[1].kind = text("check-suspicious");
    findings[1].severity = Severity::Critical;
    findings[1].message = text("users 14 → 1");
    findings[1].closed_at = Some(at("2026-11-20T11:59:00Z"));
    let line = |kind: &str, by: &str, what: &str, reference: &str| Line {
        at: Some(at("2026-11-20T11:50:00Z")),
        kind: text(kind),
        by: text(by),
        text: text(what),
        reference: text(reference),
    };
    IncidentDetail {
        incident: open,
        findings,
        timeline: vec![
            line(
                "finding",
                "",
                "critical identity-swapped: other data",
                "finding 2",
            ),
            line(
                "job",
                "operator/ann",
                "asked for: restore-database",
                "job 7",
            ),
        ],
    }
}
