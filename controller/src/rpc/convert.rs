//! Between the operators' messages and the controller's own types.
//!
//! Only the controller knows both: what agents share with it is converted in `holdfast-proto`.

mod account;
mod audit;
mod backup;
mod check;
mod data_store;
mod deployment;
mod drill;
mod finding;
pub mod gateway;
mod host;
mod incident;
mod job;
mod policy;
mod runbook;

use std::time::Duration;

use chrono::{DateTime, Utc};

pub use self::{
    account::{operator_role, role},
    backup::{backup_contents, backup_diff, volume_contents},
    drill::{drill_kind, drill_row, wire_kind},
    host::host_row,
    policy::{objective_row, policy_row, retention_row, volume_care, work_row},
};
use super::status::RpcError;

/// Of histories, when the request says 0, and at most.
const DEFAULT_LIMIT: u32 = 100;
const LARGEST_LIMIT: u32 = 10_000;

/// How many lines of a history are meant.
pub fn limit(asked: u32) -> u32 {
    match asked {
        0 => DEFAULT_LIMIT,
        more => more.min(LARGEST_LIMIT),
    }
}

/// As a field that may be unset.
pub fn time(at: DateTime<Utc>) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: at.timestamp(),
        nanos: at.timestamp_subsec_nanos().min(999_999_999).cast_signed(),
    })
}

pub fn duration(span: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(span).ok()
}

/// # Errors
/// When the span is negative or nothing at all.
pub fn positive(span: prost_types::Duration, field: &str) -> Result<Duration, RpcError> {
    match Duration::try_from(span) {
        Ok(span) if !span.is_zero() => Ok(span),
        _ => Err(RpcError::invalid(format!("{field} must be longer than 0"))),
    }
}

/// # Errors
/// When the field is unset.
pub fn required<T>(field: Option<T>, name: &str) -> Result<T, RpcError> {
    field.ok_or_else(|| RpcError::invalid(format!("{name} is missing")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_as_the_contract_says() {
        assert_eq!([0, 1, 10_000, 10_001].map(limit), [100, 1, 10_000, 10_000]);
    }

    #[test]
    fn a_span_is_longer_than_nothing() {
        let span = |seconds, nanos| positive(prost_types::Duration { seconds, nanos }, "keep");
        assert_eq!(span(1, 5).unwrap(), Duration::new(1, 5));
        for (seconds, nanos) in [(0, 0), (-1, 0), (0, -5)] {
            let error = span(seconds, nanos).unwrap_err();
            assert_eq!(error.message, "keep must be longer than 0");
        }
    }

    #[test]
    fn a_time_before_1970_keeps_its_fraction() {
        let at = DateTime::from_timestamp(-2, 250_000_000).unwrap();
        let wire = time(at).unwrap();
        assert_eq!((wire.seconds, wire.nanos), (-2, 250_000_000));
    }
}
