//! Drills, to the wire.

use holdfast_proto::{
    drill::Verdict,
    wire::{Drill as Row, DrillVerdict},
};

use super::{duration, time};
use crate::catalog::Drill;

pub fn drill_row(drill: Drill) -> Row {
    let ended = drill.ended;
    let verdict = match ended.as_ref().map(|ended| ended.verdict) {
        None => DrillVerdict::Unspecified,
        Some(Verdict::Proven) => DrillVerdict::Proven,
        Some(Verdict::Damaged) => DrillVerdict::Damaged,
        Some(Verdict::CouldNotRun) => DrillVerdict::CouldNotRun,
    };
    Row {
        id: drill.id,
        job: drill.job,
        database: Some(drill.database.into()),
        backup: drill.backup,
        taken_at: time(drill.taken_at),
        host: drill.host.into(),
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
