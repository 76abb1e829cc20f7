//! Whether the repository is to hold anything; and the end of a drill that did not come to a
//! verdict.

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::task::TaskFailure;
use serde_json::Value;

use super::{ReadRepository, report};
use crate::{
    catalog::DrillOf,
    job::{
        copy_database::preflight::{self, Examined, PreflightLine},
        definition::{Step, StepDone, StepFailure},
        drilling,
        event::Why,
        retry::Patience,
        step::{StepContext, catalog_failure},
    },
};

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a ReadRepository);

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &'static str {
        preflight::NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let host = &self.0.host;
        let catalog = &ctx.world.catalog;
        let of = DrillOf::Offsite { host: host.clone() };
        let begun = catalog.begin_drill(ctx.job, &of, ctx.now()).await;
        begun.map_err(|error| catalog_failure(&error))?;
        let backups = catalog.backups(false).await;
        let backups = backups.map_err(|error| catalog_failure(&error))?;
        let own = backups.iter().filter(|one| one.database.host == *host);
        let lines = vec![to_look_for(own.count() as u64, host.as_str())];
        let examined = Examined {
            lines,
            source: None,
            target: None,
        };
        preflight::conclude(&examined, false)
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

fn to_look_for(backups: u64, host: &str) -> PreflightLine {
    const QUESTION: &str = "there are backups to look for";
    if backups == 0 {
        return PreflightLine::failed(
            QUESTION,
            format!("the catalog knows no backup of {host}"),
            &format!("make one first: ctl backup create --all --host {host}"),
        );
    }
    PreflightLine::passed(QUESTION, units::plural(backups, "backup"))
}
