//! An image of a repository into an empty staging database, all of it read back.

use std::sync::Arc;

use holdfast_proto::{
    fleet::Engine,
    image::{Manifest, ProofLevel},
    task::{FailureKind, ReceiveImage, RestoreImage, RestoredImage, TaskFailure, TaskPhase},
};
use holdfast_repository::SnapshotId;

use super::Context;
use crate::{
    engine::{
        mariadb,
        postgres::{
            empty,
            failure::failure,
            keep::{self, Fetch},
            meter::Meter,
            receive::{Receiver, Target},
            room, sessions,
        },
    },
    observe::{host, instances::Located},
};

/// Begins with an empty staging database, whatever was in it.
///
/// # Errors
/// Whatever ended it; the staging database is then worth nothing.
pub async fn run(spec: RestoreImage, context: &Context) -> Result<RestoredImage, TaskFailure> {
    let meter = Arc::new(Meter::default());
    let disk_limit = spec.disk_limit_bytes;
    let located = context.instances.locate(&spec.staging.instance)?;
    let repository = context.backups.open(&spec.repository).await?;
    let snapshot: SnapshotId = spec.snapshot.parse().map_err(|_| {
        let message = format!("{:?} is no name of a snapshot", spec.snapshot);
        failure(FailureKind::Invalid, message, "")
    })?;
    let reading = repository
        .read(snapshot)
        .await
        .map_err(|error| keep::failed("opening the backup", &error))?;
    let mut fetch = Fetch::open(reading, located.engine, spec.no_tablespaces, host::cpus()).await?;
    let manifest = fetch.manifest().clone();
    if !spec.tables.is_empty() {
        fetch = fetch.only(&spec.tables)?;
    }
    if located.engine != Engine::Postgres {
        return into_mariadb(spec, located, manifest, fetch, context).await;
    }
    empty::staging(&located, &spec.staging.database).await?;
    let application = sessions::name("restore");
    let mut target = Target::of(
        context,
        &located,
        &spec.staging.database,
        &application,
        &meter,
    )
    .await?;
    target.partial = !spec.tables.is_empty();
    let (host, jobs) = (spec.repository.host.clone(), spec.jobs);
    let receiver = Receiver::new(receiving(spec), target);
    let fetching = fetch.deliver(receiver.reception(), &host, jobs);
    let outcome = tokio::select! {
        outcome = async { tokio::try_join!(receiver.run(), fetching) } => outcome,
        () = context.cancel.cancelled() => Err(sessions::cancelled("restoring the image")),
        full = room::until_over(&located, disk_limit) => Err(full),
        never = meter.report(&context.progress) => match never {},
    };
    context.progress.report(meter.progress());
    match outcome {
        Ok((received, ())) => Ok(RestoredImage {
            manifest,
            received,
            fetch_time: meter.between(TaskPhase::Prepare, Some(TaskPhase::Data)),
            load_time: meter.between(TaskPhase::Data, Some(TaskPhase::Indexes)),
            index_time: meter.between(TaskPhase::Indexes, None),
        }),
        Err(failure) => {
            drop(receiver);
            sessions::end(&located, &application).await;
            Err(failure)
        }
    }
}

async fn into_mariadb(
    spec: RestoreImage,
    located: Located,
    manifest: Manifest,
    fetch: Fetch,
    context: &Context,
) -> Result<RestoredImage, TaskFailure> {
    mariadb::databases::empty(&located, &spec.staging.database).await?;
    let meter = Arc::new(Meter::default());
    let target = mariadb::receive::Target {
        located,
        database: spec.staging.database.clone(),
        permits: host::cpus() as usize,
        meter: Arc::clone(&meter),
    };
    let (host, jobs) = (spec.repository.host.clone(), spec.jobs);
    let receiver = mariadb::receive::Receiver::new(receiving(spec), target);
    let fetching = fetch.deliver(receiver.reception(), &host, jobs);
    // Its sessions end with it, and what they load.
    let outcome = tokio::select! {
        outcome = async { tokio::try_join!(Box::pin(receiver.run()), fetching) } => outcome,
        () = context.cancel.cancelled() => Err(sessions::cancelled("restoring the image")),
        never = meter.report(&context.progress) => match never {},
    };
    context.progress.report(meter.progress());
    outcome.map(|(received, ())| RestoredImage {
        manifest,
        received,
        fetch_time: None,
        load_time: None,
        index_time: None,
    })
}

/// As a receiver is told of it: everything is read back.
fn receiving(spec: RestoreImage) -> ReceiveImage {
    ReceiveImage {
        staging: spec.staging,
        peer_host: spec.repository.host,
        grant: Vec::new(),
        jobs: spec.jobs,
        proof: ProofLevel::Full,
        properties: spec.properties,
    }
}
