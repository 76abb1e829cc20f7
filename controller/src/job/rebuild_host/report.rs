//! The report of a rebuild, from what its job has put out so far.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_proto::{
    drill::{
        DrillKind, DrillReport, DrillTimes, DrilledPart, REPORT_FORMAT, Rung, RungName,
        RungOutcome, Verdict,
    },
    task::{StartedSandbox, TaskFailure},
};

use super::{
    RebuildHost,
    preflight::Prepared,
    read::{self, WereRead},
    rungs::of_host,
    volume::{RestoredPart, step},
};
use crate::{
    catalog::{Backup, BackupId, Drill},
    job::{
        back_up_database::record::BackupContents,
        back_up_volume::contents::VolumeContents,
        copy_database::preflight,
        definition::defect,
        drill_backup::{
            course::Course,
            examine::Examination,
            ladder::{Climb, climb},
            report::{between, output, server},
            restore::Restored,
        },
        drilling::{rungs::judge, store, volume},
        position::Position,
        step::{StepContext, catalog_failure},
    },
};

/// What the catalog knows of the drill and its backups, in the order of the request.
#[derive(Debug)]
pub struct Known {
    pub drill: Drill,
    pub databases: Vec<(Backup, Result<BackupContents, String>)>,
    pub volumes: Vec<(Backup, Result<VolumeContents, String>)>,
}

/// A part with what only this run knows of its times.
struct Part {
    shown: DrilledPart,
    ended_at: Option<DateTime<Utc>>,
}

/// None: the job had not begun a drill.
///
/// # Errors
/// When the catalog fails, or a backup is gone from it.
pub async fn known(ctx: &StepContext, request: &RebuildHost) -> Result<Option<Known>, TaskFailure> {
    let drill = ctx.world.catalog.drill_of_job(ctx.job).await;
    let Some(drill) = drill.map_err(|error| catalog_failure(&error))? else {
        return Ok(None);
    };
    let (mut databases, mut volumes) = (Vec::new(), Vec::new());
    for chosen in request.servers.iter().flat_map(|server| &server.databases) {
        let (backup, record) = kept(ctx, chosen.backup).await?;
        databases.push((backup, BackupContents::read(record)));
    }
    for chosen in &request.volumes {
        let (backup, record) = kept(ctx, chosen.backup).await?;
        volumes.push((backup, VolumeContents::read(record)));
    }
    Ok(Some(Known {
        drill,
        databases,
        volumes,
    }))
}

async fn kept(ctx: &StepContext, id: BackupId) -> Result<(Backup, serde_json::Value), TaskFailure> {
    let catalog = &ctx.world.catalog;
    let backup = catalog.backup(id).await;
    let backup = backup.map_err(|error| catalog_failure(&error))?;
    let record = catalog.backup_manifest(id).await;
    let record = record.map_err(|error| catalog_failure(&error))?;
    let backup = backup.ok_or_else(|| defect(format!("backup {id} is not in the catalog")))?;
    Ok((backup, record.unwrap_or_default()))
}

