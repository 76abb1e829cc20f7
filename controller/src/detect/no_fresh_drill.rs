//! `no-fresh-drill`: backups that nobody has restored of late are only hoped for.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Detector, Facts, Kind, Seen, Severity, kind};
use crate::standing::DatabaseStanding;

const KIND: Kind = kind!("HF0503", "no-fresh-drill");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};
/// The first drill begins within a day of the first backup.
const PATIENCE: TimeDelta = TimeDelta::hours(48);

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let databases = facts.protection.iter();
    databases
        .filter_map(|database| judge(database, now))
        .collect()
}

fn judge(database: &DatabaseStanding, now: DateTime<Utc>) -> Option<Seen> {
    let timing = &database.plan()?.drill.as_ref()?.timing;
    let subject = database.subject.database.to_string();
    let good = database.good_backups(now);
    let oldest = good.last()?;
    let message = match database.last_proof() {
        None if now - oldest.stored_at.max(database.since) > PATIENCE => {
            format!("no drill has ever restored a backup of {subject}")
        }
        None => return None,
        Some(proof) => {
            let name = format!("{subject} drill");
            let last = timing.latest(&name, now - PATIENCE)?;
            let before = timing.latest(&name, last - TimeDelta::seconds(1))?;
            if proof >= before {
                return None;
            }
            format!(
                "the last drill that proved a backup of {subject} was on {}: the last two of its schedule ({timing}) are missing",
                proof.format("%F")
            )
        }
    };
    Some(Seen {
        kind: KIND,
        evidence: vec![],
        key: subject.clone(),
        severity: Severity::Warning,
        message,
        advice: format!("see why: ctl policy show {subject}; run one now: ctl drill run {subject}"),
        subject,
    })
}
