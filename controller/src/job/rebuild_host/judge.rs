//! Say what the rebuild has shown, and note it: of the drill, of every backup, of how long it takes to have the host
//! back.

use std::time::Duration;

use async_trait::async_trait;
use holdfast_proto::{
    drill::{DrillReport, DrilledPart, RungOutcome, Verdict},
    task::{FailureKind, TaskFailure},
};
use serde_json::Value;

use super::{
    RebuildHost,
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
pub struct Judge<'a>(pub &'a RebuildHost);

#[async_trait]
impl Step for Judge<'_> {
    fn name(&self) -> &str {
        "judge"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let Some(known) = known(ctx, self.0).await? else {
            return Err(defect("the rebuild was not noted when it began".to_owned()).into());
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
            Ok(report) => format!("the rebuild is {}", report.verdict.title()),
            Err(_) => String::new(),
        }
    }
}

impl Judge<'_> {
    /// Each backup is judged by its own rungs; the time is that of all of them, for every database.
    async fn note(&self, ctx: &StepContext, report: &DrillReport) -> Result<(), TaskFailure> {
        let catalog = &ctx.world.catalog;
        for part in &report.parts {
            let state = match part.outcome {
                RungOutcome::Passed => BackupState::Proven,
                RungOutcome::Failed => BackupState::Damaged,
                RungOutcome::CouldNotRun => continue,
            };
            let judged = catalog.judge_backup(part.backup, state, report.ended_at);
            judged.await.map_err(|error| catalog_failure(&error))?;
        }
        let (Some(took), false) = (report.times.took_ms, report.verdict == Verdict::CouldNotRun)
        else {
            return Ok(());
        };
        for chosen in self.0.servers.iter().flat_map(|server| &server.databases) {
            let own = report
                .parts
                .iter()
                .find(|part| part.backup == chosen.backup);
            let recovery = Recovery {
                database: chosen.database.clone(),
                scenario: Scenario::Rebuild,
                at: report.ended_at,
                passed: report.verdict == Verdict::Proven,
                backup: Some(chosen.backup),
                job: Some(ctx.job),
                took: Duration::from_millis(took),
                fetch: part(own, |part| part.times.fetch_ms),
                restore: part(own, |part| part.times.restore_ms),
                index: part(own, |part| part.times.index_ms),
                check: part(own, |part| part.times.check_ms),
                rpo: report.times.rpo_ms.map(Duration::from_millis),
            };
            let added = catalog.add_recovery(&recovery).await;
            added.map_err(|error| catalog_failure(&error))?;
        }
        Ok(())
    }
}

fn part(of: Option<&DrilledPart>, time: fn(&DrilledPart) -> Option<u64>) -> Duration {
    Duration::from_millis(of.and_then(time).unwrap_or_default())
}

fn refusal(request: &RebuildHost, report: &DrillReport) -> Option<TaskFailure> {
    let rung = report.broken.map(|rung| rung.title()).unwrap_or_default();
    let (source, reason, drill) = (&request.source, &report.reason, report.drill);
    let (kind, message, advice) = match report.verdict {
        Verdict::Proven => return None,
        Verdict::Damaged => (
            FailureKind::DataMismatch,
            format!("{source} does not come back whole: {rung}: {reason}"),
            format!(
                "make new backups now: ctl backup create --all --host {source}; see what is hit: ctl drill show {drill}; \
                 and look at the storage: ctl repository check {source} --read-data 100%"
            ),
        ),
        Verdict::Incomplete => (
            FailureKind::Refused,
            format!("what has a backup is back, and not all of {source} has one: {reason}"),
            format!(
                "back up the rest: ctl backup create (--volume HOST/VOLUME), or leave it out with a policy; all of it: \
                 ctl drill show {drill}"
            ),
        ),
        Verdict::CouldNotRun => (
            FailureKind::Unavailable,
            format!("nobody knows whether {source} comes back: {rung}: could not run: {reason}"),
            format!("see ctl drill show {drill}, remove the cause, and drill again"),
        ),
    };
    Some(TaskFailure {
        kind,
        message,
        advice,
        retryable: false,
    })
}
