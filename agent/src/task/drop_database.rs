//! Drops a database that a job of ours made, and no other.

use holdfast_proto::{
    fleet::Engine,
    task::{DropDatabase, DroppedDatabase, FailureKind, TaskFailure},
};

use super::Context;
use crate::engine::mariadb;
use crate::engine::postgres::databases::{drop_copy, find, is_marked, maintenance};

/// # Errors
/// `Refused` for a name without a job's mark.
pub async fn run(spec: DropDatabase, context: &Context) -> Result<DroppedDatabase, TaskFailure> {
    let name = &spec.target.database;
    if !is_marked(name) {
        return Err(TaskFailure {
            kind: FailureKind::Refused,
            message: format!("database {name:?} is not dropped: no job of Holdfast made it"),
            advice: String::new(),
            retryable: false,
        });
    }
    let located = context.instances.locate(&spec.target.instance)?;
    if located.engine != Engine::Postgres {
        let existed = mariadb::databases::drop_copy(&located, name).await?;
        return Ok(DroppedDatabase { existed });
    }
    let (located, client) = maintenance(context, &spec.target.instance).await?;
    let existed = find(&client, name).await?.is_some();
    drop_copy(&located, &client, name).await?;
    Ok(DroppedDatabase { existed })
}
