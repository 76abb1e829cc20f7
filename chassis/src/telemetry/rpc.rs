//! A span around each call that a server answers, in the caller's trace.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tonic::{
    codegen::http::{Request, Response},
    metadata::MetadataMap,
};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span, field::Empty, info_span};

use super::propagate::set_parent_from;

/// For `tonic::transport::Server::builder().layer(TraceRequests)`.
///
/// The span lasts until the answer (or the head of an answering stream) is ready.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceRequests;

#[derive(Debug, Clone)]
pub struct TracedRequests<S>(S);

impl<S> Layer<S> for TraceRequests {
    type Service = TracedRequests<S>;

    fn layer(&self, inner: S) -> TracedRequests<S> {
        TracedRequests(inner)
    }
}

impl<S, In, Out> Service<Request<In>> for TracedRequests<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: Send,
    Out: Send,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Out>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let span = request_span(&request);
        let running = span.in_scope(|| self.0.call(request));
        let answered = async move {
            let result = running.await;
            if let Ok(response) = &result {
                record_status(response);
            }
            result
        };
        Box::pin(answered.instrument(span))
    }
}

fn request_span<In>(request: &Request<In>) -> Span {
    // "/holdfast.v1.Operator/CopyDatabase"
    let path = request.uri().path().trim_start_matches('/');
    let method = path.strip_prefix("holdfast.v1.").unwrap_or(path);
    let span = info_span!(
        "rpc",
        method,
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        otel.status_description = Empty,
    );
    set_parent_from(&span, &MetadataMap::from_headers(request.headers().clone()));
    span
}

/// A call that fails before its first message has its status in the head of the answer.
fn record_status<Out>(response: &Response<Out>) {
    if let Some(status) = tonic::Status::from_header_map(response.headers())
        && status.code() != tonic::Code::Ok
    {
        let span = Span::current();
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", status.code().description());
    }
}
