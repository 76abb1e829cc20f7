//! Databases as wholes: which there are, making and dropping them, the sessions in them.

use std::{collections::BTreeSet, time::Duration};

use holdfast_proto::task::{FailureKind, Role, StageDatabase, TaskFailure};
use mysql_async::{Error, prelude::Queryable};

use super::{
    failure::failed,
    grants, membership,
    quote::{ident, literal},
    session::Session,
};
use crate::{
    engine::postgres::{databases::is_marked, failure::failure},
    observe::instances::Located,
};

/// How long sessions get to end after they were told to.
const SESSIONS_END: Duration = Duration::from_secs(30);
/// Of the server itself.
const SYSTEM: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// A session for work on databases.
///
/// # Errors
/// When the server is not reached.
pub async fn maintenance(located: &Located) -> Result<Session, TaskFailure> {
    let mut session = Session::open(&located.route)
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let mode = session.no_new_accounts();
    execute(
        &mut session,
        "preparing a session",
        &format!("SET SESSION sql_mode = '{mode}'"),
    )
    .await?;
    Ok(session)
}

/// # Errors
/// When the server does not answer.
pub async fn exists(session: &mut Session, name: &str) -> Result<bool, TaskFailure> {
    let sql = format!(
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name = {}",
        literal(name)
    );
    let found: Option<String> = session
        .conn
        .query_first(sql)
        .await
        .map_err(|error| failed(format!("looking up database {name:?}"), &error))?;
    Ok(found.is_some())
}

/// Makes accounts that are missing, none of which can log in, and an empty staging database.
///
/// # Errors
/// `Refused` when the staging name carries no job's mark; otherwise what the server said.
pub async fn stage(located: &Located, spec: &StageDatabase) -> Result<Vec<String>, TaskFailure> {
    let name = &spec.staging.database;
    refuse_unmarked(name)?;
    let mut session = maintenance(located).await?;
    let created = create_accounts(&mut session, &spec.roles).await?;
    drop_database(&mut session, name).await?;
    create(&mut session, name, &spec.encoding, &spec.collate).await?;
    Ok(created)
}

/// An empty staging database again, like the one that was made.
///
/// # Errors
/// `Refused` when its name carries no job's mark; `Invalid` when there is none.
pub async fn empty(located: &Located, name: &str) -> Result<(), TaskFailure> {
    refuse_unmarked(name)?;
    let mut session = maintenance(located).await?;
    let sql = format!(
        "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata \
         WHERE schema_name = {}",
        literal(name)
    );
    let about: Option<(String, String)> = session
        .conn
        .query_first(sql)
        .await
        .map_err(|error| failed(format!("looking up database {name:?}"), &error))?;
    let Some((charset, collation)) = about else {
        return Err(failure(
            FailureKind::Invalid,
            format!("the staging database {name:?} is gone"),
            "copy again",
        ));
    };
    drop_database(&mut session, name).await?;
    create(&mut session, name, &charset, &collation).await
}

/// Drops a database that a job made, with the rights on it. Absent is success. Gives whether it existed.
///
/// # Errors
/// `Refused` for a name without a job's mark; otherwise what the server said.
pub async fn drop_copy(located: &Located, name: &str) -> Result<bool, TaskFailure> {
    refuse_unmarked(name)?;
    let mut session = maintenance(located).await?;
    let existed = exists(&mut session, name).await?;
    drop_database(&mut session, name).await?;
    Ok(existed)
}