/// Of a rebuild that did not come to its verdict; one that has it keeps it.
///
/// # Errors
/// When the catalog fails.
pub async fn end_without_verdict(
    ctx: &StepContext,
    request: &RebuildHost,
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
    request: &RebuildHost,
    known: &Known,
    position: &Position,
    broke_off: &str,
    now: DateTime<Utc>,
) -> DrillReport {
    let prepared: Option<Prepared> = output(position, preflight::NAME);
    let read: Option<WereRead> = output(position, read::NAME);
    let courses = request.courses();
    let databases: Vec<Part> = courses
        .iter()
        .zip(&known.databases)
        .map(|((_, course), (backup, noted))| {
            let facts = (prepared.as_ref(), read.as_ref());
            of_database(
                course,
                backup,
                noted.as_ref().ok(),
                facts,
                position,
                broke_off,
            )
        })
        .collect();
    let volumes: Vec<Part> = (0..)
        .zip(&known.volumes)
        .map(|(place, (backup, noted))| {
            let noted = noted.as_ref().ok();
            of_one_volume(place, backup, noted, read.as_ref(), position, broke_off)
        })
        .collect();
    let took = took(read.as_ref(), &databases, &volumes);
    let oldest = known.databases.iter().map(|(backup, _)| backup.taken_at);
    let oldest = oldest.chain(known.volumes.iter().map(|(backup, _)| backup.taken_at));
    let oldest = oldest.min();
    let shown = |parts: Vec<Part>| -> Vec<DrilledPart> {
        parts.into_iter().map(|part| part.shown).collect()
    };
    let (databases, mut volumes) = (shown(databases), shown(volumes));
    let targets = prepared
        .map(|prepared| prepared.targets)
        .unwrap_or_default();
    let target = targets.rto_ms.map(Duration::from_millis);
    let spent = took.map(Duration::from_millis);
    let rungs = of_host(request, &databases, &volumes, spent, target, broke_off);
    let judgement = judge(&rungs);
    let mut parts = databases;
    parts.append(&mut volumes);
    DrillReport {
        format: REPORT_FORMAT,
        kind: DrillKind::Rebuild,
        drill: known.drill.id,
        job: known.drill.job,
        subject: request.source.to_string(),
        backup: None,
        host: Some(request.host.to_string()),
        server: None,
        started_at: known.drill.started_at,
        ended_at: now,
        verdict: judgement.verdict,
        broken: judgement.broken,
        reason: judgement.reason,
        rungs,
        times: DrillTimes {
            read_ms: read.map(|read| between(read.began_at, read.ended_at)),
            took_ms: took,
            fetch_ms: sum(&parts, |times| times.fetch_ms),
            restore_ms: sum(&parts, |times| times.restore_ms),
            index_ms: sum(&parts, |times| times.index_ms),
            check_ms: sum(&parts, |times| times.check_ms),
            rpo_ms: oldest.map(|oldest| between(oldest, known.drill.started_at)),
        },
        parts,
        targets,
        controller: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn of_database(
    course: &Course,
    backup: &Backup,
    noted: Option<&BackupContents>,
    (prepared, read): (Option<&Prepared>, Option<&WereRead>),
    position: &Position,
    broke_off: &str,
) -> Part {
    let started: Option<StartedSandbox> = output(position, &course.sandbox);
    let restored: Option<Restored> = output(position, &course.restore);
    let examined: Option<Examination> = output(position, &course.examine);
    let mut rungs = climb(&Climb {
        noted: noted.map(|noted| &noted.image),
        read: read.and_then(|read| read.found.get(&backup.id)),
        restored: restored.as_ref(),
        examined: examined.as_ref(),
        assertions: prepared.map_or(0, |one| one.assertions_of(&course.drill.source).len()),
        took: None,
        target: None,
        broke_off,
    });
    // Time is the host's.
    rungs.retain(|rung| rung.name != RungName::Time);
    let image = restored.as_ref().and_then(|one| one.image.as_ref());
    let part = |time: Option<Duration>| {
        time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let began = restored.as_ref().and_then(|one| one.began_at);
    let stood = restored.as_ref().and_then(|one| one.ended_at);
    let ended = examined.as_ref().and_then(|one| one.ended_at);
    let ended = image.and(ended);
    let span = |from: Option<DateTime<Utc>>| from.zip(ended).map(|(from, to)| between(from, to));
    let times = DrillTimes {
        read_ms: None,
        took_ms: span(began),
        fetch_ms: part(image.and_then(|image| image.fetch_time)),
        restore_ms: part(image.and_then(|image| image.load_time)),
        index_ms: part(image.and_then(|image| image.index_time)),
        check_ms: span(stood),
        rpo_ms: None,
    };
    let server = server(&course.drill, noted, started.as_ref(), restored.as_ref());
    let mut shown = shown(backup, rungs, times);
    shown.server = Some(server);
    Part {
        shown,
        ended_at: ended,
    }
}

fn of_one_volume(
    place: usize,
    backup: &Backup,
    noted: Option<&VolumeContents>,
    read: Option<&WereRead>,
    position: &Position,
    broke_off: &str,
) -> Part {
    let part: Option<RestoredPart> = output(position, &step(place));
    let rungs = volume::climb(&volume::Climb {
        noted: noted.map(|noted| &noted.image),
        read: read.and_then(|read| read.found.get(&backup.id)),
        restored: part.as_ref().and_then(|part| part.restored.as_ref()),
        failure: part.as_ref().and_then(|part| part.failure.as_ref()),
        obstacle: part.as_ref().and_then(|part| part.obstacle.as_ref()),
        broke_off,
    });
    let restored = part.as_ref().filter(|part| part.restored.is_some());
    let ended = restored.and_then(|part| part.ended_at);
    let began = restored.and_then(|part| part.began_at);
    let times = DrillTimes {
        took_ms: began.zip(ended).map(|(from, to)| between(from, to)),
        ..DrillTimes::default()
    };
    Part {
        shown: shown(backup, rungs, times),
        ended_at: ended,
    }
}

fn shown(backup: &Backup, rungs: Vec<Rung>, times: DrillTimes) -> DrilledPart {
    let judged = judge(&rungs);
    let subject = backup.database.volume();
    DrilledPart {
        subject: subject.map_or_else(|| backup.database.to_string(), |volume| volume.to_string()),
        backup: backup.id,
        kind: backup.kind.to_string(),
        taken_at: backup.taken_at,
        snapshot: backup.snapshot_id.clone(),
        bytes: backup.logical_bytes,
        outcome: match judged.verdict {
            Verdict::Proven => RungOutcome::Passed,
            Verdict::Damaged => RungOutcome::Failed,
            Verdict::CouldNotRun | Verdict::Incomplete => RungOutcome::CouldNotRun,
        },
        detail: match judged.broken {
            Some(rung) => format!("{rung}: {}", judged.reason),
            None => "back, and as it was backed up".to_owned(),
        },
        server: None,
        rungs,
        times,
    }
}

/// From the end of the reading, which a recovery would not do, to the last look. None unless everything was restored:
/// what a part of it took is no measure of the whole.
fn took(read: Option<&WereRead>, databases: &[Part], volumes: &[Part]) -> Option<u64> {
    let began = read?.ended_at;
    let ends = databases.iter().chain(volumes).map(|part| part.ended_at);
    let ends: Option<Vec<DateTime<Utc>>> = ends.collect();
    let last = ends?.into_iter().max()?;
    Some(between(began, last))
}

/// None when nobody measured it.
fn sum(parts: &[DrilledPart], of: fn(&DrillTimes) -> Option<u64>) -> Option<u64> {
    let known: Vec<u64> = parts.iter().filter_map(|part| of(&part.times)).collect();
    (!known.is_empty()).then(|| known.into_iter().sum())
}
