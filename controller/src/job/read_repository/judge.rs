//! Say what the reading has shown, and note it: of the drill, and of every backup that it says something of.

use async_trait::async_trait;
use holdfast_proto::{
    drill::{DrillReport, Verdict},
    task::{FailureKind, TaskFailure},
};
use serde_json::Value;

use super::{
    ReadRepository,
    compare::Found,
    read::{self, WasRead},
    report::{build, known},
};
use crate::{
    catalog::BackupState,
    job::{
        definition::{Step, StepDone, StepFailure},
        drilling::store,
        event::Why,
        step::{StepContext, catalog_failure},
    },
};

#[derive(Debug)]
pub struct Judge<'a>(pub &'a ReadRepository);

#[async_trait]
impl Step for Judge<'_> {
    fn name(&self) -> &'static str {
        "judge"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let read: WasRead = ctx.output(read::NAME)?;
        let drill = known(ctx).await?;
        let report = build(self.0, &drill, Some(&read), "", ctx.now());
        note(ctx, &read).await?;
        store(ctx, &report).await?;
        match refusal(self.0, &report) {
            Some(failure) => Err(StepFailure::with(failure, &report)),
            None => StepDone::with(&report),
        }
    }

    /// What was found out stays found out.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        match serde_json::from_value::<DrillReport>(output.clone()) {
            Ok(report) => format!(
                "the repository of {} is {}",
                report.subject,
                report.verdict.title()
            ),
            Err(_) => String::new(),
        }
    }
}

/// What reads well is not proven by it, and does not make good again what a drill found damaged.
async fn note(ctx: &StepContext, read: &WasRead) -> Result<(), TaskFailure> {
    let catalog = &ctx.world.catalog;
    for looked in &read.backups {
        let (id, at) = (looked.backup, read.ended_at);
        let noted = match looked.found {
            Found::Intact => catalog.backup_was_read(id).await,
            Found::Missing | Found::Damaged(_) | Found::Other(_) => {
                catalog.judge_backup(id, BackupState::Damaged, at).await
            }
            Found::Unknown(_) => Ok(false),
        };
        noted.map_err(|error| catalog_failure(&error))?;
    }
    Ok(())
}

fn refusal(request: &ReadRepository, report: &DrillReport) -> Option<TaskFailure> {
    let rung = report.broken.map(|rung| rung.title()).unwrap_or_default();
    let (host, reason) = (&request.host, &report.reason);
    let (kind, message, advice) = match report.verdict {
        Verdict::Proven => return None,
        Verdict::Damaged => (
            FailureKind::DataMismatch,
            format!("the repository of {host} is damaged: {rung}: {reason}"),
            format!(
                "make new backups now: ctl backup create --all --host {host}; see which are hit: ctl drill show {}; then \
                 look at the storage",
                report.drill
            ),
        ),
        Verdict::CouldNotRun | Verdict::Incomplete => (
            FailureKind::Unavailable,
            format!(
                "the repository of {host} is neither proven nor damaged: {rung}: could not run: {reason}"
            ),
            format!(
                "see ctl drill show {}, remove the cause, and drill again",
                report.drill
            ),
        ),
    };
    Some(TaskFailure {
        kind,
        message,
        advice,
        retryable: false,
    })
}
