//! What could stand in the way of a backup, asked before anything is read.

use async_trait::async_trait;
use holdfast_proto::task::{DatabaseFacts, TaskFailure};
use serde_json::Value;

use super::{BackUpDatabase, unsupported};
use crate::job::{
    copy_database::preflight::{self, Examined, PreflightLine},
    definition::{Step, StepDone, StepFailure},
    event::Why,
    retry::Patience,
    step::StepContext,
};

pub const NAME: &str = preflight::NAME;

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a BackUpDatabase);

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let source =
            preflight::describe(ctx, "source", &request.source, Some(&request.selection)).await;
        if ctx.cancel.is_cancelled()
            && let Err(failure) = source
        {
            return Err(failure.into());
        }
        let mut lines = Vec::new();
        preflight::source::ask(
            &request.source,
            source.as_ref(),
            &request.selection,
            &mut lines,
        );
        lines.extend(source.as_ref().ok().and_then(engine));
        let unreachable = source.is_err();
        let examined = Examined {
            lines,
            source: source.ok(),
            target: None,
        };
        preflight::conclude(&examined, unreachable)
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

/// Objects only to what cannot be backed up.
fn engine(source: &DatabaseFacts) -> Option<PreflightLine> {
    unsupported(source.engine()).map(|why| {
        PreflightLine::failed(
            "its engine can be backed up",
            why,
            "make a dump by other means; a policy with `protect: false` and a reason ends the schedule",
        )
    })
}

#[cfg(test)]
mod tests {
    use holdfast_proto::fleet::Engine;

    use super::*;

    #[test]
    fn what_has_never_been_tried_is_refused() {
        let of = |kind| {
            let facts = DatabaseFacts {
                engine: kind,
                ..DatabaseFacts::default()
            };
            engine(&facts)
        };
        // An agent that names no engine knows no other.
        for known in [None, Some(Engine::Postgres), Some(Engine::Mariadb)] {
            assert_eq!(of(known), None);
        }
        let line = of(Some(Engine::Mysql)).unwrap();
        assert_eq!(
            line.detail,
            "backups of MySQL databases are not supported yet"
        );
    }
}
