//! The report of an off-site drill, and its rungs.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::units;
use holdfast_proto::{
    drill::{
        DrillKind, DrillReport, DrillTargets, DrillTimes, DrilledPart, REPORT_FORMAT, Rung,
        RungName, RungOutcome,
    },
    task::TaskFailure,
};

use super::{
    ReadRepository,
    compare::{Found, Looked},
    read::{self, WasRead},
};
use crate::{
    catalog::Drill,
    job::{
        definition::defect,
        drilling::{
            rungs::{self, Found as Outcome, judge, passed_unless, rung},
            store,
        },
        step::{StepContext, catalog_failure},
    },
};

/// The drill that the preflight has begun.
///
/// # Errors
/// When the catalog fails, or there is none.
pub async fn known(ctx: &StepContext) -> Result<Drill, TaskFailure> {
    let drill = ctx.world.catalog.drill_of_job(ctx.job).await;
    let drill = drill.map_err(|error| catalog_failure(&error))?;
    drill.ok_or_else(|| defect("the drill was not noted when it began".to_owned()))
}

/// Of a drill that did not come to its verdict; one that has it keeps it.
///
/// # Errors
/// When the catalog fails.
pub async fn end_without_verdict(
    ctx: &StepContext,
    request: &ReadRepository,
    broke_off: &str,
) -> Result<(), TaskFailure> {
    let drill = ctx.world.catalog.drill_of_job(ctx.job).await;
    let drill = drill.map_err(|error| catalog_failure(&error))?;
    let Some(drill) = drill.filter(|drill| drill.ended.is_none()) else {
        return Ok(());
    };
    let read = ctx.position.output(read::NAME).cloned();
    let read = read.and_then(|read| serde_json::from_value(read).ok());
    let report = build(request, &drill, read.as_ref(), broke_off, ctx.now());
    store(ctx, &report).await
}

