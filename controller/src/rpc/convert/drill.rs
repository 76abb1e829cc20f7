//! Drills, from and to the wire.

use holdfast_proto::{
    WireError,
    drill::{DrillKind, Verdict},
    wire::{self, Drill as Row, DrillVerdict},
};

use super::{duration, time};
use crate::catalog::{Drill, DrillOf};

/// None: unspecified.
///
/// # Errors
/// One that this version does not know.
pub fn drill_kind(kind: i32) -> Result<Option<DrillKind>, WireError> {
    let known = wire::DrillKind::try_from(kind).map_err(|_| WireError::Invalid {
        message: "RunDrillRequest",
        field: "kind",
        reason: format!("{kind} is not a value that this version knows"),
    })?;
    Ok(match known {
        wire::DrillKind::Unspecified => None,
        wire::DrillKind::Backup => Some(DrillKind::Backup),
        wire::DrillKind::Rebuild => Some(DrillKind::Rebuild),
        wire::DrillKind::Offsite => Some(DrillKind::Offsite),
    })
}

pub fn wire_kind(kind: DrillKind) -> wire::DrillKind {
    match kind {
        DrillKind::Backup => wire::DrillKind::Backup,
        DrillKind::Rebuild => wire::DrillKind::Rebuild,
        DrillKind::Offsite => wire::DrillKind::Offsite,
    }
}

pub fn drill_row(drill: Drill) -> Row {
    let ended = drill.ended;
    let verdict = match ended.as_ref().map(|ended| ended.verdict) {
        None => DrillVerdict::Unspecified,
        Some(Verdict::Proven) => DrillVerdict::Proven,
        Some(Verdict::Damaged) => DrillVerdict::Damaged,
        Some(Verdict::CouldNotRun) => DrillVerdict::CouldNotRun,
        Some(Verdict::Incomplete) => DrillVerdict::Incomplete,
    };
    let (backup, taken_at) = match &drill.of {
        DrillOf::Backup {
            backup, taken_at, ..
        } => (*backup, time(*taken_at)),
        DrillOf::Rebuild { .. } | DrillOf::Offsite { .. } => (0, None),
    };
    Row {
        id: drill.id,
        job: drill.job,
        kind: wire_kind(drill.of.kind()).into(),
        subject: drill.of.subject(),
        backup,
        taken_at,
        host: drill.of.on().map(ToString::to_string).unwrap_or_default(),
        started_at: time(drill.started_at),
        ended_at: ended.as_ref().and_then(|ended| time(ended.at)),
        verdict: verdict.into(),
        took: ended
            .as_ref()
            .and_then(|ended| ended.took)
            .and_then(duration),
        rpo: ended
            .as_ref()
            .and_then(|ended| ended.rpo)
            .and_then(duration),
        broken: ended
            .as_ref()
            .map(|ended| ended.broken.clone())
            .unwrap_or_default(),
        reason: ended.map(|ended| ended.reason).unwrap_or_default(),
    }
}
