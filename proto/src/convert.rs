//! Between wire and domain. In: `TryFrom`, every field looked at. Out: `From`, cannot fail.

/// Why a message of the wire makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("{message}.{field} is missing")]
    Missing {
        message: &'static str,
        field: &'static str,
    },
    #[error("{message}.{field} is not valid: {reason}")]
    Invalid {
        message: &'static str,
        field: &'static str,
        reason: String,
    },
}
