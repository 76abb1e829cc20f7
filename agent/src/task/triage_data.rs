//! How a data directory is, from its files alone.

use holdfast_proto::task::{FailureKind, TaskFailure, TriageData, TriagedData};

use super::Context;
use crate::{
    engine::postgres::failure::failure,
    triage::{Found, place, triage},
};

/// Reads only; a running server is not touched.
///
/// # Errors
/// `Invalid` when there is no such instance or volume, `Refused` when its files cannot be reached from this host.
pub async fn run(spec: TriageData, context: &Context) -> Result<TriagedData, TaskFailure> {
    let engine = &context.containers;
    let found = match (spec.instance.is_empty(), spec.volume.is_empty()) {
        (false, true) => {
            let found = place::of_instance(&spec.instance, &spec.shown, &context.instances, engine);
            vec![found.await?]
        }
        (true, false) => place::in_volume(&spec.volume, &spec.shown, engine).await?,
        _ => {
            let message = "either an instance or a volume is looked at";
            return Err(failure(FailureKind::Invalid, message, ""));
        }
    };
    let read = tokio::task::spawn_blocking(move || found.iter().map(one).collect::<Result<_, _>>());
    match read.await {
        Ok(directories) => Ok(TriagedData {
            directories: directories?,
        }),
        Err(broken) => {
            let message = format!("looking at {} broke off: {broken}", spec.shown);
            Err(failure(FailureKind::Internal, message, ""))
        }
    }
}

fn one(found: &Found) -> Result<holdfast_proto::task::DataTriage, TaskFailure> {
    triage(found).map_err(|error| {
        let message = format!("{} cannot be looked at: {error}", found.subject.path);
        failure(
            FailureKind::Refused,
            message,
            "look at the disk of the host",
        )
    })
}
