//! Times and durations of wire messages that have no domain type of their own (operator messages).

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    WireError,
    convert::{Field as _, read},
};

#[must_use]
pub fn to_timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    at.write()
}

/// # Errors
/// Missing or out of range, with the names given.
pub fn from_timestamp(
    message: &'static str,
    field: &'static str,
    wire: Option<prost_types::Timestamp>,
) -> Result<DateTime<Utc>, WireError> {
    read(message, field, wire)
}

#[must_use]
pub fn to_duration(length: Duration) -> prost_types::Duration {
    length.write()
}

/// # Errors
/// Missing, below zero or out of range, with the names given.
pub fn from_duration(
    message: &'static str,
    field: &'static str,
    wire: Option<prost_types::Duration>,
) -> Result<Duration, WireError> {
    read(message, field, wire)
}
