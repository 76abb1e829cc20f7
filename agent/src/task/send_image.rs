//! The source side of an image: reads under one snapshot and sends to the peer that expects it.

use std::sync::Arc;

use holdfast_proto::{
    fleet::Engine,
    task::{SendImage, SentImage, TaskFailure},
};

use uuid::Uuid;

use super::Context;
use crate::{
    engine::{
        mariadb::{self, plan::Cutting},
        postgres::{
            meter::Meter,
            send::{Purpose, Request, Sender},
            sessions,
        },
    },
    observe::host,
};

/// Leaves nothing on the source, however it ends.
///
/// # Errors
/// Retryable when source, peer or network were away for too long.
pub async fn run(spec: SendImage, context: &Context) -> Result<SentImage, TaskFailure> {
    let located = context.instances.locate(&spec.source.instance)?;
    let application = sessions::name("send");
    let meter = Arc::new(Meter::default());
    if located.engine != Engine::Postgres {
        let request = mariadb::send::Request {
            source: spec.source.clone(),
            selection: spec.selection.clone(),
            jobs: spec.jobs,
            bandwidth: spec.bandwidth,
        };
        let sender = mariadb::send::Sender {
            request: &request,
            located: &located,
            peer: context.peers.sender(&spec, Uuid::now_v7().to_string()),
            meter: Arc::clone(&meter),
            cutting: Cutting::Server { cpus: host::cpus() },
        };
        // Its sessions end with it, and what they read.
        let outcome = tokio::select! {
            outcome = Box::pin(sender.run()) => outcome,
            () = context.cancel.cancelled() => Err(sessions::cancelled("sending the image")),
            never = meter.report(&context.progress) => match never {},
        };
        context.progress.report(meter.progress());
        return outcome;
    }
    let request = Request {
        source: spec.source.clone(),
        selection: spec.selection.clone(),
        jobs: spec.jobs,
        bandwidth: spec.bandwidth,
        purpose: Purpose::Server {
            version_num: spec.target_version_num,
            extensions: spec.target_extensions.clone(),
            no_tablespaces: spec.no_tablespaces,
            cpus: host::cpus(),
        },
    };
    let sender = Sender {
        request: &request,
        located: &located,
        containers: &context.containers,
        peer: context.peers.sender(&spec, Uuid::now_v7().to_string()),
        meter: Arc::clone(&meter),
        application: application.clone(),
    };
    let outcome = tokio::select! {
        outcome = sender.run() => outcome,
        () = context.cancel.cancelled() => Err(sessions::cancelled("sending the image")),
        never = meter.report(&context.progress) => match never {},
    };
    context.progress.report(meter.progress());
    if outcome.is_err() {
        drop(sender);
        sessions::end(&located, &application).await;
    }
    outcome
}
