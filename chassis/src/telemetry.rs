//! Logs to stderr and traces by OTLP.
