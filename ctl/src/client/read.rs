//! Fields of operator messages: times, enumerations, parts that must be there.

use chrono::{DateTime, Utc};
use holdfast_proto::{WireError, time::from_timestamp};

/// A time that may be unset.
pub(super) fn time(
    message: &'static str,
    field: &'static str,
    value: Option<prost_types::Timestamp>,
) -> Result<Option<DateTime<Utc>>, WireError> {
    value
        .map(|value| from_timestamp(message, field, Some(value)))
        .transpose()
}

/// A part that must be there.
pub(super) fn required<T>(
    message: &'static str,
    field: &'static str,
    value: Option<T>,
) -> Result<T, WireError> {
    value.ok_or(WireError::Missing { message, field })
}

/// An enumeration: known to this version, and not unspecified.
pub(super) fn variant<W, V>(
    message: &'static str,
    field: &'static str,
    value: i32,
    convert: impl Fn(W) -> Option<V>,
) -> Result<V, WireError>
where
    W: TryFrom<i32>,
{
    W::try_from(value)
        .ok()
        .and_then(convert)
        .ok_or_else(|| WireError::Invalid {
            message,
            field,
            reason: format!("{value} is not a value that this version knows"),
        })
}
