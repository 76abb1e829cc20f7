//! Every service behind one port: what it needs in, a router for the listener out.

use std::{sync::Arc, time::Duration};

use holdfast_chassis::{telemetry::TraceRequests, tls};
use holdfast_proto::wire::{enrolment_server::EnrolmentServer, operator_server::OperatorServer};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;
use tower::layer::util::{Identity, Stack};

use super::{
    enrolment::EnrolmentService,
    gateway::GatewayService,
    link::LinkService,
    operator::{OperatorService, Services},
};
use crate::relay::Relay;

/// For `serve_with_incoming(registrar.incoming(listener)?)`. Each request is a span in its caller's
/// trace; all services but enrolment let only those in whom the registrar admits.
///
/// `stop` ends every session, watch and relayed stream: a graceful shutdown would wait for them for ever.
#[must_use]
pub fn router(
    services: &Services,
    heartbeat_interval: Duration,
    stop: CancellationToken,
) -> Router<Stack<TraceRequests, Identity>> {
    let registrar = &services.registrar;
    let enrolment = EnrolmentService::new(registrar.clone(), services.fleet.clone());
    let operator = OperatorServer::new(OperatorService::new(services.clone(), stop.clone()));
    let ending = stop.clone();
    let link = LinkService {
        registrar: registrar.clone(),
        catalog: services.catalog.clone(),
        fleet: services.fleet.clone(),
        sessions: services.sessions.clone(),
        push: services.push.clone(),
        relay: Relay::default(),
        clock: services.clock.clone(),
        heartbeat_interval,
        stop,
    };
    let gateway = GatewayService::new(
        registrar.clone(),
        services.repositories.clone(),
        Arc::new(services.catalog.clone()),
        ending,
    );
    tls::server()
        .layer(TraceRequests)
        .add_service(EnrolmentServer::new(enrolment))
        .add_service(registrar.guard(link.into_server()))
        .add_service(registrar.guard(gateway.into_server()))
        .add_service(registrar.guard(operator))
}
