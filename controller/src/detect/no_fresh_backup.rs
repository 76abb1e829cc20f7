//! `no-fresh-backup`: a database that is protected has no good backup, or two moments of its schedule brought none.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Detector, Facts, Kind, Seen, Severity, kind};
use crate::standing::DatabaseStanding;

const KIND: Kind = kind!("HF0502", "no-fresh-backup");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};
/// For the first one, and for one that is being made.
const PATIENCE: TimeDelta = TimeDelta::hours(2);

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let databases = facts.protection.iter();
    databases
        .filter_map(|database| judge(database, now))
        .collect()
}

fn judge(database: &DatabaseStanding, now: DateTime<Utc>) -> Option<Seen> {
    let plan = database.plan()?;
    let subject = database.subject.database.to_string();
    let message = match database.good_backups(now).first() {
        None if now - database.since > PATIENCE => {
            format!("{subject} has no good backup at all")
        }
        None => return None,
        Some(newest) => {
            let name = format!("{subject} backup");
            let last = plan.backup.latest(&name, now - PATIENCE)?;
            let before = plan.backup.latest(&name, last - TimeDelta::seconds(1))?;
            if newest.taken_at >= before {
                return None;
            }
            format!(
                "the newest good backup of {subject} is of {}: the last two of its schedule ({}) are missing",
                newest.taken_at.format("%F %H:%M UTC"),
                plan.backup
            )
        }
    };
    Some(Seen {
        kind: KIND,
        evidence: vec![],
        key: subject.clone(),
        severity: Severity::Critical,
        message,
        advice: format!(
            "see why: ctl policy show {subject}; make one now: {}",
            database.backup_command()
        ),
        subject,
    })
}
