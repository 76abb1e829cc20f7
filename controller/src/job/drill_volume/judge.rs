//! Say what the drill has shown, and note it: of the drill, of the backup, of how long a recovery takes.

use async_trait::async_trait;
use holdfast_proto::{drill::DrillReport, task::TaskFailure};
use serde_json::Value;

use super::{
    DrillVolume,
    report::{build, known},
};
use crate::job::{
    definition::{Step, StepDone, StepFailure, defect},
    drill_backup::judge::{note, refusal},
    drilling::store,
    event::Why,
    step::StepContext,
};

#[derive(Debug)]
pub struct Judge<'a>(pub &'a DrillVolume);

#[async_trait]
impl Step for Judge<'_> {
    fn name(&self) -> &'static str {
        "judge"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let Some(known) = known(ctx, self.0).await? else {
            return Err(defect("the drill was not noted when it began".to_owned()).into());
        };
        let report = build(&known, &ctx.position, "", ctx.now());
        let source = &self.0.source;
        note(ctx, (self.0.backup, &source.clone().into()), &report).await?;
        store(ctx, &report).await?;
        let again = format!("ctl backup create --volume {source}");
        match refusal(self.0.backup, &report, &source.host, &again) {
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
