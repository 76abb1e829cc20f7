//! A finding: of which kind, about what, and what it was told from.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What may be found.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// For life: "HF0101". The first two digits are the chapter.
    pub code: &'static str,
    /// "double-mount".
    pub name: &'static str,
    /// Its page for operators, Markdown.
    pub page: &'static str,
}

/// A kind with its page in `docs/findings/`.
macro_rules! kind {
    ($code:literal, $name:literal) => {
        $crate::detect::Kind {
            code: $code,
            name: $name,
            page: include_str!(concat!("../../../docs/findings/", $code, ".md")),
        }
    };
}
pub(crate) use kind;

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl Eq for Kind {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The one that is written so.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        let mut all = [Self::Info, Self::Warning, Self::Critical].into_iter();
        all.find(|severity| severity.as_str() == word)
    }

    /// None below the warning's limit.
    pub(super) fn by_limits(value: u64, warning: u64, critical: u64) -> Option<Self> {
        if value >= critical {
            Some(Self::Critical)
        } else {
            (value >= warning).then_some(Self::Warning)
        }
    }
}

/// One thing that a finding was told from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// "volume before", "second container".
    pub what: String,
    pub value: String,
}

impl Evidence {
    #[must_use]
    pub fn new(what: &str, value: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            value: value.into(),
        }
    }
}

/// What a detector sees now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: Kind,
    pub key: String,
    pub severity: Severity,
    /// "web-1", "web-1/shop-db", "web-1/shop-db/shop".
    pub subject: String,
    pub message: String,
    /// What the message leaves out; may be empty.
    pub evidence: Vec<Evidence>,
    /// Next command or deed; may be empty.
    pub advice: String,
}

/// A stored finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub id: u64,
    pub code: String,
    pub kind: String,
    pub key: String,
    pub severity: Severity,
    pub subject: String,
    pub message: String,
    pub evidence: Vec<Evidence>,
    pub advice: String,
    pub opened_at: DateTime<Utc>,
    /// None while open.
    pub closed_at: Option<DateTime<Utc>>,
    /// The incident that it belongs to.
    pub incident: Option<u64>,
}

impl Finding {
    /// It shows just this.
    #[must_use]
    pub fn shows(&self, seen: &Seen) -> bool {
        self.kind == seen.kind.name
            && self.key == seen.key
            && self.severity == seen.severity
            && self.subject == seen.subject
            && self.message == seen.message
            && self.evidence == seen.evidence
            && self.advice == seen.advice
    }
}
