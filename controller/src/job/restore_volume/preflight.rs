//! What could stand in the way of a restore, asked before anything is touched.

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::task::{TaskFailure, VolumeFacts};
use serde_json::Value;

use super::RestoreVolume;
use crate::{
    catalog::{Backup, BackupKind, BackupState},
    job::{
        JobId,
        back_up_volume::contents::VolumeContents,
        copy_database::preflight::{self, Examined, PreflightLine},
        definition::{Step, StepDone, StepFailure},
        event::Why,
        restore_database::preflight::questions::in_repository,
        retry::Patience,
        shelf::OutOfReach,
        step::{StepContext, catalog_failure},
        volume::{describe, names, reached},
    },
};

const LOOK: &str = "`ctl backup list` shows the backups";

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a RestoreVolume);

/// What the questions are asked about.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub job: JobId,
    pub request: &'a RestoreVolume,
    /// None: there is no such backup. Or why its record cannot be read.
    pub backup: Option<(&'a Backup, &'a Result<VolumeContents, String>)>,
    /// Whether the repository holds its snapshot; none without a backup.
    pub held: Option<&'a Result<bool, OutOfReach>>,
    pub target: Result<&'a VolumeFacts, &'a TaskFailure>,
}

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &'static str {
        preflight::NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let catalog = &ctx.world.catalog;
        let backup = catalog.backup(request.backup).await;
        let backup = backup.map_err(|error| catalog_failure(&error))?;
        let record = catalog.backup_manifest(request.backup).await;
        let record = record.map_err(|error| catalog_failure(&error))?;
        let contents = record.map(VolumeContents::read);
        let held = match &backup {
            None => None,
            Some(backup) => {
                let shelf = &ctx.world.shelf;
                let held = shelf.holds(&request.source.host, &backup.snapshot_id);
                Some(held.await)
            }
        };
        let target = describe(ctx, &request.target).await;
        if ctx.cancel.is_cancelled()
            && let Err(failure) = target
        {
            return Err(failure.into());
        }
        let lines = examine(&Inputs {
            job: ctx.job,
            request,
            backup: backup.as_ref().zip(contents.as_ref()),
            held: held.as_ref(),
            target: target.as_ref(),
        });
        let away = target.is_err() || matches!(held, Some(Err(_)));
        let examined = Examined {
            lines,
            source: None,
            target: None,
        };
        preflight::conclude(&examined, away)
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience::NONE
    }

    fn says(&self, output: &Value) -> String {
        preflight::says(output)
    }
}

/// Every question that the facts allow to ask.
#[must_use]
pub fn examine(inputs: &Inputs<'_>) -> Vec<PreflightLine> {
    let mut lines = Vec::new();
    match inputs.backup {
        None => lines.push(PreflightLine::failed(
            "backup is stored",
            format!("there is no backup {}", inputs.request.backup),
            LOOK,
        )),
        Some((backup, contents)) => {
            lines.push(stored(backup));
            lines.push(readable(backup, contents));
            lines.extend(inputs.held.map(|held| in_repository(backup, held)));
        }
    }
    if let Some(facts) = reached(&inputs.request.target, inputs.target, &mut lines) {
        lines.push(place(inputs, facts));
        lines.extend(users(inputs.request, facts));
        lines.extend(inputs.backup.and_then(|(backup, _)| room(backup, facts)));
    }
    lines
}

fn stored(backup: &Backup) -> PreflightLine {
    const QUESTION: &str = "backup is stored";
    let taken = format!(
        "{}, taken {} UTC, {}",
        backup.state,
        backup.taken_at.format("%F %H:%M:%S"),
        units::size(backup.logical_bytes)
    );
    match backup.state {
        BackupState::Expired => {
            PreflightLine::failed(QUESTION, format!("{taken}: it was removed"), LOOK)
        }
        // The proof has the last word.
        BackupState::Damaged => PreflightLine::warning(
            QUESTION,
            format!("{taken}: a check found something broken in it"),
            "restore an older one if this one fails",
        ),
        BackupState::Stored | BackupState::Checked | BackupState::Proven => {
            PreflightLine::passed(QUESTION, taken)
        }
    }
}

fn readable(backup: &Backup, contents: &Result<VolumeContents, String>) -> PreflightLine {
    const QUESTION: &str = "backup can be restored";
    if backup.kind != BackupKind::Volume {
        return PreflightLine::failed(QUESTION, "it is one of a database, not of a volume", LOOK);
    }
    match contents {
        Ok(noted) => {
            let image = &noted.image;
            let detail = format!(
                "{}, {}",
                units::plural(image.files, "file"),
                units::plural(image.folders, "folder")
            );
            PreflightLine::passed(QUESTION, detail)
        }
        Err(wrong) => PreflightLine::failed(
            QUESTION,
            wrong,
            "upgrade the controller, or restore by hand with restic: the files are in the folder data",
        ),
    }
}

