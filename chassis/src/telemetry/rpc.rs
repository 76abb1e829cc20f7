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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
    use opentelemetry_sdk::{
        error::OTelSdkResult,
        trace::{SdkTracerProvider, SpanData, SpanExporter},
    };
    use std::sync::{Arc, Mutex};
    use tower::{ServiceExt as _, service_fn};
    use tracing::instrument::WithSubscriber as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::telemetry::current_trace_id;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    /// The span of one call whose handler answers `answer`, and the trace the handler saw.
    async fn called(answer: Response<()>) -> (SpanData, Option<String>) {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(kept.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let seen = Arc::new(Mutex::new(None));
        let handler = service_fn({
            let seen = seen.clone();
            move |_: Request<()>| {
                *seen.lock().unwrap() = current_trace_id();
                std::future::ready(Ok::<_, Infallible>(answer.clone()))
            }
        });
        let request = Request::builder()
            .uri("https://controller/holdfast.v1.Operator/GetStatus")
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .body(())
            .unwrap();
        TraceRequests
            .layer(handler)
            .oneshot(request)
            .with_subscriber(tracing_subscriber::registry().with(layer))
            .await
            .unwrap();
        let span = kept.0.lock().unwrap().pop().unwrap();
        let seen = seen.lock().unwrap().take();
        (span, seen)
    }

    #[tokio::test]
    async fn a_call_is_a_span_in_the_callers_trace() {
        let (span, seen) = called(Response::new(())).await;
        assert_eq!(span.name, "Operator/GetStatus");
        assert_eq!(span.span_kind, SpanKind::Server);
        assert_eq!(span.span_context.trace_id().to_string(), TRACE);
        assert_eq!(span.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(seen.as_deref(), Some(TRACE));
        assert_eq!(span.status, Status::Unset);
    }

    #[tokio::test]
    async fn a_refusal_marks_the_span() {
        let mut refusal = Response::new(());
        tonic::Status::permission_denied("not yours")
            .add_header(refusal.headers_mut())
            .unwrap();
        let (span, _) = called(refusal).await;
        assert!(
            matches!(span.status, Status::Error { .. }),
            "{:?}",
            span.status
        );
    }
}
