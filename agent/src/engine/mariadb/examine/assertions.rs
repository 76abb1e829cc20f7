//! An operator's own statements: each must give one row with one true value, read only, within its time.

use std::time::Duration;

use holdfast_proto::task::{AssertionOutcome, TaskFailure};
use mysql_async::{Error, Value, prelude::Queryable as _};

use crate::engine::mariadb::{
    check::{CheckError, limit, one_value},
    failure::failed,
    session::Session,
};

/// # Errors
/// When the server does not answer. What is wrong with the statement is in the outcome.
pub(super) async fn ask(
    session: &mut Session,
    statement: &str,
    timeout: Duration,
) -> Result<AssertionOutcome, TaskFailure> {
    let explain = |error: &Error| failed("asking an assertion", error);
    let limit = limit(session, timeout);
    for prepared in [
        limit.as_str(),
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ] {
        let done = session.conn.query_drop(prepared).await;
        done.map_err(|error| explain(&error))?;
    }
    let answered = one_value(session, "it", statement, timeout.as_secs_f64()).await;
    let ended = session.conn.query_drop("ROLLBACK").await;
    let (holds, reason) = match answered {
        Ok((_, value)) => verdict(&value),
        Err(CheckError::Statement { source, .. }) if !matches!(source, Error::Server(_)) => {
            return Err(explain(&source));
        }
        Err(error) => (None, error.to_string()),
    };
    ended.map_err(|error| explain(&error))?;
    Ok(AssertionOutcome {
        statement: statement.to_owned(),
        holds,
        reason,
    })
}

/// A truth is the number 1 or 0 here; any other is a mistake in the statement, such as a count without a limit.
fn verdict(value: &Value) -> (Option<bool>, String) {
    match value {
        Value::Int(1) | Value::UInt(1) => (Some(true), String::new()),
        Value::Int(0) | Value::UInt(0) => (Some(false), "it gave false".to_owned()),
        Value::NULL => (Some(false), "it gave NULL".to_owned()),
        Value::Int(number) => (None, format!("it gives {number}, not true or false")),
        _ => (None, "it gives no true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_no_truth() {
        assert_eq!(verdict(&Value::Int(1)).0, Some(true));
        assert_eq!(verdict(&Value::Int(0)).0, Some(false));
        assert_eq!(verdict(&Value::NULL).0, Some(false));
        assert_eq!(verdict(&Value::Int(5000)).0, None);
        assert_eq!(verdict(&Value::Bytes(b"yes".to_vec())).0, None);
    }
}
