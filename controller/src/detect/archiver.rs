//! `archiver-failing`: WAL is to be archived, and the last attempt failed.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::fleet::Archiver;

use super::{Detector, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0203", "archiver-failing");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};
/// Failing for so long, points in time are being lost.
const CRITICAL_AFTER: TimeDelta = TimeDelta::minutes(15);

pub fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let instances = facts.healthy();
    instances
        .filter(|(_, _, health)| is_failing(&health.archiver))
        .map(|(_, subject, health)| {
            let archiver = &health.archiver;
            let since = archiver.last_archived_at;
            let long = since.is_none_or(|at| now - at > CRITICAL_AFTER);
            let last_success = since.map_or_else(
                || "nothing has been archived yet".to_owned(),
                |at| format!("the last success was {} UTC", at.format("%F %H:%M:%S")),
            );
            Seen {
                kind: KIND,
                evidence: vec![],
                key: subject.clone(),
                severity: if long {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                message: format!(
                    "{subject} cannot archive {}; {last_success}",
                    archiver.last_failed_wal
                ),
                subject,
                advice: "read what archive_command says in the server's log: disk, permission, \
                         syntax"
                    .to_owned(),
            }
        })
        .collect()
}

/// The last failure is newer than the last success.
fn is_failing(archiver: &Archiver) -> bool {
    archiver.on
        && archiver.last_failed_at.is_some()
        && archiver.last_failed_at > archiver.last_archived_at
}
