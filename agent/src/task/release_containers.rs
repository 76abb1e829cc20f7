//! Start what a job has stopped.

use holdfast_proto::task::{ReleaseContainers, ReleasedContainers, TaskFailure};

use super::Context;
use crate::container::held;

/// # Errors
/// Retryable when a container does not start: it stays on the list.
pub async fn run(
    spec: ReleaseContainers,
    context: &Context,
) -> Result<ReleasedContainers, TaskFailure> {
    let engine = context.containers.connected().await?;
    let started = held::release(&engine, &context.state_dir, spec.job).await?;
    Ok(ReleasedContainers { started })
}
