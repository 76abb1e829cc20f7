//! A live database into a repository, read under one snapshot.

use std::sync::Arc;

use holdfast_proto::task::{BackUpDatabase, BackedUpDatabase, TaskFailure};
use holdfast_repository::About;

use super::Context;
use crate::engine::postgres::{
    failure::failed,
    keep::{self, Store},
    meter::Meter,
    send::{Purpose, Request, Sender},
    sessions,
};

/// Leaves nothing on the source, and nothing that counts in the repository unless it succeeds.
///
/// # Errors
/// Retryable when source or repository were away.
pub async fn run(spec: BackUpDatabase, context: &Context) -> Result<BackedUpDatabase, TaskFailure> {
    let located = context.instances.locate(&spec.source.instance)?;
    keep::supports(located.engine, &located.name)?;
    let repository = context.backups.open(&spec.repository).await?;
    let client = located
        .route
        .connect(&spec.source.database)
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let roles = keep::roles_of(&client, &spec.source.database)
        .await
        .map_err(|error| failed("reading the roles of the database", &error))?;
    drop(client);
    let host = &spec.repository.host;
    let about = About {
        host: host.clone(),
        label: format!("{host}/{}/{}", spec.source.instance, spec.source.database),
        tags: spec.tags.clone(),
        time: context.clock.now(),
    };
    let application = sessions::name("backup");
    let meter = Arc::new(Meter::default());
    let store = Arc::new(Store::new(
        repository,
        about,
        &spec.source.database,
        roles,
        spec.jobs,
    ));
    let request = Request {
        source: spec.source,
        selection: spec.selection,
        jobs: spec.jobs,
        bandwidth: spec.bandwidth,
        purpose: Purpose::Keeping,
    };
    let sender = Sender {
        request: &request,
        located: &located,
        containers: &context.containers,
        peer: store.clone(),
        meter: Arc::clone(&meter),
        application: application.clone(),
    };
    let outcome = tokio::select! {
        outcome = sender.run() => outcome,
        () = context.cancel.cancelled() => Err(sessions::cancelled("the backup")),
        never = meter.report(&context.progress) => match never {},
    };
    context.progress.report(meter.progress());
    match outcome {
        Ok(sent) => {
            let stored = store.stored().await?;
            Ok(BackedUpDatabase {
                manifest: sent.manifest,
                snapshot: stored.snapshot.to_string(),
                added_bytes: stored.added_bytes,
            })
        }
        Err(failure) => {
            drop(sender);
            sessions::end(&located, &application).await;
            // When the repository was the cause, its words say more than the stream's.
            Err(store.cause().await.unwrap_or(failure))
        }
    }
}
