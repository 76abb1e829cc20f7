//! The trace goes with the work: W3C trace context in gRPC metadata and in messages.

use std::sync::LazyLock;

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{AsciiMetadataKey, KeyRef, MetadataMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

static W3C: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

/// Puts the trace of the current span into a request's metadata; nothing when there is none.
pub fn inject(metadata: &mut MetadataMap) {
    W3C.inject_context(&Span::current().context(), &mut Metadata(metadata));
}

/// The trace that a request belongs to; an empty context when it names none.
#[must_use]
pub fn extract(metadata: &MetadataMap) -> Context {
    W3C.extract_with_context(&Context::new(), &ReadMetadata(metadata))
}

/// [`inject`] as a tonic interceptor: `OperatorClient::with_interceptor(channel, propagate)`.
///
/// # Errors
/// None; the type is tonic's.
#[allow(clippy::result_large_err, reason = "tonic's type")]
pub fn propagate(mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
    inject(request.metadata_mut());
    Ok(request)
}

/// Makes the span a child of `traceparent`; to be called before the span is entered.
///
/// A text that is empty or no W3C trace context leaves the span the root of a trace of its own.
pub fn set_parent(span: &Span, traceparent: &str) {
    let parent = W3C.extract_with_context(&Context::new(), &OneValue(traceparent));
    adopt(span, parent);
}

/// Makes the span a child of what the metadata name; to be called before the span is entered.
pub fn set_parent_from(span: &Span, metadata: &MetadataMap) {
    adopt(span, extract(metadata));
}

/// The current span for a message or a row; empty when there is no trace.
#[must_use]
pub fn current_traceparent() -> String {
    let mut written = Written::default();
    W3C.inject_context(&Span::current().context(), &mut written);
    written.traceparent
}

/// 32 hex digits; `None` outside of any trace.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let ids = span.span_context();
    ids.is_valid().then(|| ids.trace_id().to_string())
}

fn adopt(span: &Span, parent: Context) {
    if parent.span().span_context().is_valid() {
        // Fails only where nothing traces (a disabled span, a test without telemetry).
        let _ = span.set_parent(parent);
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return;
        }
        if let (Ok(key), Ok(value)) = (AsciiMetadataKey::from_bytes(key.as_bytes()), value.parse())
        {
            self.0.insert(key, value);
        }
    }
}

struct ReadMetadata<'a>(&'a MetadataMap);

impl Extractor for ReadMetadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0
            .keys()
            .filter_map(|key| match key {
                KeyRef::Ascii(key) => Some(key.as_str()),
                KeyRef::Binary(_) => None,
            })
            .collect()
    }
}

struct OneValue<'a>(&'a str);

impl Extractor for OneValue<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[derive(Default)]
struct Written {
    traceparent: String,
}

impl Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.traceparent = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{info_span, subscriber::with_default};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traced<T>(work: impl FnOnce() -> T) -> T {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        with_default(tracing_subscriber::registry().with(layer), work)
    }

    #[test]
    fn a_span_joins_the_trace_it_is_given_and_passes_it_on() {
        traced(|| {
            let span = info_span!("work");
            set_parent(&span, PARENT);
            let _entered = span.enter();
            assert_eq!(current_trace_id().as_deref(), Some(TRACE));
            let passed_on = current_traceparent();
            assert!(
                passed_on.starts_with(&format!("00-{TRACE}-")),
                "{passed_on}"
            );
            assert_ne!(passed_on, PARENT, "the parent is this span, not its parent");

            let mut metadata = MetadataMap::new();
            inject(&mut metadata);
            assert_eq!(metadata.get(TRACEPARENT).unwrap(), passed_on.as_str());
            assert!(metadata.get("tracestate").is_none());
        });
    }

    #[test]
    fn metadata_carry_a_trace_from_process_to_process() {
        let mut metadata = MetadataMap::new();
        traced(|| info_span!("client").in_scope(|| inject(&mut metadata)));
        traced(|| {
            let span = info_span!("server");
            set_parent_from(&span, &metadata);
            let sent = metadata.get(TRACEPARENT).unwrap().to_str().unwrap();
            let received = span.in_scope(current_trace_id).unwrap();
            assert!(sent.contains(&received), "{sent} {received}");
        });
    }

    #[test]
    fn what_is_no_trace_begins_one() {
        for wrong in [
            "",
            "x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            traced(|| {
                let span = info_span!("work");
                set_parent(&span, wrong);
                let id = span.in_scope(current_trace_id).unwrap();
                assert_eq!(id.len(), 32);
                assert_ne!(id, TRACE);
            });
        }
    }

    #[test]
    fn without_a_span_nothing_is_said() {
        traced(|| {
            let mut metadata = MetadataMap::new();
            inject(&mut metadata);
            assert!(metadata.is_empty());
            assert_eq!(current_traceparent(), "");
            assert_eq!(current_trace_id(), None);
        });
    }
}
