//! Databases as wholes: which there are, making, renaming and dropping them.

use std::time::Duration;

use holdfast_proto::task::{FailureKind, TaskFailure};
use tokio_postgres::Client;

use super::{
    failure::failed,
    quote::{ident, literal},
    settings,
};
use crate::{observe::instances::Located, task::Context};

/// Databases of every server; one of them is connected to for work on the others.
pub(crate) const MAINTENANCE: [&str; 2] = ["postgres", "template1"];
/// How long sessions get to end after they were told to.
const SESSIONS_END: Duration = Duration::from_secs(30);
/// Marks that a job puts into the names of databases it makes, before its own number.
const MARKS: [&str; 4] = ["__staging_", "__before_", "__undone_", "__merged_"];

/// What the catalog says of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub oid: u32,
    pub allows_connections: bool,
}

/// True for a name that only a job of ours gives: mark and number at its end.
#[must_use]
pub fn is_marked(name: &str) -> bool {
    MARKS.iter().any(|mark| ends_with_mark(name, mark))
}

fn is_staging(name: &str) -> bool {
    ends_with_mark(name, MARKS[0])
}

fn ends_with_mark(name: &str, mark: &str) -> bool {
    name.rfind(mark).is_some_and(|at| {
        let number = &name[at + mark.len()..];
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Connects to a database from which the others can be worked on.
///
/// # Errors
/// When the instance is not known, down, or lets nobody into any maintenance database.
pub async fn maintenance(
    context: &Context,
    instance: &str,
) -> Result<(Located, Client), TaskFailure> {
    let located = context.instances.locate(instance)?;
    let mut refusal = None;
    for database in MAINTENANCE {
        match located.route.connect(database).await {
            Ok(client) => {
                let limited = client.batch_execute(settings::LOCK_LIMIT).await;
                limited.map_err(|error| failed("preparing a session", &error))?;
                return Ok((located, client));
            }
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(refusal.map_or_else(
        || internal("no maintenance database was tried"),
        |error| error.into_failure(instance),
    ))
}

/// Drops a database that is or was a copy of ours, with its sessions. Absent is success.
///
/// A copy carries the subscriptions of its source, never enabled: they are dropped first, without a
/// word to the publisher, whose slots are the source's. A database that was replaced by a copy may have
/// subscriptions of its own: with those the server refuses, and the operator decides.
///
/// # Errors
/// What the server says.
pub async fn drop_copy(located: &Located, client: &Client, name: &str) -> Result<(), TaskFailure> {
    let doing = format!("dropping database {name:?}");
    if name.contains(MARKS[0]) || name.contains(MARKS[2]) {
        let row = client
            .query_one(
                "SELECT count(*) FROM pg_catalog.pg_subscription s \
                 JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = $1",
                &[&name],
            )
            .await
            .map_err(|error| failed(&doing, &error))?;
        if row.get::<_, i64>(0) > 0 {
            drop_subscriptions(located, name).await?;
        }
    }
    let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(name));
    let dropped = execute(client, &doing, &statement).await;
    dropped.map_err(|failure| match failure.kind {
        // An error inside the server: a drop begins with a checkpoint, which a full disk does not let happen.
        FailureKind::DataMismatch => TaskFailure {
            kind: FailureKind::Unavailable,
            advice: "see the server's log, and whether its disk has room".to_owned(),
            retryable: true,
            ..failure
        },
        _ => failure,
    })
}

async fn drop_subscriptions(located: &Located, database: &str) -> Result<(), TaskFailure> {
    let doing = format!("dropping the subscriptions of the copy {database:?}");
    let inside = located
        .route
        .connect(database)
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let rows = inside
        .query(
            "SELECT s.subname::text FROM pg_catalog.pg_subscription s \
             JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
             WHERE d.datname = pg_catalog.current_database()",
            &[],
        )
        .await
        .map_err(|error| failed(&doing, &error))?;
    for row in rows {
        let name = ident(row.get(0));
        for statement in [
            format!("ALTER SUBSCRIPTION {name} DISABLE"),
            format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)"),
            format!("DROP SUBSCRIPTION {name}"),
        ] {
            execute(&inside, &doing, &statement).await?;
        }
    }
    Ok(())
}

/// # Errors
/// When the server does not answer.
pub async fn find(client: &Client, name: &str) -> Result<Option<Entry>, TaskFailure> {
    let row = client
        .query_opt(
            "SELECT oid, datallowconn FROM pg_catalog.pg_database WHERE datname = $1",
            &[&name],
        )
        .await
        .map_err(|error| failed(&format!("looking up database {name:?}"), &error))?;
    Ok(row.map(|row| Entry {
        oid: row.get(0),
        allows_connections: row.get(1),
    }))
}

/// A staging database of another job than this one: its copy is being made on this server.
///
/// # Errors
/// When the server does not answer.
pub async fn staging_of_others(client: &Client, job: u64) -> Result<Option<String>, TaskFailure> {
    let rows = client
        .query(
            "SELECT datname::text FROM pg_catalog.pg_database ORDER BY 1",
            &[],
        )
        .await
        .map_err(|error| failed("reading which databases there are", &error))?;
    let own = format!("{}{job}", MARKS[0]);
    Ok(rows
        .iter()
        .map(|row| row.get::<_, String>(0))
        .find(|name| is_staging(name) && !name.ends_with(&own)))
}

/// # Errors
/// When the server refuses.
pub async fn allow_connections(
    client: &Client,
    name: &str,
    allow: bool,
) -> Result<(), TaskFailure> {
    let statement = format!(
        "ALTER DATABASE {} WITH ALLOW_CONNECTIONS {allow}",
        ident(name)
    );
    execute(
        client,
        &format!("setting whether {name:?} takes connections"),
        &statement,
    )
    .await
}

/// Ends every session on the databases and waits until none is left. Gives how many it told to end.
///
/// # Errors
/// `Conflict`, retryable, when some do not end in time.
pub async fn end_sessions(client: &Client, names: &[&str]) -> Result<u32, TaskFailure> {
    let list = names
        .iter()
        .map(|name| literal(name))
        .collect::<Vec<_>>()
        .join(", ");
    let doing = format!("ending the sessions on {list}");
    let statement = format!(
        "SELECT count(pg_catalog.pg_terminate_backend(pid))::int4 FROM pg_catalog.pg_stat_activity \
         WHERE datname IN ({list}) AND pid <> pg_catalog.pg_backend_pid()"
    );
    let deadline = tokio::time::Instant::now() + SESSIONS_END;
    let mut ended = 0;
    loop {
        let row = client
            .query_one(&statement, &[])
            .await
            .map_err(|error| failed(&doing, &error))?;
        let told: i32 = row.get(0);
        if told == 0 {
            return Ok(ended);
        }
        ended = ended.max(u32::try_from(told).unwrap_or_default());
        if tokio::time::Instant::now() > deadline {
            return Err(TaskFailure {
                kind: FailureKind::Conflict,
                message: format!(
                    "{doing}: {told} did not end within {} s",
                    SESSIONS_END.as_secs()
                ),
                advice: "see what they do: select * from pg_stat_activity".to_owned(),
                retryable: true,
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs statements that give no rows.
///
/// # Errors
/// Named for what we were doing.
pub async fn execute(client: &Client, doing: &str, statements: &str) -> Result<(), TaskFailure> {
    client
        .batch_execute(statements)
        .await
        .map_err(|error| failed(doing, &error))
}

/// A defect of ours.
#[must_use]
pub fn internal(message: &str) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Internal,
        message: message.to_owned(),
        advice: "report this as a defect, with the agent's log".to_owned(),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_marked;

    #[test]
    fn only_names_of_jobs_are_marked() {
        assert!(is_marked("shop_test__before_42"));
        assert!(is_marked("a__staging_1"));
        assert!(is_marked("a__merged_1"));
        assert!(is_marked("x__staging_1__undone_2"));
        for name in [
            "shop",
            "shop__before_",
            "shop__before_4x",
            "shop__before_42_",
            "__before_x1",
        ] {
            assert!(!is_marked(name), "{name}");
        }
    }
}
