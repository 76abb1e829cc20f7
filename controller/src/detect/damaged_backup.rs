//! `damaged-backup`: the newest backup of a database cannot be restored, and no good one has been made since.

use chrono::{DateTime, Utc};

use super::{Detector, Facts, Kind, Seen, Severity, kind};
use crate::{
    catalog::{Backup, BackupState},
    standing::DatabaseStanding,
};

const KIND: Kind = kind!("HF0507", "damaged-backup");
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
    let damaged = newest_damaged(&database.backups)?;
    let good = database.good_backups(now);
    let good = good.first().map(|backup| backup.taken_at);
    if good.is_some_and(|good| good > damaged.taken_at) {
        return None;
    }
    let subject = database.subject.database.to_string();
    let left = good.map_or_else(
        || "no good one is left".to_owned(),
        |at| format!("the newest good one is of {} UTC", at.format("%F %H:%M")),
    );
    Some(Seen {
        kind: KIND,
        evidence: vec![],
        key: subject.clone(),
        severity: Severity::Critical,
        message: format!(
            "backup {} of {subject}, its newest, is damaged; {left}",
            damaged.id
        ),
        advice: format!(
            "make a new one now: {}; see what is broken: ctl drill list {subject}",
            database.backup_command()
        ),
        subject,
    })
}

fn newest_damaged(backups: &[Backup]) -> Option<&Backup> {
    let damaged = backups
        .iter()
        .filter(|backup| backup.kind.is_whole() && backup.state == BackupState::Damaged);
    damaged.max_by_key(|backup| backup.taken_at)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use holdfast_proto::fleet::Engine;

    use super::*;
    use crate::{
        catalog::BackupKind,
        policy::{Protection, Subject},
    };

    fn moment() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    fn backup(id: u64, state: BackupState) -> Backup {
        let taken_at = moment() + TimeDelta::hours(id.cast_signed());
        Backup {
            id,
            database: "web-1/shop-db/shop".parse().unwrap(),
            engine: Some(Engine::Postgres),
            kind: BackupKind::Full,
            state,
            pinned: false,
            taken_at,
            stored_at: taken_at,
            proven_at: None,
            logical_bytes: 1,
            stored_bytes: 1,
            snapshot_id: id.to_string(),
            job: None,
            marked_at: None,
            removed_at: None,
            deletion: None,
        }
    }

    fn seen(backups: Vec<Backup>) -> Option<String> {
        let database = DatabaseStanding {
            subject: Subject {
                database: "web-1/shop-db/shop".parse().unwrap(),
                engine: Some(Engine::Postgres),
                project: String::new(),
                labels: std::collections::BTreeMap::new(),
                holds: vec![],
            },
            since: moment(),
            policy: "default".to_owned(),
            matches: vec![],
            protection: Protection::Off {
                reason: "its backups count all the same".to_owned(),
            },
            backups,
            runs: vec![],
            recoveries: vec![],
            work: vec![],
        };
        judge(&database, moment() + TimeDelta::days(1)).map(|seen| seen.message)
    }

    #[test]
    fn a_damaged_backup_is_told_until_a_good_one_is_newer() {
        let (stored, damaged) = (BackupState::Stored, BackupState::Damaged);
        assert_eq!(seen(vec![backup(1, stored)]), None);
        let alone = seen(vec![backup(1, damaged)]).unwrap();
        assert!(alone.ends_with("no good one is left"), "{alone}");
        let older = seen(vec![backup(2, damaged), backup(1, stored)]).unwrap();
        assert!(
            older.starts_with("backup 2 of web-1/shop-db/shop"),
            "{older}"
        );
        assert!(older.contains("the newest good one is of"), "{older}");
        assert_eq!(seen(vec![backup(3, stored), backup(2, damaged)]), None);
    }
}
