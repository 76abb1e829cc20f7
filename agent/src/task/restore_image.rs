//! An image of a repository into an empty staging database, all of it read back.

use std::sync::Arc;

use holdfast_proto::{
    image::ProofLevel,
    task::{FailureKind, ReceiveImage, RestoreImage, RestoredImage, TaskFailure},
};
use holdfast_repository::SnapshotId;

use super::Context;
use crate::{
    engine::postgres::{
        empty,
        failure::failure,
        keep::{self, Fetch},
        meter::Meter,
        receive::{Receiver, Target},
        sessions,
    },
    observe::host,
};

/// Begins with an empty staging database, whatever was in it.
///
/// # Errors
/// Whatever ended it; the staging database is then worth nothing.
pub async fn run(spec: RestoreImage, context: &Context) -> Result<RestoredImage, TaskFailure> {
    let located = context.instances.locate(&spec.staging.instance)?;
    keep::supports(located.engine, &located.name)?;
    let repository = context.backups.open(&spec.repository).await?;
    let snapshot: SnapshotId = spec.snapshot.parse().map_err(|_| {
        let message = format!("{:?} is no name of a snapshot", spec.snapshot);
        failure(FailureKind::Invalid, message, "")
    })?;
    let reading = repository
        .read(snapshot)
        .await
        .map_err(|error| keep::failed("opening the backup", &error))?;
    let mut fetch = Fetch::open(reading, spec.no_tablespaces, host::cpus()).await?;
    let manifest = fetch.manifest().clone();
    if !spec.tables.is_empty() {
        fetch = fetch.only(&spec.tables)?;
    }
    empty::staging(&located, &spec.staging.database).await?;
    let application = sessions::name("restore");
    let meter = Arc::new(Meter::default());
    let mut target = Target::of(
        context,
        &located,
        &spec.staging.database,
        &application,
        &meter,
    )
    .await?;
    target.partial = !spec.tables.is_empty();
    let receiver = Receiver::new(
        ReceiveImage {
            staging: spec.staging,
            peer_host: spec.repository.host.clone(),
            grant: Vec::new(),
            jobs: spec.jobs,
            proof: ProofLevel::Full,
            properties: spec.properties,
        },
        target,
    );
    let host = spec.repository.host;
    let fetching = fetch.deliver(receiver.reception(), &host, spec.jobs);
    let outcome = tokio::select! {
        outcome = async { tokio::try_join!(receiver.run(), fetching) } => outcome,
        () = context.cancel.cancelled() => Err(sessions::cancelled("restoring the image")),
        never = meter.report(&context.progress) => match never {},
    };
    context.progress.report(meter.progress());
    match outcome {
        Ok((received, ())) => Ok(RestoredImage { manifest, received }),
        Err(failure) => {
            drop(receiver);
            sessions::end(&located, &application).await;
            Err(failure)
        }
    }
}
