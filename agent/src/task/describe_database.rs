//! Everything that a preflight needs to know of one side of a copy. Changes nothing.

use holdfast_proto::{
    fleet::Engine,
    task::{DatabaseFacts, DescribeDatabase, TaskFailure},
};

use super::Context;
use crate::{
    engine::{
        mariadb,
        postgres::{describe, sessions, tools::Toolbox},
    },
    observe::instances::Located,
};

/// # Errors
/// When the server is not reached. What is merely missing is a fact, not a failure.
pub async fn run(spec: DescribeDatabase, context: &Context) -> Result<DatabaseFacts, TaskFailure> {
    tokio::select! {
        described = describe(&spec, context) => described,
        () = context.cancel.cancelled() => Err(sessions::cancelled("the look at the database")),
    }
}

async fn describe(
    spec: &DescribeDatabase,
    context: &Context,
) -> Result<DatabaseFacts, TaskFailure> {
    let located = context.instances.locate(&spec.target.instance)?;
    let mut facts = match located.engine {
        Engine::Postgres => in_postgres(&located, spec, context).await?,
        Engine::Mariadb | Engine::Mysql => mariadb::describe::read(&located, spec).await?,
    };
    // From it a throwaway server is made when the backup is drilled.
    if let Some(container) = located.container.filter(|_| spec.as_source) {
        facts.image = container.image;
        facts.image_digest = container.image_digest;
    }
    Ok(facts)
}

async fn in_postgres(
    located: &Located,
    spec: &DescribeDatabase,
    context: &Context,
) -> Result<DatabaseFacts, TaskFailure> {
    let mut facts = describe::read(located, spec).await?;
    let toolbox = Toolbox {
        located,
        containers: &context.containers,
        version_num: facts.version_num,
        application: "holdfast describe",
    };
    let tool = if spec.as_source {
        "pg_dump"
    } else {
        "pg_restore"
    };
    match toolbox.version(tool).await {
        Ok(version) => facts.tools = version,
        Err(failure) => facts.tools_error = failure.message,
    }
    Ok(facts)
}
