//! Start what a job has stopped.

use holdfast_proto::task::{ReleaseVolume, ReleasedVolume, TaskFailure};

use super::Context;
use crate::volume::held;

/// # Errors
/// Retryable when a container does not start: it stays on the list.
pub async fn run(spec: ReleaseVolume, context: &Context) -> Result<ReleasedVolume, TaskFailure> {
    let engine = context.containers.connected().await?;
    let started = held::release(&engine, &context.state_dir, spec.job).await?;
    Ok(ReleasedVolume { started })
}
