//! The report of a drill, from what its job has put out so far.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{
    drill::{DrillKind, DrillReport, DrillTimes, DrilledBackup, DrilledServer, REPORT_FORMAT},
    task::{StartedSandbox, TaskFailure},
};
use serde::de::DeserializeOwned;

use super::{
    DrillBackup,
    examine::{self, Examination},
    ladder::{Climb, climb},
    preflight::{self, Prepared},
    read::{self, WasRead},
    restore::{self, Restored},
    sandbox,
};
use crate::{
    catalog::{Backup, Drill},
    job::{
        back_up_database::record::BackupContents,
        drilling::{rungs::judge, store},
        position::Position,
        step::{StepContext, catalog_failure},
    },
};

/// What the catalog knows of the drill and its backup.
#[derive(Debug)]
pub struct Known {
    pub drill: Drill,
    pub backup: Backup,
    pub contents: Result<BackupContents, String>,
}

/// None: the job had not begun a drill.
///
/// # Errors
/// When the catalog fails.
pub async fn known(ctx: &StepContext, request: &DrillBackup) -> Result<Option<Known>, TaskFailure> {
    let explain = |error| catalog_failure(&error);
    let catalog = &ctx.world.catalog;
    let drill = catalog.drill_of_job(ctx.job).await.map_err(explain)?;
    let backup = catalog.backup(request.backup).await.map_err(explain)?;
    let manifest = catalog.backup_manifest(request.backup).await;
    let manifest = manifest.map_err(explain)?;
    Ok(drill.zip(backup).map(|(drill, backup)| Known {
        drill,
        backup,
        contents: BackupContents::read(manifest.unwrap_or_default()),
    }))
}

/// Of a drill that did not come to its verdict; one that has it keeps it.
///
/// # Errors
/// When the catalog fails.
pub async fn end_without_verdict(
    ctx: &StepContext,
    request: &DrillBackup,
    broke_off: &str,
) -> Result<(), TaskFailure> {
    let Some(known) = known(ctx, request).await? else {
        return Ok(());
    };
    if known.drill.ended.is_none() {
        let report = build(request, &known, &ctx.position, broke_off, ctx.now());
        store(ctx, &report).await?;
    }
    Ok(())
}

/// Pure.
#[must_use]
pub fn build(
    request: &DrillBackup,
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
    let started: Option<StartedSandbox> = output(position, sandbox::NAME);
    let restored: Option<Restored> = output(position, restore::NAME);
    let examined: Option<Examination> = output(position, examine::NAME);
    let noted = contents.as_ref().ok();
    let targets = prepared.as_ref().map(|prepared| prepared.targets);
    let times = times(known, read.as_ref(), restored.as_ref(), examined.as_ref());
    let rungs = climb(&Climb {
        noted: noted.map(|noted| &noted.image),
        read: read.as_ref().map(|read| &read.found),
        restored: restored.as_ref(),
        examined: examined.as_ref(),
        assertions: prepared.map_or(0, |prepared| prepared.assertions.len()),
        took: times.took_ms.map(Duration::from_millis),
        target: targets
            .and_then(|targets| targets.rto_ms)
            .map(Duration::from_millis),
        broke_off,
    });
    let judgement = judge(&rungs);
    DrillReport {
        format: REPORT_FORMAT,
        kind: DrillKind::Backup,
        drill: drill.id,
        job: drill.job,
        subject: drill.of.subject(),
        backup: Some(drilled(backup, noted)),
        host: Some(request.host.to_string()),
        server: Some(server(request, noted, started.as_ref(), restored.as_ref())),
        started_at: drill.started_at,
        ended_at: now,
        verdict: judgement.verdict,
        broken: judgement.broken,
        reason: judgement.reason,
        rungs,
        parts: Vec::new(),
        times,
        targets: targets.unwrap_or_default(),
        controller: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What the throwaway server was, or was to be.
#[must_use]
pub fn server(
    request: &DrillBackup,
    noted: Option<&BackupContents>,
    started: Option<&StartedSandbox>,
    restored: Option<&Restored>,
) -> DrilledServer {
    let source = noted.map(|noted| &noted.source);
    let own_image = || source.map(|source| source.image.clone());
    let wish = Some(request.image.clone()).filter(|image| !image.is_empty());
    DrilledServer {
        image: wish.or_else(own_image).unwrap_or_default(),
        image_id: started
            .map(|started| started.image_id.clone())
            .unwrap_or_default(),
        limits: started.map(|started| started.limits).unwrap_or_default(),
        source_version: source
            .map(|source| source.server_version.clone())
            .unwrap_or_default(),
        version: restored
            .map(|restored| restored.server_version.clone())
            .unwrap_or_default(),
    }
}

/// What a step has put out; none: it has not.
#[must_use]
pub fn output<T: DeserializeOwned>(position: &Position, step: &str) -> Option<T> {
    let value = position.output(step)?.clone();
    serde_json::from_value(value).ok()
}

/// A recovery begins when the backup has been read, since it would not do that, and ends with the last look. On the
/// clock of the wall, retries and all: that is what it took.
fn times(
    known: &Known,
    read: Option<&WasRead>,
    restored: Option<&Restored>,
    examined: Option<&Examination>,
) -> DrillTimes {
    let image = restored.and_then(|restored| restored.image.as_ref());
    let part = |time: Option<Duration>| time.map(|time| milliseconds(time.as_millis()));
    let ended = examined.and_then(|examined| examined.ended_at);
    let stood = restored.and_then(|restored| restored.ended_at);
    let recovered = image.and(read).zip(ended);
    DrillTimes {
        read_ms: read.map(|read| between(read.began_at, read.ended_at)),
        took_ms: recovered.map(|(read, ended)| between(read.ended_at, ended)),
        fetch_ms: part(image.and_then(|image| image.fetch_time)),
        restore_ms: part(image.and_then(|image| image.load_time)),
        index_ms: part(image.and_then(|image| image.index_time)),
        check_ms: image
            .and(stood)
            .zip(ended)
            .map(|(stood, ended)| between(stood, ended)),
        rpo_ms: Some(between(known.backup.taken_at, known.drill.started_at)),
    }
}

fn drilled(backup: &Backup, noted: Option<&BackupContents>) -> DrilledBackup {
    let image = noted.map(|noted| &noted.image);
    let relations = image
        .map(|image| image.relations.as_slice())
        .unwrap_or_default();
    DrilledBackup {
        id: backup.id,
        kind: backup.kind.to_string(),
        taken_at: backup.taken_at,
        stored_at: backup.stored_at,
        snapshot: backup.snapshot_id.clone(),
        lsn: image.map(|image| image.lsn.clone()).unwrap_or_default(),
        tables: relations.len() as u64,
        rows: relations.iter().map(|relation| relation.rows).sum(),
        bytes: backup.logical_bytes,
        schema_hash: image
            .map(|image| image.schema_hash.to_string())
            .unwrap_or_default(),
        files: 0,
        fingerprint: String::new(),
    }
}

/// In milliseconds. Never below zero: clocks of two hosts differ.
#[must_use]
pub fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    let span = (to - from).max(TimeDelta::zero());
    u64::try_from(span.num_milliseconds()).unwrap_or(0)
}

fn milliseconds(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
