//! `rpo-broken`: a loss now would cost more than the policy allows.

use chrono::{DateTime, Utc};

use super::{Detector, Facts, Kind, Seen, Severity, kind};
use crate::standing::DatabaseStanding;

const KIND: Kind = kind!("HF0505", "rpo-broken");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let databases = facts.protection.iter();
    databases
        .filter_map(|database| judge(database, now))
        .collect()
}

fn judge(database: &DatabaseStanding, now: DateTime<Utc>) -> Option<Seen> {
    let target = database.plan()?.targets.rpo?;
    let newest = database
        .good_backups(now)
        .first()
        .map(|backup| backup.taken_at);
    // Before the first backup everything since it was found would be lost.
    let age = (now - newest.unwrap_or(database.since)).to_std().ok()?;
    if age <= target {
        return None;
    }
    let subject = database.subject.database.to_string();
    let hours = age.as_secs() / 3600;
    let lost = match newest {
        Some(_) => format!("the newest good backup is {hours} h old"),
        None => format!("there is no good backup since {hours} h"),
    };
    let allowed = humantime::format_duration(target);
    Some(Seen {
        kind: KIND,
        evidence: vec![],
        key: subject.clone(),
        severity: Severity::Critical,
        message: format!("{subject} can lose more than the {allowed} of its RPO: {lost}"),
        advice: format!("make one now: {}", database.backup_command()),
        subject,
    })
}
