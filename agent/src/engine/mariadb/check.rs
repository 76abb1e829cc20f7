//! A user-count check on MariaDB or MySQL: two questions to one snapshot, read only, within a time.
//!
//! Each statement is prepared, which takes one statement only: nothing can be put behind a semicolon to get out of
//! the read-only transaction. What gives no columns (CALL, COMMIT, INTO OUTFILE) is not executed at all.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use holdfast_proto::{
    check::CheckOutcome,
    task::{RunCheck, TaskFailure},
};
use mysql_async::{Error, Value, consts::ColumnType, prelude::Queryable};
use tokio::time::{Instant, timeout};

use super::{
    failure::failed,
    quote::ident,
    session::{self, Session},
};
use crate::{engine::postgres::sessions::cancelled, observe::instances::Located, task::Context};

/// The server stops its statements by itself, a moment before the agent tells it to.
const GRACE: Duration = Duration::from_secs(1);
/// The statement took too long, or somebody stopped it.
const STOPPED: [u16; 3] = [1969, 3024, 1317];

/// Why a statement gives no value; the words an operator reads.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error("{what} failed: {message}")]
    Statement {
        what: &'static str,
        message: String,
        #[source]
        source: Error,
    },
    #[error("{what} was stopped: the check took longer than {seconds} s")]
    TooSlow {
        what: &'static str,
        seconds: f64,
        #[source]
        source: Error,
    },
    #[error(
        "the check took longer than {seconds} s: the server did not end it by itself, and was told to"
    )]
    NotEnded { seconds: f64 },
    #[error("{what} must give exactly one {must}, but {does}")]
    Shape {
        what: &'static str,
        must: &'static str,
        does: String,
    },
}

/// Runs both statements. What is wrong with them is in the outcome, not a failure.
///
/// # Errors
/// When the instance or the database cannot be worked with, or the task is cancelled.
pub async fn run(
    spec: RunCheck,
    located: &Located,
    context: &Context,
) -> Result<CheckOutcome, TaskFailure> {
    let place = format!("{}/{}", spec.target.instance, spec.target.database);
    let mut session = Session::open(&located.route)
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let enter = format!("USE {}", ident(&spec.target.database));
    session
        .conn
        .query_drop(enter)
        .await
        .map_err(|error| failed(format!("entering {place}"), &error))?;
    let at = context.clock.now();
    let id = session.id();
    let asked = tokio::select! {
        asked = timeout(spec.timeout + GRACE, ask(&mut session, &spec)) => match asked {
            Ok(asked) => asked,
            Err(_) => {
                stop(located, id).await;
                Err(CheckError::NotEnded { seconds: spec.timeout.as_secs_f64() })
            }
        },
        () = context.cancel.cancelled() => {
            stop(located, id).await;
            return Err(cancelled(&format!("checking {place}")));
        }
    };
    Ok(match asked {
        Ok((count, newest)) => CheckOutcome {
            at,
            count: Some(count),
            newest,
            error: String::new(),
        },
        Err(error) => CheckOutcome {
            at,
            count: None,
            newest: None,
            error: error.to_string(),
        },
    })
}

async fn stop(located: &Located, session: u32) {
    if let Err(error) = session::stop(&located.route, session).await {
        tracing::debug!(%error, "a check's statement could not be stopped; its timeout will");
    }
}

/// The limit is one for both statements. It is set anew for the second: the first may have changed it.
async fn ask(
    session: &mut Session,
    spec: &RunCheck,
) -> Result<(i64, Option<DateTime<Utc>>), CheckError> {
    let seconds = spec.timeout.as_secs_f64();
    let begun = Instant::now();
    let first = limit(session, spec.timeout);
    for statement in [
        first.as_str(),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ] {
        let prepared = session.conn.query_drop(statement).await;
        prepared.map_err(|error| explain("the transaction", seconds, error))?;
    }
    let (kind, count) = one_value(session, "the count", &spec.count_sql, seconds).await?;
    let count = integer(kind, &count)?;
    let newest = if spec.newest_sql.trim().is_empty() {
        None
    } else {
        let second = limit(session, spec.timeout.saturating_sub(begun.elapsed()));
        let prepared = session.conn.query_drop(second).await;
        prepared.map_err(|error| explain("the newest", seconds, error))?;
        let (kind, newest) = one_value(session, "the newest", &spec.newest_sql, seconds).await?;
        moment(kind, &newest)?
    };
    // Nothing was written; a server that is gone by now has ended it by itself.
    let _ = session.conn.query_drop("ROLLBACK").await;
    Ok((count, newest))
}

/// Never 0, which would be no limit.
pub(super) fn limit(session: &Session, left: Duration) -> String {
    if session.is_mariadb() {
        let seconds = left.as_secs_f64().clamp(0.001, 31_536_000.0);
        format!("SET SESSION max_statement_time = {seconds:.3}")
    } else {
        let milliseconds = left.as_millis().clamp(1, 1 << 31);
        format!("SET SESSION max_execution_time = {milliseconds}")
    }
}

