//! The target side of an image: takes the streams that the grant opens, builds, and reads back.

use std::sync::Arc;

use holdfast_proto::task::{ReceiveImage, ReceivedImage, TaskFailure};

use super::Context;
use crate::{
    engine::postgres::{
        empty,
        failure::failed,
        meter::Meter,
        receive::{Receiver, Target},
        sessions,
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
    empty::staging(&located, &spec.staging.database).await?;
    let application = sessions::name("receive");
    let meter = Arc::new(Meter::default());
    let target = Target {
        version_num: version_num(&located, &spec.staging.database).await?,
        located: located.clone(),
        containers: context.containers.clone(),
        database: spec.staging.database.clone(),
        application: application.clone(),
        permits: host::cpus() as usize,
        free_memory: sessions::free_memory(&located),
        meter: Arc::clone(&meter),
    };
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

async fn version_num(located: &Located, database: &str) -> Result<u32, TaskFailure> {
    let client = located
        .route
        .connect(database)
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let row = client
        .query_one(
            "SELECT pg_catalog.current_setting('server_version_num')::int",
            &[],
        )
        .await
        .map_err(|error| failed("asking the target for its version", &error))?;
    Ok(u32::try_from(row.get::<_, i32>(0)).unwrap_or_default())
}
