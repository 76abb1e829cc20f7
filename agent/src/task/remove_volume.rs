//! Remove a volume that a job has made for itself.

use holdfast_proto::task::{RemoveVolume, RemovedVolume, TaskFailure};

use super::Context;
use crate::volume::place;

/// # Errors
/// `Conflict` when it does not wear the job's label, or while a container has it.
pub async fn run(spec: RemoveVolume, context: &Context) -> Result<RemovedVolume, TaskFailure> {
    let engine = context.containers.connected().await?;
    let existed = place::remove(&engine, &spec.volume, spec.job).await?;
    Ok(RemovedVolume { existed })
}
