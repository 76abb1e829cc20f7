//! A user-count check: two questions to one snapshot, read only, within a time.
//!
//! Each statement goes through the extended protocol, which takes one statement only: nothing
//! can be put behind a semicolon to get out of the read-only transaction.

use std::{pin::pin, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use futures::TryStreamExt;
use holdfast_proto::{
    check::CheckOutcome,
    fleet::Engine,
    task::{FailureKind, RunCheck, TaskFailure},
};
use tokio::time::{Instant, timeout};
use tokio_postgres::{
    Client, Row,
    error::SqlState,
    types::{FromSql, Type},
};

use super::Context;
use crate::engine::{
    mariadb,
    postgres::{integral::Integral, route::Route},
};

/// The server stops its statements by itself, a moment before the agent tells it to.
const GRACE: Duration = Duration::from_secs(1);

/// Why a statement gives no value; the words an operator reads.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{what} failed: {message}")]
    Statement {
        what: &'static str,
        message: String,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("{what} was stopped: the check took longer than {seconds} s")]
    TooSlow {
        what: &'static str,
        seconds: f64,
        #[source]
        source: tokio_postgres::Error,
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
/// When the instance cannot be worked with, or the task is cancelled.
pub async fn run(spec: RunCheck, context: &Context) -> Result<CheckOutcome, TaskFailure> {
    let instance = &spec.target.instance;
    let located = context.instances.locate(instance)?;
    if located.engine != Engine::Postgres {
        return mariadb::check::run(spec, &located, context).await;
    }
    let route = located.route;
    let database = &spec.target.database;
    let client = route
        .connect(database)
        .await
        .map_err(|e| e.into_failure(instance))?;
    let at = context.clock.now();
    let asked = tokio::select! {
        asked = timeout(spec.timeout + GRACE, ask(&client, &spec)) => match asked {
            Ok(asked) => asked,
            Err(_) => {
                stop(&route, &client).await;
                Err(CheckError::NotEnded { seconds: spec.timeout.as_secs_f64() })
            }
        },
        () = context.cancel.cancelled() => {
            stop(&route, &client).await;
            return Err(TaskFailure {
                kind: FailureKind::Cancelled,
                message: format!("cancelled while checking {instance}/{database}"),
                advice: String::new(),
                retryable: false,
            });
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

/// The limit is one for both statements. It is set anew for the second: the first may have changed it.
async fn ask(client: &Client, spec: &RunCheck) -> Result<(i64, Option<DateTime<Utc>>), CheckError> {
    let seconds = spec.timeout.as_secs_f64();
    let begun = Instant::now();
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}",
        limit(spec.timeout)
    );
    client
        .batch_execute(&begin)
        .await
        .map_err(|e| explain("the transaction", seconds, e))?;
    let count = one_row(client, "the count", &spec.count_sql, seconds).await?;
    let count = integer(&count)?;
    let newest = if spec.newest_sql.trim().is_empty() {
        None
    } else {
        let left = spec.timeout.saturating_sub(begun.elapsed());
        client
            .batch_execute(&limit(left))
            .await
            .map_err(|e| explain("the newest", seconds, e))?;
        let row = one_row(client, "the newest", &spec.newest_sql, seconds).await?;
        moment(&row)?
    };
    // Nothing was written; a server that is gone by now has ended it by itself.
    let _ = client.batch_execute("ROLLBACK").await;
    Ok((count, newest))
}

/// Never 0, which would be no limit.
fn limit(left: Duration) -> String {
    let left = left.as_millis().clamp(1, 1 << 30);
    format!("SET LOCAL statement_timeout = {left}")
}

/// Reads no more than two rows, however many there are.
async fn one_row(
    client: &Client,
    what: &'static str,
    sql: &str,
    seconds: f64,
) -> Result<Row, CheckError> {
    let failed = |e| explain(what, seconds, e);
    let shape = |does: &str| CheckError::Shape {
        what,
        must: "row with one value",
        does: does.to_owned(),
    };
    let statement = client.prepare(sql).await.map_err(failed)?;
    match statement.columns().len() {
        1 => {}
        0 => return Err(shape("it is no query")),
        columns => return Err(shape(&format!("it gives {columns} columns"))),
    }
    let nothing: [&str; 0] = [];
    let mut rows = pin!(
        client
            .query_raw(&statement, nothing)
            .await
            .map_err(failed)?
    );
    let first = rows.try_next().await.map_err(failed)?;
    let first = first.ok_or_else(|| shape("it gives no row"))?;
    match rows.try_next().await.map_err(failed)? {
        None => Ok(first),
        Some(_) => Err(shape("it gives more")),
    }
}

fn integer(row: &Row) -> Result<i64, CheckError> {
    let kind = row.columns()[0].type_();
    let wrong = |does: String| CheckError::Shape {
        what: "the count",
        must: "integer",
        does,
    };
    let value = match *kind {
        Type::INT2 => value::<i16>(row).map(|v| v.map(i64::from)),
        Type::INT4 => value::<i32>(row).map(|v| v.map(i64::from)),
        Type::INT8 => value::<i64>(row),
        Type::NUMERIC => value::<Integral>(row).map(|v| v.map(|n| n.0)),
        _ => return Err(wrong(format!("it gives {kind}"))),
    };
    value
        .map_err(|e| wrong(format!("its value is not one: {e}")))?
        .ok_or_else(|| wrong("it gives NULL".to_owned()))
}

/// Times without zone are UTC, as the session's are; a date is its first moment.
fn moment(row: &Row) -> Result<Option<DateTime<Utc>>, CheckError> {
    let kind = row.columns()[0].type_();
    let wrong = |does: String| CheckError::Shape {
        what: "the newest",
        must: "timestamp or date",
        does,
    };
    let value = match *kind {
        Type::TIMESTAMPTZ => value::<DateTime<Utc>>(row),
        Type::TIMESTAMP => value::<NaiveDateTime>(row).map(|v| v.map(|t| t.and_utc())),
        Type::DATE => {
            value::<NaiveDate>(row).map(|v| v.map(|day| day.and_time(NaiveTime::MIN).and_utc()))
        }
        _ => return Err(wrong(format!("it gives {kind}"))),
    };
    value.map_err(|e| wrong(format!("its value is not one: {e}")))
}

fn value<'a, T: FromSql<'a>>(row: &'a Row) -> Result<Option<T>, String> {
    row.try_get::<_, Option<T>>(0).map_err(|error| {
        let source = std::error::Error::source(&error);
        source.map_or_else(|| error.to_string(), ToString::to_string)
    })
}

fn explain(what: &'static str, seconds: f64, source: tokio_postgres::Error) -> CheckError {
    match source.as_db_error() {
        Some(answer) if *answer.code() == SqlState::QUERY_CANCELED => CheckError::TooSlow {
            what,
            seconds,
            source,
        },
        Some(answer) => CheckError::Statement {
            what,
            message: answer.message().to_owned(),
            source,
        },
        None => CheckError::Statement {
            what,
            message: source.to_string(),
            source,
        },
    }
}

async fn stop(route: &Route, client: &Client) {
    if let Err(error) = route.cancel(client.cancel_token()).await {
        tracing::debug!(%error, "a check's statement could not be stopped; its timeout will");
    }
}
