//! Say what the drill has shown, and note it: of the drill, of the backup, of how long a recovery takes.

use std::time::Duration;

use async_trait::async_trait;
use holdfast_proto::{
    drill::{DrillReport, Verdict},
    names::{DatabaseName, HostName},
    task::{FailureKind, TaskFailure},
};
use serde_json::Value;

use super::{
    DrillBackup,
    report::{build, known},
};
use crate::{
    catalog::{BackupId, BackupState},
    job::{
        definition::{Step, StepDone, StepFailure, defect},
        drilling::store,
        event::Why,
        step::{StepContext, catalog_failure},
    },
    objective::{Recovery, Scenario},
};

#[derive(Debug)]
pub struct Judge<'a>(pub &'a DrillBackup);

#[async_trait]
impl Step for Judge<'_> {
    fn name(&self) -> &'static str {
        "judge"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let Some(known) = known(ctx, self.0).await? else {
            return Err(defect("the drill was not noted when it began".to_owned()).into());
        };
        let report = build(self.0, &known, &ctx.position, "", ctx.now());
        note(ctx, (self.0.backup, &self.0.source), &report).await?;
        store(ctx, &report).await?;
        let again = format!("ctl backup create {}", self.0.source);
        match refusal(self.0.backup, &report, &self.0.source.host, &again) {
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
            Ok(report) => format!("backup {} is {}", self.0.backup, report.verdict.title()),
            Err(_) => String::new(),
        }
    }
}

/// Of what could not run nothing is noted: nobody knows more of the backup than before.
///
/// # Errors
/// When the catalog fails.
pub async fn note(
    ctx: &StepContext,
    (backup, of): (BackupId, &DatabaseName),
    report: &DrillReport,
) -> Result<(), TaskFailure> {
    let catalog = &ctx.world.catalog;
    let state = match report.verdict {
        Verdict::Proven => BackupState::Proven,
        Verdict::Damaged => BackupState::Damaged,
        Verdict::CouldNotRun | Verdict::Incomplete => return Ok(()),
    };
    let judged = catalog.judge_backup(backup, state, report.ended_at);
    judged.await.map_err(|error| catalog_failure(&error))?;
    let Some(took) = report.times.took_ms else {
        return Ok(());
    };
    let part = |time: Option<u64>| Duration::from_millis(time.unwrap_or_default());
    let recovery = Recovery {
        database: of.clone(),
        scenario: Scenario::Drill,
        at: report.ended_at,
        passed: report.verdict == Verdict::Proven,
        backup: Some(backup),
        job: Some(ctx.job),
        took: Duration::from_millis(took),
        fetch: part(report.times.fetch_ms),
        restore: part(report.times.restore_ms),
        index: part(report.times.index_ms),
        check: part(report.times.check_ms),
        rpo: report.times.rpo_ms.map(Duration::from_millis),
    };
    let added = catalog.add_recovery(&recovery).await;
    added.map_err(|error| catalog_failure(&error))
}

/// What the job fails with; none: the backup is proven. `home`: whose repository holds it; `again`: the command that
/// makes another one.
#[must_use]
pub fn refusal(
    id: BackupId,
    report: &DrillReport,
    home: &HostName,
    again: &str,
) -> Option<TaskFailure> {
    let rung = report.broken.map(|rung| rung.title()).unwrap_or_default();
    let reason = &report.reason;
    let (kind, message, advice) = match report.verdict {
        Verdict::Proven => return None,
        Verdict::Damaged => (
            FailureKind::DataMismatch,
            format!("backup {id} is damaged: {rung}: {reason}"),
            format!(
                "make a new backup now: {again}; then drill an older one, and look at the storage: \
                 ctl repository check {home} --read-data 100%"
            ),
        ),
        Verdict::CouldNotRun | Verdict::Incomplete => (
            FailureKind::Unavailable,
            format!("backup {id} is neither proven nor damaged: {rung}: could not run: {reason}"),
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
