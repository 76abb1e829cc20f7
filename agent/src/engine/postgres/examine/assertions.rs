//! An operator's own statements: each must give one row with one `true`, read only, within its time.

use std::{pin::pin, time::Duration};

use futures::TryStreamExt;
use holdfast_proto::task::{AssertionOutcome, TaskFailure};
use tokio_postgres::{Client, types::Type};

use crate::engine::postgres::failure::failed;

/// # Errors
/// When the server does not answer. What is wrong with the statement is in the outcome.
pub(super) async fn ask(
    client: &Client,
    statement: &str,
    timeout: Duration,
) -> Result<AssertionOutcome, TaskFailure> {
    let limit = timeout.as_millis().clamp(1, 1 << 30);
    let begin = format!(
        "RESET search_path; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {limit}"
    );
    let explain = |error| failed("asking an assertion", &error);
    client.batch_execute(&begin).await.map_err(explain)?;
    let answered = answer(client, statement).await;
    client.batch_execute("ROLLBACK").await.map_err(explain)?;
    let (holds, reason) = match answered {
        Ok(Answer::Is(true)) => (Some(true), String::new()),
        Ok(Answer::Is(false)) => (Some(false), "it gave false".to_owned()),
        Ok(Answer::Null) => (Some(false), "it gave NULL".to_owned()),
        Ok(Answer::No(why)) => (None, why),
        Err(error) => match error.as_db_error() {
            Some(answer) => (None, answer.message().replace('\n', " ")),
            None => return Err(failed("asking an assertion", &error)),
        },
    };
    Ok(AssertionOutcome {
        statement: statement.to_owned(),
        holds,
        reason,
    })
}

enum Answer {
    Is(bool),
    Null,
    /// It is no assertion.
    No(String),
}

/// Through the extended protocol, which takes one statement only: nothing gets out of the transaction.
async fn answer(client: &Client, statement: &str) -> Result<Answer, tokio_postgres::Error> {
    let prepared = client.prepare(statement).await?;
    match prepared.columns() {
        [column] if *column.type_() == Type::BOOL => {}
        [column] => {
            return Ok(Answer::No(format!(
                "it gives {}, not boolean",
                column.type_()
            )));
        }
        columns => {
            return Ok(Answer::No(format!(
                "it gives {} columns, not one",
                columns.len()
            )));
        }
    }
    let nothing: [&str; 0] = [];
    let mut rows = pin!(client.query_raw(&prepared, nothing).await?);
    let Some(first) = rows.try_next().await? else {
        return Ok(Answer::No("it gives no row".to_owned()));
    };
    if rows.try_next().await?.is_some() {
        return Ok(Answer::No("it gives more than one row".to_owned()));
    }
    let value: Option<bool> = first.try_get(0)?;
    Ok(value.map_or(Answer::Null, Answer::Is))
}
