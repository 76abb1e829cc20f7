//! Removing a job's throwaway server with everything that it wrote.

use holdfast_proto::task::{RemoveSandbox, RemovedSandbox, TaskFailure};

use super::Context;
use crate::container::sandbox;

/// Absent is success.
///
/// # Errors
/// `Refused` when the container of that name does not wear the job's label; what the engine says.
pub async fn run(spec: RemoveSandbox, context: &Context) -> Result<RemovedSandbox, TaskFailure> {
    let engine = context.containers.connected().await?;
    let existed = sandbox::remove(&engine, spec.job).await?;
    Ok(RemovedSandbox { existed })
}
