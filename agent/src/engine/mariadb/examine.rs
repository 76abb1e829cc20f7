//! Whether a restored database is sound inside: what reading all rows back does not show.
//!
//! It is done in a database that a job made and will drop. What is found wrong is a finding, not a failure.

mod assertions;
mod constraints;
mod tables;

use std::time::Duration;

use holdfast_proto::task::{Examined, ExaminedDatabase, TaskFailure};
use mysql_async::{Error, prelude::Queryable as _};

use super::{
    failure::failed,
    quote::ident,
    session::{self, Session},
    structure,
};
use crate::{engine::postgres::sessions::cancelled, observe::instances::Located, task::Context};

/// Asks whatever the backup holds, then the operator's statements, each of which has `timeout`.
///
/// # Errors
/// When the server does not answer, or the task is cancelled.
pub async fn run(
    located: &Located,
    database: &str,
    statements: &[String],
    timeout: Duration,
    context: &Context,
) -> Result<ExaminedDatabase, TaskFailure> {
    let mut session = Session::open(&located.route)
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let id = session.id();
    tokio::select! {
        examined = all(&mut session, database, statements, timeout) => examined,
        () = context.cancel.cancelled() => {
            // The session would go on with its statement.
            let _ = session::stop(&located.route, id).await;
            Err(cancelled("examining the database"))
        }
    }
}

async fn all(
    session: &mut Session,
    database: &str,
    statements: &[String],
    timeout: Duration,
) -> Result<ExaminedDatabase, TaskFailure> {
    let enter = format!("USE {}", ident(database));
    let entered = session.conn.query_drop(enter).await;
    entered.map_err(|error| failed(format!("entering {database}"), &error))?;
    let stand = structure::count(session, database).await?;
    let mut found = ExaminedDatabase {
        indexes: stand.indexes,
        constraints: stand.constraints,
        ..ExaminedDatabase::default()
    };
    tables::examine(session, database, &mut found).await?;
    constraints::examine(session, database, &mut found).await?;
    for statement in statements {
        let outcome = assertions::ask(session, statement, timeout).await?;
        found.assertions.push(outcome);
    }
    Ok(found)
}

/// What could not be asked about one thing: nobody knows whether it is sound.
///
/// # Errors
/// When it was no answer of the server at all.
fn unknown(found: &mut ExaminedDatabase, name: String, error: &Error) -> Result<(), TaskFailure> {
    let Error::Server(answer) = error else {
        return Err(failed(format!("examining {name}"), error));
    };
    let reason = answer.message.replace('\n', " ");
    found.unknown.push(Examined { name, reason });
    Ok(())
}
