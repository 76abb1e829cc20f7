//! At the door of every service but enrolment: each request is judged anew.
//!
//! A tower service and not an interceptor, because the audit line shall name the call, and
//! interceptors do not see the path.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures::future::Either;
use holdfast_chassis::tls::PeerInfo;
use tonic::{Status, body::Body, codegen::http, server::NamedService};
use tower::Service;

use super::{IdentityError, Registrar};

/// A service that only those reach who are let in; see [`Registrar::guard`].
#[derive(Debug, Clone)]
pub struct Gated<S> {
    service: S,
    registrar: Registrar,
}

impl Registrar {
    /// Puts the gate before a service: no certificate, a revoked one, or one that has run out,
    /// and the call is refused and audited.
    pub fn guard<S>(&self, service: S) -> Gated<S> {
        Gated {
            service,
            registrar: self.clone(),
        }
    }

    fn judge(&self, request: &http::Request<Body>) -> Result<(), Status> {
        let peer = request
            .extensions()
            .get::<PeerInfo>()
            .ok_or_else(|| Status::internal("the connection does not say who is at its end"))?;
        self.admit(peer).map_err(|refused| {
            let call = request.uri().path().trim_start_matches('/');
            self.note_refused("rpc.refused", &peer.actor(), call, &refused.to_string());
            IdentityError::from(refused).into()
        })
    }
}

impl<S> Service<http::Request<Body>> for Gated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<Ready<Result<S::Response, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.registrar.judge(&request) {
            Ok(()) => Either::Right(self.service.call(request)),
            Err(status) => Either::Left(ready(Ok(status.into_http()))),
        }
    }
}

impl<S: NamedService> NamedService for Gated<S> {
    const NAME: &'static str = S::NAME;
}