/// Reads no more than two rows, however many there are.
pub(super) async fn one_value(
    session: &mut Session,
    what: &'static str,
    sql: &str,
    seconds: f64,
) -> Result<(ColumnType, Value), CheckError> {
    let explained = |error| explain(what, seconds, error);
    let shape = |does: &str| CheckError::Shape {
        what,
        must: "row with one value",
        does: does.to_owned(),
    };
    let statement = session.conn.prep(sql).await.map_err(explained)?;
    let kind = match &*statement.columns() {
        [column] => column.column_type(),
        [] => return Err(shape("it is no query")),
        columns => return Err(shape(&format!("it gives {} columns", columns.len()))),
    };
    let mut rows = session
        .conn
        .exec_iter(&statement, ())
        .await
        .map_err(explained)?;
    let first = rows.next().await.map_err(explained)?;
    let first = first.ok_or_else(|| shape("it gives no row"))?;
    if rows.next().await.map_err(explained)?.is_some() {
        return Err(shape("it gives more"));
    }
    rows.drop_result().await.map_err(explained)?;
    let value = first.unwrap_raw().into_iter().flatten().next();
    Ok((kind, value.unwrap_or(Value::NULL)))
}

fn integer(kind: ColumnType, value: &Value) -> Result<i64, CheckError> {
    let wrong = |does: String| CheckError::Shape {
        what: "the count",
        must: "integer",
        does,
    };
    let not_one = |why: &str| wrong(format!("its value is not one: {why}"));
    match value {
        Value::NULL => Err(wrong("it gives NULL".to_owned())),
        Value::Int(number) => Ok(*number),
        Value::UInt(number) => i64::try_from(*number).map_err(|_| not_one("it is too large")),
        Value::Bytes(text) if is_decimal(kind) => whole(text).map_err(not_one),
        _ => Err(wrong(format!("it gives {}", name(kind)))),
    }
}

/// "120" and "120.00", as sums come.
fn whole(text: &[u8]) -> Result<i64, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "it is damaged")?;
    let (number, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.bytes().any(|digit| digit != b'0') {
        return Err("it is not a whole number");
    }
    number.parse().map_err(|_| "it is too large")
}

/// Times without zone are UTC, as the session's are; a date is its first moment.
fn moment(kind: ColumnType, value: &Value) -> Result<Option<DateTime<Utc>>, CheckError> {
    let wrong = |does: String| CheckError::Shape {
        what: "the newest",
        must: "timestamp or date",
        does,
    };
    let is_time = matches!(
        kind,
        ColumnType::MYSQL_TYPE_TIMESTAMP
            | ColumnType::MYSQL_TYPE_TIMESTAMP2
            | ColumnType::MYSQL_TYPE_DATETIME
            | ColumnType::MYSQL_TYPE_DATETIME2
            | ColumnType::MYSQL_TYPE_DATE
            | ColumnType::MYSQL_TYPE_NEWDATE
    );
    match value {
        _ if !is_time => Err(wrong(format!("it gives {}", name(kind)))),
        Value::NULL => Ok(None),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            let date = NaiveDate::from_ymd_opt((*year).into(), (*month).into(), (*day).into());
            let at = date.and_then(|date| {
                date.and_hms_micro_opt((*hour).into(), (*minute).into(), (*second).into(), *micros)
            });
            let told = format!("{year:04}-{month:02}-{day:02}");
            at.map(|at| Some(at.and_utc()))
                .ok_or_else(|| wrong(format!("its value is not one: {told}")))
        }
        _ => Err(wrong(format!("it gives {}", name(kind)))),
    }
}

fn is_decimal(kind: ColumnType) -> bool {
    matches!(
        kind,
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL
    )
}

/// "varchar" of `MYSQL_TYPE_VAR_STRING`.
fn name(kind: ColumnType) -> String {
    match kind {
        ColumnType::MYSQL_TYPE_VAR_STRING | ColumnType::MYSQL_TYPE_STRING => "text".to_owned(),
        kind => format!("{kind:?}")
            .trim_start_matches("MYSQL_TYPE_")
            .to_ascii_lowercase(),
    }
}

fn explain(what: &'static str, seconds: f64, source: Error) -> CheckError {
    match &source {
        Error::Server(answer) if STOPPED.contains(&answer.code) => CheckError::TooSlow {
            what,
            seconds,
            source,
        },
        Error::Server(answer) => CheckError::Statement {
            what,
            message: answer.message.clone(),
            source,
        },
        _ => CheckError::Statement {
            what,
            message: source.to_string(),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_and_others_are_told_apart() {
        assert_eq!(whole(b"120"), Ok(120));
        assert_eq!(whole(b"-120.00"), Ok(-120));
        assert_eq!(whole(b"1.50"), Err("it is not a whole number"));
        assert_eq!(whole(b"99999999999999999999"), Err("it is too large"));
    }
}
