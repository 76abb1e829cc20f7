//! What could stand in the way of a drill, asked before anything is made; and the end of a drill that did not
//! come to a verdict.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_chassis::units;
use holdfast_proto::{
    drill::DrillTargets,
    task::{TaskFailure, VolumeFacts},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DrillVolume, report};
use crate::{
    catalog::{Backup, BackupKind, DrillId, DrillOf},
    job::{
        JobId,
        back_up_volume::contents::VolumeContents,
        copy_database::preflight::{self, Examined, PreflightLine},
        definition::{Step, StepDone, StepFailure},
        drill_backup::{plan, preflight::stored},
        drilling,
        event::Why,
        retry::Patience,
        step::{StepContext, catalog_failure},
        volume::{describe, reached},
    },
};

pub const NAME: &str = preflight::NAME;
const LOOK: &str = "`ctl backup list` shows the backups";

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a DrillVolume);

/// What later steps know from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    #[serde(flatten)]
    pub examined: Examined,
    pub drill: DrillId,
    pub began_at: DateTime<Utc>,
    pub targets: DrillTargets,
}

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let catalog = &ctx.world.catalog;
        let explain = |error| catalog_failure(&error);
        let Some(backup) = catalog.backup(request.backup).await.map_err(explain)? else {
            let none = format!("there is no backup {}", request.backup);
            let lines = vec![PreflightLine::failed("backup is stored", none, LOOK)];
            return preflight::conclude(&examined(lines), false);
        };
        let of = DrillOf::Backup {
            database: backup.database.clone(),
            backup: backup.id,
            taken_at: backup.taken_at,
            on: request.host.clone(),
        };
        let drill = catalog.begin_drill(ctx.job, &of, ctx.now());
        let drill = drill.await.map_err(explain)?;
        let record = catalog.backup_manifest(backup.id).await.map_err(explain)?;
        let contents = VolumeContents::read(record.unwrap_or_default());
        let place = describe(ctx, &request.made(ctx.job)).await;
        if ctx.cancel.is_cancelled()
            && let Err(failure) = place
        {
            return Err(failure.into());
        }
        let lines = examine(request, ctx.job, (&backup, &contents), place.as_ref());
        let unreachable = place.is_err();
        if preflight::refusal(&lines, unreachable).is_some() {
            return preflight::conclude(&examined(lines), unreachable);
        }
        let plan = plan::of(catalog, &backup.database).await.map_err(explain)?;
        StepDone::with(&Prepared {
            examined: examined(lines),
            drill: drill.id,
            began_at: drill.started_at,
            targets: drilling::targets(plan.as_ref()),
        })
    }

    /// The last of all undos. A drill without a verdict gets its own: nobody knows.
    async fn undo(&self, ctx: &StepContext, why: &Why) -> Result<StepDone, TaskFailure> {
        let reason = drilling::broke_off(why);
        report::end_without_verdict(ctx, self.0, &reason).await?;
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience::NONE
    }

    fn says(&self, output: &Value) -> String {
        preflight::says(output)
    }
}

fn examined(lines: Vec<PreflightLine>) -> Examined {
    Examined {
        lines,
        source: None,
        target: None,
    }
}

/// Every question that the facts allow to ask.
#[must_use]
pub fn examine(
    request: &DrillVolume,
    job: JobId,
    (backup, contents): (&Backup, &Result<VolumeContents, String>),
    place: Result<&VolumeFacts, &TaskFailure>,
) -> Vec<PreflightLine> {
    let mut lines = vec![stored(backup), drillable(backup, contents)];
    let made = request.made(job);
    if let Some(facts) = reached(&made, place, &mut lines) {
        const QUESTION: &str = "there is a place for it";
        lines.push(if facts.exists && facts.made_by != job {
            let taken = format!("there is a volume {made} that this job has not made");
            PreflightLine::failed(QUESTION, taken, "remove it if nobody needs it")
        } else {
            PreflightLine::passed(QUESTION, format!("{made} is made, and removed"))
        });
        lines.push(room(backup, facts));
    }
    lines
}

fn drillable(backup: &Backup, contents: &Result<VolumeContents, String>) -> PreflightLine {
    const QUESTION: &str = "backup can be drilled";
    match contents {
        _ if backup.kind != BackupKind::Volume => {
            PreflightLine::failed(QUESTION, "it is one of a database, not of a volume", LOOK)
        }
        Err(wrong) => PreflightLine::failed(QUESTION, wrong.clone(), "make a new backup"),
        Ok(noted) => PreflightLine::passed(QUESTION, units::plural(noted.image.files, "file")),
    }
}

/// Nobody fills a disk for a drill.
fn room(backup: &Backup, facts: &VolumeFacts) -> PreflightLine {
    const QUESTION: &str = "there is room for it";
    let needed = units::size(backup.logical_bytes);
    let Some(free) = facts.disk_free_bytes else {
        return PreflightLine::failed(
            QUESTION,
            format!(
                "could not check: {needed} are needed, and the host does not say how much is free"
            ),
            "upgrade the host's agent, or drill on another host: --on HOST",
        );
    };
    let detail = format!("{needed} are needed, {} are free", units::size(free));
    if backup.logical_bytes < free {
        PreflightLine::passed(QUESTION, detail)
    } else {
        let advice = "make room on the host, or drill on another one: --on HOST";
        PreflightLine::failed(QUESTION, detail, advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{copy_database::preflight::PreflightVerdict, proofs::volumes};

    fn backup(kind: BackupKind) -> Backup {
        Backup {
            kind,
            ..volumes::backup()
        }
    }

    fn failed(backup: &Backup, facts: &VolumeFacts) -> Vec<String> {
        let request = DrillVolume {
            backup: 2,
            source: "web-1/shop_uploads".parse().unwrap(),
            host: "lab-1".parse().unwrap(),
        };
        let contents = Ok(VolumeContents {
            format: 1,
            image: volumes::image("seven files"),
        });
        let lines = examine(&request, 7, (backup, &contents), Ok(facts)).into_iter();
        let failed = lines.filter(|line| line.verdict == PreflightVerdict::Failed);
        failed.map(|line| line.question).collect()
    }

    #[test]
    fn only_a_stored_backup_of_a_volume_is_drilled_where_there_is_room_for_it() {
        let facts = |free| VolumeFacts {
            disk_free_bytes: free,
            ..VolumeFacts::default()
        };
        let good = backup(BackupKind::Volume);
        assert_eq!(failed(&good, &facts(Some(701))), [""; 0]);
        for free in [None, Some(700)] {
            assert_eq!(failed(&good, &facts(free)), ["there is room for it"]);
        }
        let database = backup(BackupKind::Full);
        assert_eq!(
            failed(&database, &facts(Some(701))),
            ["backup can be drilled"]
        );
        let gone = Backup {
            removed_at: Some(DateTime::UNIX_EPOCH),
            ..good.clone()
        };
        assert_eq!(failed(&gone, &facts(Some(701))), ["backup is stored"]);
        let of = |made_by| VolumeFacts {
            exists: true,
            made_by,
            ..facts(Some(701))
        };
        assert_eq!(failed(&good, &of(7)), [""; 0]);
        assert_eq!(failed(&good, &of(8)), ["there is a place for it"]);
    }
}
