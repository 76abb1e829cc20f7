//! A new volume from a backup, all of it read back.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_proto::task::{FailureKind, RestoreVolume, RestoredVolume, TaskFailure};
use holdfast_repository::SnapshotId;

use super::Context;
use crate::{
    container::sandbox,
    engine::postgres::{failure::failure, keep, meter::Meter},
    volume::{
        fetch::Fetch,
        place::{self, LABEL},
    },
};

/// Begins with an empty volume that wears the job's label. Under the name that was backed up it gets the labels
/// of then, so that compose takes it for its own.
///
/// # Errors
/// Whatever ended it; the volume is then worth nothing.
pub async fn run(spec: RestoreVolume, context: &Context) -> Result<RestoredVolume, TaskFailure> {
    let engine = context.containers.connected().await?;
    let repository = context.backups.open(&spec.repository).await?;
    let snapshot: SnapshotId = spec.snapshot.parse().map_err(|_| {
        let message = format!("{:?} is no name of a snapshot", spec.snapshot);
        failure(FailureKind::Invalid, message, "")
    })?;
    let reading = repository.read(snapshot).await;
    let reading = reading.map_err(|error| keep::failed("opening the backup", &error))?;
    let meter = Arc::new(Meter::default());
    let fetch = Fetch::open(reading, Arc::clone(&meter), context.cancel.clone()).await?;
    let image = &fetch.contents().image;
    let labels = if spec.throwaway {
        // Goes with the job's throwaway servers, and is in no report as they are not.
        BTreeMap::from([(sandbox::LABEL.to_owned(), spec.job.to_string())])
    } else if image.volume == spec.volume {
        let own = image.labels.clone().into_iter();
        own.filter(|(label, _)| label != LABEL).collect()
    } else {
        BTreeMap::new()
    };
    let place = place::make(&engine, &spec.volume, spec.job, labels).await?;
    let restored = tokio::select! {
        restored = fetch.into(&place) => restored,
        never = meter.report(&context.progress) => match never {},
    };
    context.progress.report(meter.progress());
    restored
}
