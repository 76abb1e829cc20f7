//! The report of a drill of a volume, from what its job has put out so far.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_proto::{
    drill::{DrillKind, DrillReport, DrillTimes, DrilledBackup, REPORT_FORMAT, RungName},
    task::TaskFailure,
};

use super::{
    DrillVolume,
    preflight::{self, Prepared},
    restore::{self, Restored},
};
use crate::{
    catalog::{Backup, Drill},
    job::{
        back_up_volume::contents::VolumeContents,
        drill_backup::{
            read::{self, WasRead},
            report::{between, output},
        },
        drilling::{
            rungs::{Found, judge, rung, time},
            store,
            volume::{Climb, climb},
        },
        position::Position,
        step::{StepContext, catalog_failure},
    },
};

/// What the catalog knows of the drill and its backup.
#[derive(Debug)]
pub struct Known {
    pub drill: Drill,
    pub backup: Backup,
    pub contents: Result<VolumeContents, String>,
}

/// None: the job had not begun a drill.
///
/// # Errors
/// When the catalog fails.
pub async fn known(ctx: &StepContext, request: &DrillVolume) -> Result<Option<Known>, TaskFailure> {
    let explain = |error| catalog_failure(&error);
    let catalog = &ctx.world.catalog;
    let drill = catalog.drill_of_job(ctx.job).await.map_err(explain)?;
    let backup = catalog.backup(request.backup).await.map_err(explain)?;
    let record = catalog.backup_manifest(request.backup).await;
    let record = record.map_err(explain)?;
    Ok(drill.zip(backup).map(|(drill, backup)| Known {
        drill,
        backup,
        contents: VolumeContents::read(record.unwrap_or_default()),
    }))
}

/// Of a drill that did not come to its verdict; one that has it keeps it.
///
/// # Errors
/// When the catalog fails.
pub async fn end_without_verdict(
    ctx: &StepContext,
    request: &DrillVolume,
    broke_off: &str,
) -> Result<(), TaskFailure> {
    let Some(known) = known(ctx, request).await? else {
        return Ok(());
    };
    if known.drill.ended.is_none() {
        let report = build(&known, &ctx.position, broke_off, ctx.now());
        store(ctx, &report).await?;
    }
    Ok(())
}

/// Pure.
#[must_use]
pub fn build(
    known: &Known,
    position: &Position,
    broke_off: &str,
    now: DateTime<Utc>,
) -> DrillReport {
    let Known {
        drill,
        backup,
        contents,
    } = known;
    let prepared: Option<Prepared> = output(position, preflight::NAME);
    let read: Option<WasRead> = output(position, read::NAME);
    let restored: Option<Restored> = output(position, restore::NAME);
    let noted = contents.as_ref().ok().map(|noted| &noted.image);
    let targets = prepared
        .map(|prepared| prepared.targets)
        .unwrap_or_default();
    let times = times(known, read.as_ref(), restored.as_ref());
    let restored = restored.as_ref();
    let mut rungs = climb(&Climb {
        noted,
        read: read.as_ref().map(|read| &read.found),
        restored: restored.and_then(|restored| restored.volume.as_ref()),
        failure: restored.and_then(|restored| restored.failure.as_ref()),
        obstacle: None,
        broke_off,
    });
    let target = targets.rto_ms.map(Duration::from_millis);
    let measured = match times.took_ms {
        Some(took) => time(Duration::from_millis(took), target),
        None if broke_off.is_empty() => Found::CouldNot("the drill did not come so far".to_owned()),
        None => Found::CouldNot(broke_off.to_owned()),
    };
    rungs.push(rung(RungName::Time, measured));
    let judgement = judge(&rungs);
    DrillReport {
        format: REPORT_FORMAT,
        kind: DrillKind::Backup,
        drill: drill.id,
        job: drill.job,
        subject: drill.of.subject(),
        backup: Some(DrilledBackup {
            id: backup.id,
            kind: backup.kind.to_string(),
            taken_at: backup.taken_at,
            stored_at: backup.stored_at,
            snapshot: backup.snapshot_id.clone(),
            lsn: String::new(),
            tables: 0,
            rows: 0,
            bytes: backup.logical_bytes,
            schema_hash: String::new(),
            files: noted.map(|noted| noted.files).unwrap_or_default(),
            fingerprint: noted
                .map(|noted| noted.fingerprint.to_string())
                .unwrap_or_default(),
        }),
        host: drill.of.on().map(ToString::to_string),
        server: None,
        started_at: drill.started_at,
        ended_at: now,
        verdict: judgement.verdict,
        broken: judgement.broken,
        reason: judgement.reason,
        rungs,
        parts: Vec::new(),
        times,
        targets,
        controller: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// A recovery begins when the backup has been read, since it would not do that, and ends with everything read back.
fn times(known: &Known, read: Option<&WasRead>, restored: Option<&Restored>) -> DrillTimes {
    let stood = restored.and_then(|restored| restored.volume.as_ref().and(restored.ended_at));
    let recovered = read.zip(stood);
    DrillTimes {
        read_ms: read.map(|read| between(read.began_at, read.ended_at)),
        took_ms: recovered.map(|(read, stood)| between(read.ended_at, stood)),
        rpo_ms: Some(between(known.backup.taken_at, known.drill.started_at)),
        ..DrillTimes::default()
    }
}
