//! Drop what a job left beside the published database, when its time is over.

use holdfast_proto::task::{
    DatabaseTarget, DropDatabase, FailureKind, TaskFailure, TaskResult, TaskSpec,
};

use super::marked::carries_mark;
use crate::job::{
    event::Leftover,
    step::{StepContext, wrong_result},
};

/// Whether it was still there.
///
/// # Errors
/// What the drop failed with; a name without the job's mark is refused here already.
pub async fn sweep(leftover: &Leftover, ctx: &StepContext) -> Result<bool, TaskFailure> {
    let database = &leftover.database;
    if !carries_mark(&database.database, ctx.job) {
        return Err(TaskFailure {
            kind: FailureKind::Refused,
            message: format!(
                "{database} does not carry the mark of job {}: it is not ours to drop",
                ctx.job
            ),
            advice: "look at the job's events; drop the database by hand if it is not needed"
                .to_owned(),
            retryable: false,
        });
    }
    let spec = TaskSpec::DropDatabase(DropDatabase {
        target: DatabaseTarget {
            instance: database.instance.clone(),
            database: database.database.clone(),
        },
    });
    match ctx.task("", &database.host, spec).await? {
        TaskResult::DroppedDatabase(dropped) => Ok(dropped.existed),
        other => Err(wrong_result("drop-database", &other)),
    }
}
