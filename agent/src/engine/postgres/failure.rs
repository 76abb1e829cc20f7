//! What PostgreSQL answered, as the end of a task.

use std::fmt::Display;

use holdfast_proto::task::{FailureKind, TaskFailure};
use tokio_postgres::error::SqlState;

use super::wire::RawError;

/// A full disk stays full until somebody makes room: what is tried again fills it again.
const MAKE_ROOM: &str = "make room on the server's disk (of a copy: the target's), then try again";

/// A failure without an error behind it.
#[must_use]
pub fn failure(kind: FailureKind, message: impl Display, advice: impl Display) -> TaskFailure {
    TaskFailure {
        kind,
        message: message.to_string(),
        advice: advice.to_string(),
        retryable: kind == FailureKind::Unavailable,
    }
}

/// The failure of a session on a bare socket.
#[must_use]
pub fn raw(doing: impl Display, error: &RawError) -> TaskFailure {
    match error {
        RawError::Server {
            code,
            message,
            hint,
        } => {
            let code = SqlState::from_code(code);
            let (kind, retryable) = classify(&code);
            let message = format!("{doing}: {message} (SQLSTATE {})", code.code());
            TaskFailure {
                retryable,
                ..failure(kind, message, advice(&code, Some(hint)))
            }
        }
        RawError::Miscounted { .. } => failure(
            FailureKind::DataMismatch,
            format!("{doing}: {error}"),
            "try again; if it comes back, look at what lies between agent and server",
        ),
        RawError::Protocol(_) => failure(FailureKind::Internal, format!("{doing}: {error}"), ""),
        RawError::Connect(_) => failure(
            FailureKind::Unavailable,
            format!("{doing}: {error}"),
            "see whether the server is up: ctl instance list",
        ),
        RawError::Broken(source) => failure(
            FailureKind::Unavailable,
            format!("{doing}: {error} ({source})"),
            "see whether the server is up: ctl instance list",
        ),
    }
}

/// The failure of a statement, named for what we were doing with it.
#[must_use]
pub fn failed(doing: &str, error: &tokio_postgres::Error) -> TaskFailure {
    let Some(answer) = error.as_db_error() else {
        let cause =
            std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        return TaskFailure {
            kind: FailureKind::Unavailable,
            message: format!("{doing}: the connection to the server was lost: {cause}"),
            advice: "see whether the server is up: ctl instance list".to_owned(),
            retryable: true,
        };
    };
    let (kind, retryable) = classify(answer.code());
    let mut message = format!("{doing}: {}", answer.message());
    if let Some(detail) = answer.detail() {
        message.push_str(&format!(" ({})", detail.replace('\n', " ")));
    }
    TaskFailure {
        kind,
        message,
        advice: advice(answer.code(), answer.hint()).to_owned(),
        retryable,
    }
}

/// The server's own hint on a full disk says no more than that it is full.
fn advice<'a>(code: &SqlState, hint: Option<&'a str>) -> &'a str {
    match *code {
        SqlState::DISK_FULL => MAKE_ROOM,
        _ => hint.unwrap_or_default(),
    }
}

/// By the class of the SQLSTATE: its first two characters.
fn classify(code: &SqlState) -> (FailureKind, bool) {
    match code.code() {
        // Another session is in the way; it may be gone next time.
        "55006" | "55P03" | "40001" | "40P01" => (FailureKind::Conflict, true),
        "42P04" | "42710" | "42P06" | "42P07" => (FailureKind::Conflict, false),
        "57014" => (FailureKind::Cancelled, false),
        "42501" | "28000" | "28P01" => (FailureKind::Refused, false),
        "53100" => (FailureKind::Exhausted, false),
        state => match &state[..2] {
            "08" | "57" => (FailureKind::Unavailable, true),
            "53" => (FailureKind::Exhausted, true),
            // Damaged data, and errors of the server's own.
            "XX" => (FailureKind::DataMismatch, false),
            _ => (FailureKind::Invalid, false),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_try_can_help_is_retryable() {
        for (state, kind, retryable) in [
            ("55006", FailureKind::Conflict, true),
            ("57P01", FailureKind::Unavailable, true),
            ("53100", FailureKind::Exhausted, false),
            ("53200", FailureKind::Exhausted, true),
            ("53300", FailureKind::Exhausted, true),
            ("42501", FailureKind::Refused, false),
            ("3D000", FailureKind::Invalid, false),
            ("XX001", FailureKind::DataMismatch, false),
        ] {
            assert_eq!(
                classify(&SqlState::from_code(state)),
                (kind, retryable),
                "{state}"
            );
        }
    }

    #[test]
    fn a_full_disk_asks_for_room_whatever_the_server_hints() {
        let told = |code: &str| {
            let message = "could not extend file".to_owned();
            let code = code.to_owned();
            let hint = String::new();
            let error = RawError::Server {
                code,
                message,
                hint,
            };
            raw("loading app.users", &error)
        };
        let full = told("53100");
        assert!(full.advice.contains("the target's"), "{full:?}");
        assert!(!full.retryable && told("53200").retryable);
        assert_eq!(told("53200").advice, "");
        assert_eq!(
            full.message,
            "loading app.users: could not extend file (SQLSTATE 53100)"
        );
        let hint = Some("Check free disk space.");
        assert_eq!(advice(&SqlState::DISK_FULL, hint), MAKE_ROOM);
        assert_eq!(
            advice(&SqlState::OUT_OF_MEMORY, hint),
            "Check free disk space."
        );
    }
}
