//! A live database into a repository, read under one snapshot.

use std::sync::Arc;

use holdfast_proto::{
    fleet::Engine,
    task::{BackUpDatabase, BackedUpDatabase, SentImage, TaskFailure},
};
use holdfast_repository::About;

use super::Context;
use crate::{
    engine::{
        mariadb::{self, by_hand::ClientByHand, plan::Cutting, session::Session},
        postgres::{
            failure::failed,
            keep::{self, ByHand, PsqlByHand, Store},
            meter::Meter,
            send::{Purpose, Request, Sender},
            sessions,
        },
    },
    observe::instances::Located,
};

/// Leaves nothing on the source, and nothing that counts in the repository unless it succeeds.
///
/// # Errors
/// Retryable when source or repository were away.
pub async fn run(spec: BackUpDatabase, context: &Context) -> Result<BackedUpDatabase, TaskFailure> {
    let located = context.instances.locate(&spec.source.instance)?;
    let repository = context.backups.open(&spec.repository).await?;
    let host = &spec.repository.host;
    let about = About {
        host: host.clone(),
        label: format!("{host}/{}/{}", spec.source.instance, spec.source.database),
        tags: spec.tags.clone(),
        time: context.clock.now(),
    };
    let by_hand = by_hand(&located, &spec.source.database).await?;
    let store = Arc::new(Store::new(
        repository,
        about,
        located.engine,
        by_hand,
        spec.jobs,
    ));
    let meter = Arc::new(Meter::default());
    let application = sessions::name("backup");
    let outcome = tokio::select! {
        outcome = send(&spec, context, &located, &store, &meter, &application) => outcome,
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
            // Those of the other engine end with who opened them.
            if located.engine == Engine::Postgres {
                sessions::end(&located, &application).await;
            }
            // When the repository was the cause, its words say more than the stream's.
            Err(store.cause().await.unwrap_or(failure))
        }
    }
}

/// What the database needs around it, as its server tells now.
async fn by_hand(located: &Located, database: &str) -> Result<Box<dyn ByHand>, TaskFailure> {
    if located.engine == Engine::Postgres {
        let client = located.route.connect(database).await;
        let client = client.map_err(|error| error.into_failure(&located.name))?;
        let roles = keep::roles_of(&client, database)
            .await
            .map_err(|error| failed("reading the roles of the database", &error))?;
        return Ok(Box::new(PsqlByHand {
            database: database.to_owned(),
            roles,
        }));
    }
    let session = Session::open(&located.route).await;
    let mut session = session.map_err(|error| error.into_failure(&located.name))?;
    let accounts = mariadb::by_hand::accounts_of(&mut session, database)
        .await
        .map_err(|error| {
            mariadb::failure::failed("reading the accounts of the database", &error)
        })?;
    Ok(Box::new(ClientByHand {
        engine: session.engine,
        accounts,
    }))
}

async fn send(
    spec: &BackUpDatabase,
    context: &Context,
    located: &Located,
    store: &Arc<Store>,
    meter: &Arc<Meter>,
    application: &str,
) -> Result<SentImage, TaskFailure> {
    if located.engine == Engine::Postgres {
        let request = Request {
            source: spec.source.clone(),
            selection: spec.selection.clone(),
            jobs: spec.jobs,
            bandwidth: spec.bandwidth,
            purpose: Purpose::Keeping,
        };
        let sender = Sender {
            request: &request,
            located,
            containers: &context.containers,
            peer: store.clone(),
            meter: Arc::clone(meter),
            application: application.to_owned(),
        };
        return sender.run().await;
    }
    let request = mariadb::send::Request {
        source: spec.source.clone(),
        selection: spec.selection.clone(),
        jobs: spec.jobs,
        bandwidth: spec.bandwidth,
    };
    let sender = mariadb::send::Sender {
        request: &request,
        located,
        peer: store.clone(),
        meter: Arc::clone(meter),
        cutting: Cutting::Repository,
    };
    Box::pin(sender.run()).await
}
