//! Backups, to the wire.

use std::cmp::Reverse;

use holdfast_proto::{image::Relation, wire};

use super::time;
use crate::{
    backup_diff::{BackupDiff, Change, ChangeKind},
    catalog::Backup,
    job::{
        back_up_database::record::{BackupContents, CheckedThen},
        back_up_volume::contents::VolumeContents,
    },
    retention::{
        self,
        removal::{self, Step},
    },
};

impl From<Backup> for wire::Backup {
    fn from(backup: Backup) -> Self {
        let Backup {
            id,
            database,
            engine,
            kind,
            state,
            pinned,
            taken_at,
            stored_at,
            proven_at,
            logical_bytes,
            stored_bytes,
            snapshot_id,
            job,
            marked_at,
            removed_at,
            deletion,
        } = backup;
        // From the mark alone: whether it is over does not matter here.
        let step = marked_at.map(|since| removal::step(false, Some(since), removal::GRACE, since));
        let goes_at = match step {
            Some(Step::Wait { until }) if removed_at.is_none() => Some(until),
            _ => None,
        };
        Self {
            id,
            database: Some(database.into()),
            engine: engine.map_or(0, |engine| wire::Engine::from(engine).into()),
            kind: kind.to_string(),
            state: state.to_string(),
            pinned,
            taken_at: time(taken_at),
            stored_at: time(stored_at),
            proven_at: proven_at.and_then(time),
            logical_bytes,
            stored_bytes,
            snapshot: snapshot_id,
            job: job.unwrap_or(0),
            marked_at: marked_at.and_then(time),
            goes_at: goes_at.and_then(time),
            removed_at: removed_at.and_then(time),
            deleted_by: deletion.map(|deletion| deletion.by).unwrap_or_default(),
        }
    }
}

/// A backup with everything that is in it, and what retention wants of it.
pub fn backup_contents(
    backup: Backup,
    contents: BackupContents,
    decision: Option<retention::Decision>,
) -> wire::GetBackupResponse {
    let BackupContents {
        format: _,
        image,
        source: _,
        selection,
        checks,
    } = contents;
    let mut relations = image.relations;
    relations.sort_by_key(|relation| Reverse(relation.bytes));
    let (keep, reasons) = decision.map_or((false, Vec::new()), |decision| {
        let reasons = decision.reasons.iter().map(ToString::to_string);
        (decision.keep, reasons.collect())
    });
    wire::GetBackupResponse {
        backup: Some(backup.into()),
        server_version: image.server_version,
        lsn: image.lsn,
        relations: relations.into_iter().map(relation).collect(),
        checks: checks.into_iter().map(Into::into).collect(),
        selection: Some(selection.into()),
        keep,
        reasons,
        volume: None,
    }
}

/// A backup of a volume, and what retention wants of it.
pub fn volume_contents(
    backup: Backup,
    contents: VolumeContents,
    decision: Option<retention::Decision>,
) -> wire::GetBackupResponse {
    let VolumeContents { format: _, image } = contents;
    let (keep, reasons) = decision.map_or((false, Vec::new()), |decision| {
        let reasons = decision.reasons.iter().map(ToString::to_string);
        (decision.keep, reasons.collect())
    });
    wire::GetBackupResponse {
        backup: Some(backup.into()),
        keep,
        reasons,
        volume: Some(image.into()),
        ..wire::GetBackupResponse::default()
    }
}

fn relation(relation: Relation) -> wire::BackupRelation {
    wire::BackupRelation {
        schema: relation.schema,
        name: relation.name,
        rows: relation.rows,
        bytes: relation.bytes,
        fingerprint: relation.fingerprint.to_string(),
    }
}

impl From<CheckedThen> for wire::BackupCheck {
    fn from(checked: CheckedThen) -> Self {
        let CheckedThen { name, outcome } = checked;
        Self {
            name,
            outcome: Some(outcome.into()),
        }
    }
}

pub fn backup_diff(older: Backup, newer: Backup, diff: BackupDiff) -> wire::CompareBackupsResponse {
    let BackupDiff {
        changes,
        unchanged,
        schema_changed,
    } = diff;
    wire::CompareBackupsResponse {
        older: Some(older.into()),
        newer: Some(newer.into()),
        changes: changes.into_iter().map(Into::into).collect(),
        unchanged,
        schema_changed,
    }
}

impl From<Change> for wire::RelationChange {
    fn from(change: Change) -> Self {
        let Change {
            schema,
            name,
            kind,
            before,
            after,
        } = change;
        let kind = match kind {
            ChangeKind::Came => wire::RelationChangeKind::Came,
            ChangeKind::Went => wire::RelationChangeKind::Went,
            ChangeKind::Grew => wire::RelationChangeKind::Grew,
            ChangeKind::Shrank => wire::RelationChangeKind::Shrank,
            ChangeKind::Changed => wire::RelationChangeKind::Changed,
        };
        Self {
            schema,
            name,
            kind: kind.into(),
            rows_before: before.rows,
            rows_after: after.rows,
            bytes_before: before.bytes,
            bytes_after: after.bytes,
        }
    }
}
