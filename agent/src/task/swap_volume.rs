//! Exchange what is in two volumes.

use holdfast_proto::task::{SwapVolume, SwappedVolume, TaskFailure};

use super::Context;
use crate::volume::{place::Place, swap, users};

/// # Errors
/// `Conflict` while a container runs with either, or when neither holds what was restored.
pub async fn run(spec: SwapVolume, context: &Context) -> Result<SwappedVolume, TaskFailure> {
    let engine = context.containers.connected().await?;
    let volume = Place::usable(&engine, &spec.volume).await?;
    let other = Place::usable(&engine, &spec.other).await?;
    for place in [&volume, &other] {
        let users = users::of(&engine, place).await?;
        if let Some(refused) = users::running_with(&place.name, &users) {
            return Err(refused);
        }
    }
    let changed = swap::swap(&spec, &volume, &other)?;
    Ok(SwappedVolume { changed })
}