/// What stands there is replaced only when that was asked for.
fn place(inputs: &Inputs<'_>, facts: &VolumeFacts) -> PreflightLine {
    const QUESTION: &str = "there is a place for it";
    let target = &inputs.request.target;
    let beside = "restore it under another name: --to HOST/VOLUME";
    match (inputs.request.replace, facts.exists) {
        (false, false) => PreflightLine::passed(QUESTION, format!("{target} is made")),
        // Of an earlier attempt.
        (false, true) if facts.made_by == inputs.job => {
            PreflightLine::passed(QUESTION, format!("{target} is made anew"))
        }
        (false, true) => PreflightLine::failed(
            QUESTION,
            format!("there is a volume {target}"),
            &format!(
                "{beside}; or in its place, which keeps what stands there for a while: --replace"
            ),
        ),
        (true, true) => PreflightLine::passed(
            QUESTION,
            format!("{target} is replaced, and what stands there is kept"),
        ),
        (true, false) => PreflightLine::failed(
            QUESTION,
            format!("there is no volume {target} to be replaced"),
            "leave --replace out: it is made",
        ),
    }
}

fn users(request: &RestoreVolume, facts: &VolumeFacts) -> Option<PreflightLine> {
    const QUESTION: &str = "nobody runs with it when it is exchanged";
    if !request.replace || !facts.exists {
        return None;
    }
    let running: Vec<_> = facts.users.iter().filter(|user| user.running).collect();
    let all = names(running.iter().copied());
    Some(if running.is_empty() {
        PreflightLine::passed(QUESTION, "no container runs with it")
    } else if request.stop {
        let detail = format!("{all} is stopped for the exchange, and started again");
        PreflightLine::warning(QUESTION, detail, "")
    } else {
        PreflightLine::failed(
            QUESTION,
            format!("{all} runs with it"),
            "have the containers stopped for the exchange and started again: --stop",
        )
    })
}

fn room(backup: &Backup, facts: &VolumeFacts) -> Option<PreflightLine> {
    const QUESTION: &str = "there is room for it";
    let free = facts.disk_free_bytes?;
    let detail = format!(
        "{} are needed, {} are free",
        units::size(backup.logical_bytes),
        units::size(free)
    );
    Some(if backup.logical_bytes < free {
        PreflightLine::passed(QUESTION, detail)
    } else {
        PreflightLine::failed(
            QUESTION,
            detail,
            "make room on the host, or restore on another one: --to",
        )
    })
}

#[cfg(test)]
mod tests {
    use holdfast_proto::task::VolumeUser;

    use super::*;
    use crate::job::copy_database::preflight::PreflightVerdict;

    fn request(replace: bool, stop: bool) -> RestoreVolume {
        RestoreVolume {
            backup: 3,
            source: "web-1/shop".parse().unwrap(),
            target: "web-1/shop".parse().unwrap(),
            replace,
            stop,
            keep: std::time::Duration::from_secs(60),
            dry_run: false,
            instances: vec![],
        }
    }

    fn refused(request: &RestoreVolume, facts: &VolumeFacts) -> Vec<String> {
        let lines = examine(&Inputs {
            job: 7,
            request,
            backup: None,
            held: None,
            target: Ok(facts),
        });
        let failed = lines.into_iter().skip(1);
        let failed = failed.filter(|line| line.verdict == PreflightVerdict::Failed);
        failed.map(|line| line.advice).collect()
    }

    #[test]
    fn what_stands_there_is_replaced_only_when_asked_and_when_nobody_runs_with_it() {
        let gone = VolumeFacts::default();
        let there = VolumeFacts {
            exists: true,
            users: vec![VolumeUser {
                container: "web".to_owned(),
                running: true,
                writable: false,
            }],
            ..VolumeFacts::default()
        };
        assert_eq!(refused(&request(false, false), &gone).len(), 0);
        assert!(refused(&request(false, false), &there)[0].contains("--replace"));
        assert!(refused(&request(true, false), &there)[0].contains("--stop"));
        assert_eq!(refused(&request(true, true), &there).len(), 0);
        assert_eq!(refused(&request(true, true), &gone).len(), 1);
        let own = VolumeFacts {
            made_by: 7,
            ..there
        };
        assert_eq!(refused(&request(false, false), &own).len(), 0);
    }

    #[test]
    fn without_a_backup_nothing_is_restored() {
        let facts = VolumeFacts::default();
        let lines = examine(&Inputs {
            job: 7,
            request: &request(false, false),
            backup: None,
            held: None,
            target: Ok(&facts),
        });
        assert_eq!(lines[0].verdict, PreflightVerdict::Failed);
    }
}