/// Pure. `broke_off`: why the job ended before its verdict; empty: it did not.
#[must_use]
pub fn build(
    request: &ReadRepository,
    drill: &Drill,
    read: Option<&WasRead>,
    broke_off: &str,
    now: DateTime<Utc>,
) -> DrillReport {
    let rungs = climb(read, broke_off);
    let judgement = judge(&rungs);
    DrillReport {
        format: REPORT_FORMAT,
        kind: DrillKind::Offsite,
        drill: drill.id,
        job: drill.job,
        subject: request.host.to_string(),
        backup: None,
        host: None,
        server: None,
        started_at: drill.started_at,
        ended_at: now,
        verdict: judgement.verdict,
        broken: judgement.broken,
        reason: judgement.reason,
        rungs,
        parts: read.into_iter().flat_map(parts).collect(),
        times: DrillTimes {
            read_ms: read.map(|read| u64::try_from(took(read).as_millis()).unwrap_or(u64::MAX)),
            ..DrillTimes::default()
        },
        targets: DrillTargets::default(),
        controller: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Every rung that there is, from below.
#[must_use]
pub fn climb(read: Option<&WasRead>, broke_off: &str) -> Vec<Rung> {
    let Some(read) = read else {
        let why = match broke_off {
            "" => "the drill did not come so far",
            why => why,
        };
        return [
            RungName::Repository,
            RungName::Snapshots,
            RungName::Manifests,
            RungName::Time,
        ]
        .map(|name| rung(name, Outcome::CouldNot(why.to_owned())))
        .into();
    };
    vec![
        rung(RungName::Repository, objects(read)),
        rung(RungName::Snapshots, snapshots(read)),
        rung(RungName::Manifests, manifests(read)),
        rung(RungName::Time, rungs::time(took(read), None)),
    ]
}

fn objects(read: &WasRead) -> Outcome {
    passed_unless(
        read.damage.clone(),
        format!(
            "{} in {} read, each as it was stored",
            units::size(read.bytes),
            units::plural(read.objects, "object")
        ),
    )
}

fn snapshots(read: &WasRead) -> Outcome {
    let lost = read
        .backups
        .iter()
        .filter_map(|looked| match &looked.found {
            Found::Missing => Some(format!(
                "{}: snapshot {} is not in the repository",
                looked.named(),
                short(&looked.snapshot)
            )),
            Found::Damaged(what) => Some(format!("{}: {what}", looked.named())),
            Found::Intact | Found::Other(_) | Found::Unknown(_) => None,
        });
    let backups = units::plural(read.backups.len() as u64, "backup");
    let names: Vec<_> = read.unknown.iter().map(|name| short(name)).collect();
    let detail = if names.is_empty() {
        backups
    } else {
        format!(
            "{backups}; not in the catalog, and left alone: {}",
            names.join(", ")
        )
    };
    passed_unless(lost.collect(), detail)
}

/// Of those that are whole.
fn manifests(read: &WasRead) -> Outcome {
    let whole = |looked: &&Looked| !matches!(looked.found, Found::Missing | Found::Damaged(_));
    let whole: Vec<_> = read.backups.iter().filter(whole).collect();
    let mut unknown = None;
    let other = whole.iter().filter_map(|looked| match &looked.found {
        Found::Other(what) => Some(format!("{}: {what}", looked.named())),
        Found::Unknown(why) => {
            unknown.get_or_insert_with(|| format!("{}: {why}", looked.named()));
            None
        }
        _ => None,
    });
    let other: Vec<_> = other.collect();
    match unknown {
        Some(unknown) if other.is_empty() => Outcome::CouldNot(unknown),
        _ if whole.is_empty() => Outcome::CouldNot("not tried: no backup is whole".to_owned()),
        _ => passed_unless(other, units::plural(whole.len() as u64, "manifest")),
    }
}

fn parts(read: &WasRead) -> Vec<DrilledPart> {
    let parts = read.backups.iter().map(|looked| {
        let (outcome, detail) = match &looked.found {
            Found::Intact => (RungOutcome::Passed, "whole and as it was stored".to_owned()),
            Found::Missing => (
                RungOutcome::Failed,
                "its snapshot is not in the repository".to_owned(),
            ),
            Found::Damaged(what) | Found::Other(what) => (RungOutcome::Failed, what.clone()),
            Found::Unknown(why) => (RungOutcome::CouldNotRun, why.clone()),
        };
        DrilledPart {
            subject: looked.subject(),
            backup: looked.backup,
            kind: looked.kind.clone(),
            taken_at: looked.taken_at,
            snapshot: looked.snapshot.clone(),
            bytes: looked.bytes,
            outcome,
            detail,
            server: None,
            rungs: Vec::new(),
            times: DrillTimes::default(),
        }
    });
    parts.collect()
}

fn took(read: &WasRead) -> Duration {
    let span = (read.ended_at - read.began_at).max(TimeDelta::zero());
    span.to_std().unwrap_or_default()
}

/// As restic shows it.
fn short(snapshot: &str) -> String {
    snapshot.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use holdfast_proto::drill::Verdict;

    use super::*;

    fn looked(backup: u64, found: Found) -> Looked {
        Looked {
            backup,
            of: "web-1/shop-db/shop".parse().unwrap(),
            kind: "full".to_owned(),
            taken_at: DateTime::UNIX_EPOCH,
            snapshot: "abcdef0123".to_owned(),
            bytes: 1,
            found,
        }
    }

    fn read(found: Vec<Found>) -> WasRead {
        WasRead {
            began_at: DateTime::UNIX_EPOCH,
            ended_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(90),
            objects: 7,
            bytes: 1 << 20,
            damage: vec![],
            backups: (1..)
                .zip(found)
                .map(|(id, found)| looked(id, found))
                .collect(),
            unknown: vec![],
        }
    }

    fn verdict(read: &WasRead) -> (Verdict, Option<RungName>, String) {
        let judged = judge(&climb(Some(read), ""));
        (judged.verdict, judged.broken, judged.reason)
    }

    #[test]
    fn what_is_whole_and_the_catalog_s_own_is_proven_whatever_else_lies_there() {
        let mut found = read(vec![Found::Intact, Found::Intact]);
        found.unknown = vec!["99887766554433".to_owned()];
        assert_eq!(verdict(&found), (Verdict::Proven, None, String::new()));
        let rungs = climb(Some(&found), "");
        let named = "2 backups; not in the catalog, and left alone: 99887766";
        assert_eq!(rungs[1].detail, named);
        assert!(rungs[3].detail.starts_with("90.0 s"), "{rungs:?}");
    }

    #[test]
    fn each_rung_fails_with_the_backup_that_is_hit() {
        let torn = "table orders: data/ab is missing";
        for (found, rung, words) in [
            (
                Found::Missing,
                RungName::Snapshots,
                "snapshot abcdef01 is not in",
            ),
            (Found::Damaged(torn.to_owned()), RungName::Snapshots, torn),
            (
                Found::Other("another".to_owned()),
                RungName::Manifests,
                "another",
            ),
        ] {
            let (verdict, broken, reason) = verdict(&read(vec![Found::Intact, found]));
            assert_eq!((verdict, broken), (Verdict::Damaged, Some(rung)));
            let named = "backup 2 of web-1/shop-db/shop";
            assert!(reason.contains(named) && reason.contains(words), "{reason}");
        }
        // Bytes that no backup needs are damage all the same.
        let mut rotten = read(vec![Found::Intact]);
        rotten.damage = vec!["data/ab is gone".to_owned()];
        let (verdict, broken, _) = verdict(&rotten);
        let expected = (Verdict::Damaged, Some(RungName::Repository));
        assert_eq!((verdict, broken), expected);
    }

    #[test]
    fn what_was_not_read_or_compared_is_never_green() {
        let unread = judge(&climb(None, "the storage is away"));
        assert_eq!(unread.verdict, Verdict::CouldNotRun);
        assert_eq!(unread.reason, "the storage is away");
        let unknown = read(vec![Found::Intact, Found::Unknown("later".to_owned())]);
        let (verdict, broken, _) = verdict(&unknown);
        let expected = (Verdict::CouldNotRun, Some(RungName::Manifests));
        assert_eq!((verdict, broken), expected);
    }
}
