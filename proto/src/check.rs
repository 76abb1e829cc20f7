//! User-count checks: what is asked, and what came of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::task::RunCheck;

/// A check as an agent runs it on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledCheck {
    pub id: u64,
    pub run: RunCheck,
    pub every: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckOutcome {
    pub at: DateTime<Utc>,
    pub count: Option<i64>,
    pub newest: Option<DateTime<Utc>>,
    /// Why it could not run; empty when it did.
    pub error: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckLimits {
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub max_drop_percent: Option<f64>,
    pub max_age: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    Ok,
    Suspicious,
    CouldNotRun,
}
