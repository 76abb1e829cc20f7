//! Stop what runs with a volume, or containers by name, and keep the list until they run again.

use holdfast_proto::task::{HeldContainers, HoldContainers, TaskFailure};

use super::Context;
use crate::{
    container::held::{self, Order, Running},
    volume::{place::Place, users},
};

/// # Errors
/// When there is no such volume; when a container would not come back; what the engine says.
pub async fn run(spec: HoldContainers, context: &Context) -> Result<HeldContainers, TaskFailure> {
    let engine = context.containers.connected().await?;
    let (running, order) = if spec.volume.is_empty() {
        let running = held::named(&engine, &spec.stop).await?;
        (running, Order::Named(&spec.start))
    } else {
        let place = Place::usable(&engine, &spec.volume).await?;
        let users = users::of(&engine, &place).await?.into_iter();
        let users = users.filter(|user| user.running).map(|user| Running {
            id: user.id,
            name: user.name,
        });
        (users.collect(), Order::ByAge)
    };
    held::hold(&engine, &context.state_dir, running, order, spec.job).await
}
