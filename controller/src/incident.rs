//! Incidents: findings that belong together, from the first of them to an operator's last word.
//!
//! [`settle`] says what findings change of incidents, [`timeline`] tells what happened, [`report`] what is to be
//! learned from it: all three are pure. The catalog keeps the rest.

mod about;
mod concern;
pub mod report;
mod settle;
#[cfg(test)]
mod tests;
mod timeline;

use chrono::{DateTime, Utc};

use crate::detect::{Finding, Severity};

pub use about::{About, Services};
pub use concern::Concern;
pub use settle::{Joining, Step, settle};
pub use timeline::{Line, Sources, timeline};

pub type IncidentId = u64;

/// An incident as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    pub id: IncidentId,
    /// As [`About`] displays it.
    pub about: String,
    pub lead: Lead,
    pub opened_at: DateTime<Utc>,
    /// "operator/ann"; empty: a finding opened it.
    pub opened_by: String,
    /// "ann"; empty: nobody.
    pub assigned_to: String,
    /// When the last of its findings was over; none while one is open.
    pub resolved_at: Option<DateTime<Utc>>,
    pub closed_at: Option<DateTime<Utc>>,
    /// Empty: it closed by itself.
    pub closed_by: String,
    pub cause: String,
    /// Somebody has said or done something about it.
    pub handled: bool,
}

/// What an incident is called: its finding that tells most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    pub code: String,
    pub kind: String,
    pub severity: Severity,
    pub subject: String,
    pub title: String,
    /// Next command or deed; may be empty.
    pub advice: String,
}

/// What happened to the incident itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at: DateTime<Utc>,
    pub kind: EventKind,
    /// "operator/ann"; empty: nobody, it came so.
    pub by: String,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Opened,
    /// The last of its findings was over.
    Resolved,
    /// Something was found again.
    Reopened,
    Assigned,
    Note,
    Closed,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    /// Nothing is found any more; nobody has closed it.
    Resolved,
    Closed,
}

impl Incident {
    #[must_use]
    pub fn state(&self) -> State {
        match (self.closed_at, self.resolved_at) {
            (Some(_), _) => State::Closed,
            (None, Some(_)) => State::Resolved,
            (None, None) => State::Open,
        }
    }

    /// When it was over: the last of its findings, or the last word.
    #[must_use]
    pub fn over_at(&self) -> Option<DateTime<Utc>> {
        self.resolved_at.or(self.closed_at)
    }
}

impl From<&Finding> for Lead {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.code.clone(),
            kind: finding.kind.clone(),
            severity: finding.severity,
            subject: finding.subject.clone(),
            title: finding.message.clone(),
            advice: finding.advice.clone(),
        }
    }
}

impl EventKind {
    pub const ALL: [Self; 6] = [
        Self::Opened,
        Self::Resolved,
        Self::Reopened,
        Self::Assigned,
        Self::Note,
        Self::Closed,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
            Self::Assigned => "assigned",
            Self::Note => "note",
            Self::Closed => "closed",
        }
    }
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
        }
    }
}
