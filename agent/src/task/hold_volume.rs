//! Stop what runs with a volume, and keep the list until it runs again.

use holdfast_proto::task::{HeldVolume, HoldVolume, TaskFailure};

use super::Context;
use crate::volume::{held, place::Place};

/// # Errors
/// When there is no such volume; when a container would not come back; what the engine says.
pub async fn run(spec: HoldVolume, context: &Context) -> Result<HeldVolume, TaskFailure> {
    let engine = context.containers.connected().await?;
    let place = Place::usable(&engine, &spec.volume).await?;
    held::hold(&engine, &context.state_dir, &place, spec.job).await
}
