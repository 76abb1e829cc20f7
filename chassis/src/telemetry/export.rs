//! Spans to a collector by OTLP/gRPC, without ever getting in the way.
//!
//! The exporter has a small runtime of its own: it can send the last spans while the process's
//! runtime is shutting down, and a process that has one thread does not wait for itself.

use std::{
    env,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter as Export},
};
use tokio::runtime::{Builder, Runtime};

use super::TelemetryError;

/// Where spans go, and the runtime that carries them there.
#[derive(Debug)]
pub(super) struct Collector {
    variable: &'static str,
    endpoint: String,
    /// Taken when dropped: a runtime must not be waited for by a thread of another.
    runtime: Option<Runtime>,
}

/// Tells about a collector that does not answer once a minute, not once a batch.
#[derive(Debug)]
pub(super) struct QuietExporter {
    endpoint: String,
    inner: SpanExporter,
    losses: Mutex<Losses>,
}

#[derive(Debug, Default)]
struct Losses {
    spans: usize,
    told: Option<Instant>,
}

/// Longer than a collector on the same host or network takes; shorter than an operator's patience at exit.
const TIMEOUT: Duration = Duration::from_secs(2);
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

impl Collector {
    /// `None` when no endpoint is set.
    pub(super) fn from_env() -> Result<Option<Self>, TelemetryError> {
        let found = [
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ]
        .into_iter()
        .find_map(|variable| Some((variable, env::var(variable).ok()?)))
        .filter(|(_, endpoint)| !endpoint.is_empty());
        let Some((variable, endpoint)) = found else {
            return Ok(None);
        };
        Self::new(variable, endpoint).map(Some)
    }

    fn new(variable: &'static str, endpoint: String) -> Result<Self, TelemetryError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(TelemetryError::Runtime)?;
        Ok(Self {
            variable,
            endpoint,
            runtime: Some(runtime),
        })
    }

    /// Connects when the first spans are sent.
    pub(super) fn exporter(&self) -> Result<QuietExporter, TelemetryError> {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        let inner = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&self.endpoint)
            .with_timeout(TIMEOUT)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|source| TelemetryError::Endpoint {
                variable: self.variable,
                endpoint: self.endpoint.clone(),
                source,
            })?;
        Ok(QuietExporter {
            endpoint: self.endpoint.clone(),
            inner,
            losses: Mutex::default(),
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Export for QuietExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        if let Err(error) = &result {
            let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(lost) = losses.add(spans, Instant::now()) {
                tracing::warn!(
                    lost_spans = lost,
                    "could not send traces to {}: {error}; is a collector running there?",
                    self.endpoint
                );
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl Losses {
    /// How many spans to tell of now, if it is time again.
    fn add(&mut self, spans: usize, now: Instant) -> Option<usize> {
        self.spans += spans;
        let due = self
            .told
            .is_none_or(|told| now.duration_since(told) >= BETWEEN_WARNINGS);
        if !due {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.spans))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_once_a_minute_and_none_is_forgotten() {
        let start = Instant::now();
        let mut losses = Losses::default();
        assert_eq!(losses.add(5, start), Some(5));
        assert_eq!(losses.add(7, start + Duration::from_secs(5)), None);
        assert_eq!(losses.add(1, start + Duration::from_secs(59)), None);
        assert_eq!(losses.add(2, start + Duration::from_secs(60)), Some(10));
        assert_eq!(losses.add(1, start + Duration::from_secs(61)), None);
    }

    #[test]
    fn an_endpoint_that_cannot_be_used_is_refused_with_its_variable() {
        let variable = "OTEL_EXPORTER_OTLP_ENDPOINT";
        for endpoint in ["not an address", "https://collector.example.org:4317"] {
            let collector = Collector::new(variable, endpoint.to_owned()).unwrap();
            let error = collector.exporter().unwrap_err().to_string();
            assert!(
                error.contains(&format!("{variable}={endpoint:?}")),
                "{error}"
            );
        }
    }
}
