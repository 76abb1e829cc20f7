//! What stands between a volume and its loss: a fresh proven backup, or an operator who has said yes.

use std::{collections::BTreeMap, io, path::Path};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Of one volume or folder; the controller's knowledge, kept on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    #[serde(default)]
    pub databases: Vec<Counted>,
    /// When the newest backup that a drill has proven was made; of several databases the oldest of these.
    #[serde(default)]
    pub proven_at: Option<DateTime<Utc>>,
    /// Until then that backup is fresh enough to do without the volume.
    #[serde(default)]
    pub fresh_until: Option<DateTime<Utc>>,
    #[serde(default)]
    pub allowance: Option<Allowance>,
}

/// A database and how many users the newest check has counted in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub name: String,
    #[serde(default)]
    pub users: Option<u64>,
}

/// An operator has let everything pass that concerns this place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    pub until: DateTime<Utc>,
    pub reason: String,
    pub by: String,
}

impl Protection {
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

/// By name of the volume, or path of the folder. No file: nothing is known of any.
///
/// # Errors
/// When the file is there and is of no use.
pub fn load(path: &Path) -> io::Result<BTreeMap<String, Protection>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
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
