//! Retry with jittered backoff; the only place that names the backoff library.