/// Ends every session in the databases and waits until none is left. Gives how many it told to end.
///
/// # Errors
/// `Conflict`, retryable, when some do not end in time.
pub async fn end_sessions(session: &mut Session, names: &[&str]) -> Result<u32, TaskFailure> {
    let list: Vec<String> = names.iter().map(|name| literal(name)).collect();
    let doing = format!("ending the sessions on {}", list.join(", "));
    let sql = format!(
        "SELECT id FROM information_schema.processlist WHERE db IN ({}) AND id <> CONNECTION_ID()",
        list.join(", ")
    );
    let deadline = tokio::time::Instant::now() + SESSIONS_END;
    let mut told = BTreeSet::new();
    loop {
        let there: Vec<u64> = session
            .conn
            .query(sql.as_str())
            .await
            .map_err(|error| failed(&doing, &error))?;
        if there.is_empty() {
            return Ok(u32::try_from(told.len()).unwrap_or(u32::MAX));
        }
        for id in &there {
            match session
                .conn
                .query_drop(format!("KILL CONNECTION {id}"))
                .await
            {
                // It may be gone already.
                Ok(()) | Err(Error::Server(_)) => told.insert(*id),
                Err(error) => return Err(failed(&doing, &error)),
            };
        }
        if tokio::time::Instant::now() > deadline {
            return Err(TaskFailure {
                kind: FailureKind::Conflict,
                message: format!(
                    "{doing}: {} did not end within {} s",
                    there.len(),
                    SESSIONS_END.as_secs()
                ),
                advice: "see what they do: SHOW FULL PROCESSLIST".to_owned(),
                retryable: true,
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// # Errors
/// What the server said.
pub async fn create(
    session: &mut Session,
    name: &str,
    charset: &str,
    collation: &str,
) -> Result<(), TaskFailure> {
    let mut statement = format!("CREATE DATABASE IF NOT EXISTS {}", ident(name));
    if !charset.is_empty() {
        statement.push_str(&format!(" CHARACTER SET {}", literal(charset)));
    }
    if !collation.is_empty() {
        statement.push_str(&format!(" COLLATE {}", literal(collation)));
    }
    execute(
        session,
        &format!("creating the database {name:?}"),
        &statement,
    )
    .await
}

/// With the rights on it, which a server keeps for the next database of the name.
///
/// # Errors
/// What the server said.
pub async fn drop_database(session: &mut Session, name: &str) -> Result<(), TaskFailure> {
    let doing = format!("dropping database {name:?}");
    let rights = grants::of(&mut session.conn, name)
        .await
        .map_err(|error| failed(&doing, &error))?;
    execute(
        session,
        &doing,
        &format!("DROP DATABASE IF EXISTS {}", ident(name)),
    )
    .await?;
    for grant in rights {
        // Gone with its table or routine in some versions, and not in others.
        match session.conn.query_drop(grant.revocation(name)).await {
            Ok(()) | Err(Error::Server(_)) => {}
            Err(error) => return Err(failed(&doing, &error)),
        }
    }
    Ok(())
}

/// Runs a statement that gives no rows.
///
/// # Errors
/// Named for what we were doing.
pub async fn execute(
    session: &mut Session,
    doing: &str,
    statement: &str,
) -> Result<(), TaskFailure> {
    let done = session.conn.query_drop(statement).await;
    done.map_err(|error| failed(doing, &error))
}

#[must_use]
pub fn is_system(name: &str) -> bool {
    SYSTEM.contains(&name.to_ascii_lowercase().as_str())
}

fn refuse_unmarked(name: &str) -> Result<(), TaskFailure> {
    if is_marked(name) {
        return Ok(());
    }
    let message = format!("database {name:?} is not touched: no job of Holdfast made it");
    Err(failure(FailureKind::Refused, message, ""))
}

/// Their passwords stay where they are: a new account has one that nothing matches. Gives the names.
async fn create_accounts(
    session: &mut Session,
    wanted: &[Role],
) -> Result<Vec<String>, TaskFailure> {
    let known = grants::accounts(&mut session.conn)
        .await
        .map_err(|error| failed("reading the server's accounts", &error))?;
    let known: BTreeSet<String> = known.into_iter().flatten().map(|role| role.name).collect();
    let mut created = Vec::new();
    for role in wanted.iter().filter(|role| !known.contains(&role.name)) {
        let name = &role.name;
        let statement = match (role.login, session.is_mariadb()) {
            (false, _) => format!("CREATE ROLE IF NOT EXISTS {name}"),
            (true, true) => {
                format!(
                    "CREATE USER IF NOT EXISTS {name} IDENTIFIED VIA mysql_native_password USING 'invalid'"
                )
            }
            (true, false) => format!("CREATE USER IF NOT EXISTS {name} ACCOUNT LOCK"),
        };
        execute(session, &format!("creating the account {name}"), &statement).await?;
        created.push(name.clone());
    }
    // Among those that were made now: nobody who was there before gets a right by it.
    for role in wanted.iter().filter(|role| created.contains(&role.name)) {
        let has = |of: &String| created.contains(of);
        let among = Role {
            member_of: role
                .member_of
                .iter()
                .filter(|of| has(of))
                .cloned()
                .collect(),
            default_roles: role
                .default_roles
                .iter()
                .filter(|of| has(of))
                .cloned()
                .collect(),
            ..role.clone()
        };
        for statement in membership::statements(&among, session.is_mariadb()) {
            let doing = format!("giving {} its roles", role.name);
            execute(session, &doing, &statement).await?;
        }
    }
    Ok(created)
}
