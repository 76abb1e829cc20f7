//! The guard of a host: what it is told, and how it is. Fields mean what `guard.proto` says.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What stands between data and their loss.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    #[serde(default)]
    pub place: String,
    #[serde(default)]
    pub databases: Vec<CountedDatabase>,
    #[serde(default)]
    pub proven_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub fresh_until: Option<DateTime<Utc>>,
    #[serde(default)]
    pub allowance: Option<Allowance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedDatabase {
    pub name: String,
    #[serde(default)]
    pub users: Option<u64>,
    #[serde(default)]
    pub proven_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub fresh_until: Option<DateTime<Utc>>,
}

/// An operator has let everything pass that concerns a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    pub until: DateTime<Utc>,
    pub reason: String,
    pub by: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskGuard {}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardStatus {
    pub guards: bool,
    pub installed: Option<bool>,
    pub process: Option<GuardProcess>,
    pub troubles: Vec<String>,
    pub refusals: Vec<GuardRefusal>,
}

/// The one that answers the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardProcess {
    pub pid: u32,
    pub version: String,
    pub since: DateTime<Utc>,
    pub calls: u64,
    pub refused: u64,
    #[serde(default)]
    pub told_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub trouble: String,
    #[serde(default)]
    pub data: Vec<GuardedData>,
}

/// A data directory that a guard knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardedData {
    pub protection: Protection,
    pub server: String,
    pub instance: String,
    pub in_use: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardRefusal {
    pub at: DateTime<Utc>,
    pub rule: String,
    pub place: String,
    pub call: String,
    pub sentence: String,
}

impl Protection {
    /// Its newest proven backup is fresh enough to do without the data.
    #[must_use]
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.proven_at.is_some() && self.fresh_until.is_some_and(|until| now < until)
    }

    #[must_use]
    pub fn is_allowed(&self, now: DateTime<Utc>) -> bool {
        let allowance = self.allowance.as_ref();
        allowance.is_some_and(|allowance| now < allowance.until)
    }
}

impl CountedDatabase {
    /// As [`Protection::is_fresh`], of this one alone.
    #[must_use]
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.fresh_until.is_some_and(|until| now < until)
    }
}

impl GuardStatus {
    /// What the process that answers knows of a place.
    #[must_use]
    pub fn data_at(&self, place: &str) -> Option<&GuardedData> {
        let mut data = self.process.iter().flat_map(|process| &process.data);
        data.find(|data| data.protection.place == place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_protects_nothing() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let end = at("2026-11-22T10:00:00Z");
        let before = at("2026-11-22T09:59:59Z");
        let mut protection = Protection {
            fresh_until: Some(end),
            allowance: Some(Allowance {
                until: end,
                reason: "move".to_owned(),
                by: "ann".to_owned(),
            }),
            ..Protection::default()
        };
        assert!(!protection.is_fresh(before), "nothing was ever proven");
        protection.proven_at = Some(before);
        assert!(protection.is_fresh(before) && protection.is_allowed(before));
        assert!(!protection.is_fresh(end) && !protection.is_allowed(end));
    }
}
