//! Say what the drill has shown, and note it: of the drill, of the backup, of how long a recovery takes.

use std::time::Duration;

use async_trait::async_trait;
use holdfast_proto::{
    drill::{DrillReport, Verdict},
    task::{FailureKind, TaskFailure},
};
use serde_json::Value;

use super::{
    DrillBackup,
    report::{build, known},
};
use crate::{
    catalog::BackupState,
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
        self.note(ctx, &report).await?;
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
            Ok(report) => format!("{} is {}", report.subject, report.verdict.title()),
            Err(_) => String::new(),
        }
    }
}

impl Judge<'_> {
    /// Of what could not run nothing is noted: nobody knows more of the backup than before.
    async fn note(&self, ctx: &StepContext, report: &DrillReport) -> Result<(), TaskFailure> {
        let catalog = &ctx.world.catalog;
        let state = match report.verdict {
            Verdict::Proven => BackupState::Proven,
            Verdict::Damaged => BackupState::Damaged,
            Verdict::CouldNotRun | Verdict::Incomplete => return Ok(()),
        };
        let judged = catalog.judge_backup(self.0.backup, state, report.ended_at);
        judged.await.map_err(|error| catalog_failure(&error))?;
        let Some(took) = report.times.took_ms else {
            return Ok(());
        };
        let part = |time: Option<u64>| Duration::from_millis(time.unwrap_or_default());
        let recovery = Recovery {
            database: self.0.source.clone(),
            scenario: Scenario::Drill,
            at: report.ended_at,
            passed: report.verdict == Verdict::Proven,
            backup: Some(self.0.backup),
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
}

fn refusal(request: &DrillBackup, report: &DrillReport) -> Option<TaskFailure> {
    let rung = report.broken.map(|rung| rung.title()).unwrap_or_default();
    let (id, reason) = (request.backup, &report.reason);
    let (kind, message, advice) = match report.verdict {
        Verdict::Proven => return None,
        Verdict::Damaged => (
            FailureKind::DataMismatch,
            format!("backup {id} is damaged: {rung}: {reason}"),
            format!(
                "make a new backup now: ctl backup create {}; then drill an older one, and look at the storage: \
                 ctl repository check {} --read-data 100%",
                request.source, request.source.host
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
