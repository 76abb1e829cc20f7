//! Whether a restored database is sound inside: what reading all rows back does not show.
//!
//! It is done in a database that a job made and will drop. What is found wrong is a finding, not a failure.

mod assertions;
mod constraints;
mod indexes;

use std::time::Duration;

use holdfast_proto::task::{Examined, ExaminedDatabase, TaskFailure};
use tokio_postgres::{Client, error::SqlState};

use super::failure::failed;

/// Schemas whose things a backup holds.
const OWN_SCHEMAS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// # Errors
/// When the server does not answer.
pub async fn all(
    client: &Client,
    statements: &[String],
    timeout: Duration,
) -> Result<ExaminedDatabase, TaskFailure> {
    let mut found = ExaminedDatabase::default();
    indexes::examine(client, &mut found).await?;
    constraints::examine(client, &mut found).await?;
    for statement in statements {
        let outcome = assertions::ask(client, statement, timeout).await?;
        found.assertions.push(outcome);
    }
    Ok(found)
}

/// Sorts what a statement on one thing failed with: it is broken, or nobody knows.
///
/// # Errors
/// When it was no answer of the server at all.
fn note(
    found: &mut ExaminedDatabase,
    name: &str,
    error: &tokio_postgres::Error,
    is_broken: fn(&SqlState) -> bool,
) -> Result<(), TaskFailure> {
    let Some(answer) = error.as_db_error() else {
        return Err(failed(&format!("examining {name}"), error));
    };
    let detail = answer.detail().unwrap_or_default();
    let reason = format!("{} {detail}", answer.message()).replace('\n', " ");
    let list = if is_broken(answer.code()) {
        &mut found.broken
    } else {
        &mut found.unknown
    };
    list.push(Examined {
        name: name.to_owned(),
        reason: reason.trim().to_owned(),
    });
    Ok(())
}
