//! Logs to stderr and traces by OTLP.
//!
//! Every line that is logged inside a span ends with the id of its trace, whether traces are
//! exported or not; so lines of `ctl`, the controller and both agents can be put together.

mod chain;
mod export;
mod log;
mod propagate;
mod rpc;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    borrow::Cow,
    env,
    io::{self, IsTerminal as _},
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub use chain::Chain;
pub use propagate::{
    current_trace_id, current_traceparent, extract, inject, propagate, set_parent, set_parent_from,
};
pub use rpc::{TraceRequests, TracedRequests};

use export::Collector;
use log::LogLayer;

/// What is logged and exported, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// As it appears in traces: "holdfast-agent".
    pub service: &'static str,
    pub version: &'static str,
    pub format: LogFormat,
    /// Used when neither HOLDFAST_LOG nor RUST_LOG is set; "info" for a daemon.
    pub default_filter: Cow<'static, str>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Keeps exporting while it lives; dropping it sends what is left, for three seconds at most.
#[must_use = "spans that have not been sent are lost without it"]
#[derive(Debug)]
pub struct Guard {
    provider: SdkTracerProvider,
    // Dropped after the last spans have been sent.
    _collector: Option<Collector>,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("{variable}={value:?} is not a log filter such as \"info,holdfast_agent=debug\"")]
    Filter {
        variable: &'static str,
        value: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error(
        "cannot export traces to {variable}={endpoint:?}: give a gRPC address such as http://127.0.0.1:4317"
    )]
    Endpoint {
        variable: &'static str,
        endpoint: String,
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    #[error("cannot start the thread that exports traces")]
    Runtime(#[source] io::Error),
    #[error("logging has been set up before in this process")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// More than one attempt to send takes.
const FLUSH: Duration = Duration::from_secs(3);

impl Settings {
    fn resource(&self) -> Resource {
        let mut resource = Resource::builder()
            .with_service_name(self.service)
            .with_attribute(KeyValue::new("service.version", self.version))
            .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
        if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
            resource = resource.with_attribute(KeyValue::new("host.name", host.trim().to_owned()));
        }
        resource.build()
    }
}

/// Sets up logs and traces for this process; once, before anything else.
///
/// Traces go to OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT when one is set.
/// A collector that does not answer costs nothing but a warning a minute. A panic is logged.
///
/// # Errors
/// A variable of the environment makes no sense, or it was called before.
pub fn init(settings: &Settings) -> Result<Guard, TelemetryError> {
    let filter = log_filter(&settings.default_filter)?;
    let collector = Collector::from_env()?;
    let mut provider = SdkTracerProvider::builder().with_resource(settings.resource());
    if let Some(collector) = &collector {
        provider = provider.with_batch_exporter(collector.exporter()?);
    }
    let provider = provider.build();

    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
    let logs = LogLayer::new(settings.format, colour, io::stderr).with_filter(filter);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("holdfast"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(own_spans());
    tracing_subscriber::registry()
        .with(spans)
        .with(logs)
        .try_init()
        .map_err(TelemetryError::Twice)?;
    log_panics();
    Ok(Guard {
        provider,
        _collector: collector,
    })
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What could not be sent has been told by the exporter.
        let _ = self.provider.shutdown_with_timeout(FLUSH);
    }
}

/// Spans of our own crates, whatever the log filter says; those of libraries are noise.
fn own_spans() -> Targets {
    Targets::new()
        .with_target("holdfast", LevelFilter::INFO)
        .with_target("ctl", LevelFilter::INFO)
        .with_default(LevelFilter::OFF)
}

/// Whether a text is a log filter such as "info,holdfast_agent=debug".
///
/// # Errors
/// Why it is none.
pub fn check_filter(text: &str) -> Result<(), String> {
    EnvFilter::try_new(text)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn log_filter(default: &str) -> Result<EnvFilter, TelemetryError> {
    for variable in ["HOLDFAST_LOG", "RUST_LOG"] {
        if let Some(value) = env::var(variable).ok().filter(|value| !value.is_empty()) {
            return EnvFilter::try_new(&value).map_err(|source| TelemetryError::Filter {
                variable,
                value,
                source,
            });
        }
    }
    Ok(EnvFilter::new(default))
}

/// A panic reaches the log, where somebody looks, in the format of the log.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!(%backtrace, "{panic}"),
            _ => tracing::error!("{panic}"),
        }
    }));
}
