//! Merged rows go out again, or what was noted for that is forgotten.

use holdfast_proto::{
    fleet::Engine,
    task::{TaskFailure, UnmergeRows, UnmergedRows},
};

use super::{Context, merge_rows::refuse_unmarked};
use crate::engine::{mariadb, postgres};

/// # Errors
/// `Refused` for a record's name that carries no job's mark; otherwise as the engine says.
pub async fn run(spec: UnmergeRows, context: &Context) -> Result<UnmergedRows, TaskFailure> {
    let located = context.instances.locate(&spec.target.instance)?;
    refuse_unmarked(&spec.ledger)?;
    match located.engine {
        Engine::Postgres => Box::pin(postgres::merge::undo(&spec, &located, context)).await,
        Engine::Mariadb | Engine::Mysql => {
            Box::pin(mariadb::merge::undo(&spec, &located, context)).await
        }
    }
}
