//! A volume that nobody writes to into a repository.

use std::sync::Arc;

use holdfast_proto::task::{BackUpVolume, BackedUpVolume, TaskFailure};
use holdfast_repository::About;

use super::Context;
use crate::{
    container::client::Connected,
    engine::postgres::meter::Meter,
    volume::{data, keep::Keep, place::Place, users},
};

/// Leaves nothing on the host, and nothing that counts in the repository unless it succeeds.
///
/// # Errors
/// `Conflict` while it is written to, before or during the reading.
pub async fn run(spec: BackUpVolume, context: &Context) -> Result<BackedUpVolume, TaskFailure> {
    let engine = context.containers.connected().await?;
    let place = Place::usable(&engine, &spec.volume).await?;
    quiet(&engine, &place).await?;
    let repository = context.backups.open(&spec.repository).await?;
    let host = &spec.repository.host;
    let meter = Arc::new(Meter::default());
    let keep = Keep {
        place: &place,
        repository: &repository,
        about: About {
            host: host.clone(),
            label: format!("{host}/{}", spec.volume),
            tags: spec.tags.clone(),
            time: context.clock.now(),
        },
        meter: Arc::clone(&meter),
        cancel: context.cancel.clone(),
    };
    let stored = tokio::select! {
        stored = keep.run(quiet(&engine, &place)) => stored,
        never = meter.report(&context.progress) => match never {},
    };
    context.progress.report(meter.progress());
    stored
}

/// Nobody writes to it now.
async fn quiet(engine: &Connected, place: &Place) -> Result<(), TaskFailure> {
    let users = users::of(engine, place).await?;
    let databases = data::directories(&place.path);
    match users::in_the_way(&place.name, &users, &databases) {
        None => Ok(()),
        Some(refused) => Err(refused),
    }
}
