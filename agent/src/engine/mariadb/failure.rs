//! What MariaDB or MySQL answered, as the end of a task.

use std::fmt::Display;

use holdfast_proto::task::{FailureKind, TaskFailure};
use mysql_async::Error;

const MAKE_ROOM: &str = "make room on the server's disk (of a copy: the target's), then try again";

/// The failure of a statement, named for what we were doing with it.
#[must_use]
pub fn failed(doing: impl Display, error: &Error) -> TaskFailure {
    let Error::Server(answer) = error else {
        return TaskFailure {
            kind: FailureKind::Unavailable,
            message: format!("{doing}: the connection to the server was lost: {error}"),
            advice: "see whether the server is up: ctl instance list".to_owned(),
            retryable: true,
        };
    };
    let (kind, retryable, advice) = classify(answer.code);
    TaskFailure {
        kind,
        message: format!("{doing}: {} (error {})", answer.message, answer.code),
        advice: advice.to_owned(),
        retryable,
    }
}

/// By the server's own number, which is the same in both.
fn classify(code: u16) -> (FailureKind, bool, &'static str) {
    match code {
        // Another session is in the way; it may be gone next time.
        1205 | 1213 | 1099 | 1223 => (FailureKind::Conflict, true, ""),
        1007 | 1050 | 1304 | 1359 | 1396 | 1537 => (FailureKind::Conflict, false, ""),
        1317 | 1969 | 3024 => (FailureKind::Cancelled, false, ""),
        1044 | 1045 | 1142 | 1143 | 1227 | 1290 | 1370 => (FailureKind::Refused, false, ""),
        1021 | 1114 => (FailureKind::Exhausted, false, MAKE_ROOM),
        1040 | 1041 | 1037 | 1038 | 1203 | 1226 => (FailureKind::Exhausted, true, ""),
        1053 | 1152..=1161 | 1927 => (FailureKind::Unavailable, true, ""),
        // A table changed its shape after the snapshot: another snapshot sees it whole.
        1412 => (
            FailureKind::Conflict,
            true,
            "a table was altered while it was read; try again when no migration runs",
        ),
        // Damaged tables and pages.
        1034 | 1194 | 1195 | 1712 | 1877 => {
            (FailureKind::DataMismatch, false, "see the server's log")
        }
        _ => (FailureKind::Invalid, false, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_try_can_help_is_retryable() {
        for (code, kind, retryable) in [
            (1205, FailureKind::Conflict, true),
            (1114, FailureKind::Exhausted, false),
            (1040, FailureKind::Exhausted, true),
            (1053, FailureKind::Unavailable, true),
            (1045, FailureKind::Refused, false),
            (1412, FailureKind::Conflict, true),
            (1146, FailureKind::Invalid, false),
        ] {
            let (is, again, _) = classify(code);
            assert_eq!((is, again), (kind, retryable), "{code}");
        }
    }
}
