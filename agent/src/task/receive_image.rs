//! The target side of an image: takes the streams that the grant opens, builds, and reads back.

use std::sync::Arc;

use holdfast_proto::{
    fleet::Engine,
    task::{ReceiveImage, ReceivedImage, TaskFailure},
};

use super::Context;
use crate::{
    engine::{
        mariadb,
        postgres::{
            empty,
            meter::Meter,
            receive::{Receiver, Target},
            sessions,
        },
    },
    observe::{host, instances::Located},
};

/// Begins with an empty staging database, whatever was in it.
///
/// # Errors
/// Whatever ended it; the staging database is then worth nothing.
pub async fn run(spec: ReceiveImage, context: &Context) -> Result<ReceivedImage, TaskFailure> {
    let peers = &context.peers;
    let located = context.instances.locate(&spec.staging.instance)?;
    if located.engine != Engine::Postgres {
        return into_mariadb(spec, located, context).await;
    }
    empty::staging(&located, &spec.staging.database).await?;
    let application = sessions::name("receive");
    let meter = Arc::new(Meter::default());
    let target = Target::of(
        context,
        &located,
        &spec.staging.database,
        &application,
        &meter,
    )
    .await?;
    let receiver = Receiver::new(spec.clone(), target);
    let calls = spec.jobs + 2;
    let receiving = peers.receive(&spec.grant, calls, receiver.reception());
    let outcome = tokio::select! {
        outcome = receiver.run() => outcome,
        () = context.cancel.cancelled() => Err(sessions::cancelled("receiving the image")),
        never = meter.report(&context.progress) => match never {},
    };
    drop(receiving);
    context.progress.report(meter.progress());
    if outcome.is_err() {
        drop(receiver);
        sessions::end(&located, &application).await;
    }
    outcome
}

async fn into_mariadb(
    spec: ReceiveImage,
    located: Located,
    context: &Context,
) -> Result<ReceivedImage, TaskFailure> {
    mariadb::databases::empty(&located, &spec.staging.database).await?;
    let meter = Arc::new(Meter::default());
    let target = mariadb::receive::Target {
        located,
        database: spec.staging.database.clone(),
        permits: host::cpus() as usize,
        meter: Arc::clone(&meter),
    };
    let receiver = mariadb::receive::Receiver::new(spec.clone(), target);
    let receiving = context
        .peers
        .receive(&spec.grant, spec.jobs + 2, receiver.reception());
    let outcome = tokio::select! {
        outcome = Box::pin(receiver.run()) => outcome,
        () = context.cancel.cancelled() => Err(sessions::cancelled("receiving the image")),
        never = meter.report(&context.progress) => match never {},
    };
    drop(receiving);
    context.progress.report(meter.progress());
    outcome
}
