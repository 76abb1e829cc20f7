//! Rows that only a kept database has come into the live one.

use holdfast_proto::{
    fleet::Engine,
    task::{FailureKind, MergeRows, MergedRows, TaskFailure},
};

use super::Context;
use crate::engine::{
    mariadb,
    postgres::{self, databases::is_marked, failure::failure},
};

/// # Errors
/// `Refused` for a record's name that carries no job's mark; `Invalid` for one database with itself; otherwise as
/// the engine says. Nothing has changed then.
pub async fn run(spec: MergeRows, context: &Context) -> Result<MergedRows, TaskFailure> {
    let located = context.instances.locate(&spec.target.instance)?;
    refuse_unmarked(&spec.ledger)?;
    if spec.kept == spec.target.database {
        let message = format!("{:?} cannot be merged into itself", spec.kept);
        return Err(failure(FailureKind::Invalid, message, ""));
    }
    match located.engine {
        Engine::Postgres => Box::pin(postgres::merge::merge(&spec, &located, context)).await,
        Engine::Mariadb | Engine::Mysql => {
            Box::pin(mariadb::merge::merge(&spec, &located, context)).await
        }
    }
}

/// What is dropped with everything in it must be a job's own.
pub(super) fn refuse_unmarked(ledger: &str) -> Result<(), TaskFailure> {
    if is_marked(ledger) {
        return Ok(());
    }
    let message = format!("{ledger:?} does not carry the mark of a job");
    Err(failure(FailureKind::Refused, message, ""))
}
