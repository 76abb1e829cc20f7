//! A restored database in depth: indexes, constraints, an operator's own statements.

use holdfast_proto::{
    fleet::Engine,
    task::{ExamineDatabase, ExaminedDatabase, FailureKind, TaskFailure},
};

use super::Context;
use crate::{
    engine::{
        mariadb,
        postgres::{databases::is_marked, examine, failure::failure, sessions},
    },
    observe::instances::Located,
};

/// # Errors
/// `Refused` for a database that no job made: an extension is made in it, and constraints are made anew (and taken
/// back). What is wrong inside is in the answer.
pub async fn run(
    spec: ExamineDatabase,
    context: &Context,
) -> Result<ExaminedDatabase, TaskFailure> {
    let database = &spec.target.database;
    if !is_marked(database) {
        return Err(failure(
            FailureKind::Refused,
            format!("{database:?} is no database that a job made: it is not examined"),
            "",
        ));
    }
    let located = context.instances.locate(&spec.target.instance)?;
    match located.engine {
        Engine::Postgres => in_postgres(&spec, &located, context).await,
        Engine::Mariadb | Engine::Mysql => {
            let (statements, timeout) = (&spec.assertions, spec.timeout);
            mariadb::examine::run(&located, database, statements, timeout, context).await
        }
    }
}

async fn in_postgres(
    spec: &ExamineDatabase,
    located: &Located,
    context: &Context,
) -> Result<ExaminedDatabase, TaskFailure> {
    let database = &spec.target.database;
    let connecting = located.route.connect(database);
    let client = connecting
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let looking = examine::all(&client, &spec.assertions, spec.timeout);
    tokio::select! {
        examined = looking => examined,
        () = context.cancel.cancelled() => {
            // The session would go on with its statement.
            let _ = located.route.cancel(client.cancel_token()).await;
            Err(sessions::cancelled("examining the database"))
        }
    }
}
