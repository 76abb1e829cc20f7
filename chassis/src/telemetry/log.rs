//! Events to lines on stderr, with their spans and the id of their trace.

mod fields;
mod json;
mod text;

use std::{io::Write as _, sync::OnceLock};

use chrono::{DateTime, Utc};
use opentelemetry::trace::TraceContextExt as _;
use tracing::{
    Event, Level, Subscriber,
    dispatcher::{Dispatch, WeakDispatch},
    span::{Attributes, Id, Record},
};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::{
    Layer,
    fmt::MakeWriter,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::LogFormat;
use fields::Fields;

pub(super) struct LogLayer<W> {
    format: LogFormat,
    colour: bool,
    writer: W,
    /// The subscriber that this layer is part of: it knows the traces of spans.
    subscriber: OnceLock<WeakDispatch>,
}

/// Everything that one line says.
struct Line<'a> {
    at: DateTime<Utc>,
    level: Level,
    target: &'a str,
    fields: &'a Fields,
    /// Outermost first.
    spans: Vec<(&'static str, Fields)>,
    trace_id: Option<String>,
}

impl<W> LogLayer<W> {
    pub(super) fn new(format: LogFormat, colour: bool, writer: W) -> Self {
        Self {
            format,
            colour,
            writer,
            subscriber: OnceLock::new(),
        }
    }

    fn trace_id(&self, span: &Id) -> Option<String> {
        let subscriber = self.subscriber.get()?.upgrade()?;
        let context = get_otel_context(span, &subscriber)?;
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| ids.trace_id().to_string())
    }
}

impl<S, W> Layer<S> for LogLayer<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        // The first is the one; a layer is never part of two.
        let _ = self.subscriber.set(subscriber.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        // What comes by way of the `log` crate names its true target in a field.
        let target = fields.take_log_target();
        let spans = context
            .event_scope(event)
            .map(|scope| scope.from_root().map(|span| seen(&span)).collect())
            .unwrap_or_default();
        let line = Line {
            at: Utc::now(),
            level: *metadata.level(),
            target: target.as_deref().unwrap_or(metadata.target()),
            fields: &fields,
            spans,
            trace_id: context
                .event_span(event)
                .and_then(|span| self.trace_id(&span.id())),
        };
        let text = match self.format {
            LogFormat::Text => text::line(&line, self.colour),
            LogFormat::Json => json::line(&line),
        };
        // A closed stderr is no reason to stop working.
        let _ = self
            .writer
            .make_writer_for(metadata)
            .write_all(text.as_bytes());
    }
}

fn seen<'span, S: LookupSpan<'span>>(span: &SpanRef<'span, S>) -> (&'static str, Fields) {
    let fields = span.extensions().get::<Fields>().cloned();
    (span.name(), fields.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{error, info, info_span, subscriber::with_default};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::telemetry::{current_trace_id, set_parent};

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the page")]
    struct Outer(#[source] std::io::Error);

    fn logged(format: LogFormat, work: impl FnOnce()) -> Vec<String> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(tracer))
            .with(LogLayer::new(format, false, Writer(written.clone())));
        with_default(subscriber, work);
        let bytes = written.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[derive(Clone)]
    struct Writer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Writer {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_of_text_ends_with_its_spans_and_the_trace() {
        let mut trace = None;
        let lines = logged(LogFormat::Text, || {
            info!(port = 7443, "listening");
            let job = info_span!("job", id = 7, step = tracing::field::Empty);
            set_parent(
                &job,
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            );
            job.in_scope(|| {
                job.record("step", "read back");
                trace = current_trace_id();
                let error = Outer(std::io::Error::other("gone"));
                error!(error = &error as &dyn std::error::Error, "stopped");
            });
        });
        assert_eq!(trace.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        let [plain, traced] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        let target = module_path!();
        assert!(
            plain.ends_with(&format!("Z INFO  {target}: listening port=7443")),
            "{plain}"
        );
        assert!(
            traced.ends_with(&format!(
                "Z ERROR {target}: stopped error=\"cannot read the page: gone\" \
                 job{{id=7 step=\"read back\"}} trace_id=4bf92f3577b34da6a3ce929d0e0e4736"
            )),
            "{traced}"
        );
    }

    #[test]
    fn a_line_of_json_is_one_object_with_the_trace() {
        let lines = logged(LogFormat::Json, || {
            info_span!("job", id = 7_u64).in_scope(|| info!(done = true, "two\nlines \u{1b}[31m"));
        });
        assert_eq!(lines.len(), 1);
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "two\nlines \u{1b}[31m");
        assert_eq!(line["fields"]["done"], true);
        assert_eq!(line["spans"][0]["name"], "job");
        assert_eq!(line["spans"][0]["id"], 7);
        assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
        assert!(DateTime::parse_from_rfc3339(line["at"].as_str().unwrap()).is_ok());
    }

    #[test]
    fn text_from_outside_cannot_move_the_cursor_or_forge_a_line() {
        let lines = logged(LogFormat::Text, || {
            info!(name = "a\n2026 ERROR forged", "said \u{1b}[2J\r\nforged");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("said \\u{1b}[2J\\r\\nforged"),
            "{lines:?}"
        );
        assert!(!lines[0].contains('\u{1b}'));
    }
}
