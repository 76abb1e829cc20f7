//! What a server says of itself and of one database, for a preflight to judge.

use std::path::PathBuf;

use holdfast_proto::task::{DatabaseFacts, DatabaseProperties, DescribeDatabase, TaskFailure};
use mysql_async::{Error, prelude::Queryable};

use super::{
    databases::{exists, is_system, maintenance},
    failure::failed,
    grants, health, inventory,
    membership::Memberships,
    plan,
    privileges::Privileges,
    quote::{ident, literal},
    session::Session,
};
use crate::{
    engine::postgres::health::disk,
    observe::{host, instances::Located},
};

/// What sending needs on every table, and receiving on the whole server.
const READS: [&str; 1] = ["SELECT"];

/// Reads the facts. A database that does not exist is a fact.
///
/// # Errors
/// When the server is not reached or does not answer.
pub async fn read(
    located: &Located,
    spec: &DescribeDatabase,
) -> Result<DatabaseFacts, TaskFailure> {
    let database = &spec.target.database;
    let doing = format!("describing {}/{database}", spec.target.instance);
    let explain = |error: Error| failed(&doing, &error);
    let mut session = maintenance(located).await?;
    let privileges = Privileges::read(&mut session.conn).await.map_err(explain)?;
    let mut facts = DatabaseFacts {
        engine: Some(session.engine),
        cpus: host::cpus(),
        server_version: session.version.clone(),
        version_num: session.version_num,
        is_superuser: privileges.all(),
        exists: exists(&mut session, database).await?,
        // Everything is read over the agent's own connection.
        tools: "none needed".to_owned(),
        properties: DatabaseProperties {
            connection_limit: -1,
            ..DatabaseProperties::default()
        },
        ..DatabaseFacts::default()
    };
    server(&mut session, located, &mut facts)
        .await
        .map_err(explain)?;
    if is_system(database) {
        facts
            .obstacles
            .push(format!("{database} is the server's own"));
    }
    if spec.as_source {
        if facts.exists {
            source(&mut session, spec, &privileges, &mut facts)
                .await
                .map_err(explain)?;
        }
    } else {
        target(&mut session, database, &privileges, &mut facts)
            .await
            .map_err(explain)?;
    }
    Ok(facts)
}

async fn server(
    session: &mut Session,
    located: &Located,
    facts: &mut DatabaseFacts,
) -> Result<(), Error> {
    let root = located
        .server_pid
        .map(|pid| PathBuf::from(format!("/proc/{pid}/root")));
    let directory = &located.data_directory;
    facts.system_identifier = health::identifier(session, root.as_deref(), directory).await?;
    facts.disk_free_bytes = root.and_then(|root| {
        let (_, free) = disk(&root.join(directory.trim_start_matches('/')))?;
        Some(free)
    });
    facts.in_recovery = match health::replicates(session).await {
        Ok(replicates) => replicates,
        Err(Error::Server(_)) => false,
        Err(error) => return Err(error),
    };
    let databases: Vec<String> = session
        .conn
        .query("SELECT schema_name FROM information_schema.schemata")
        .await?;
    facts.databases = databases;
    Ok(())
}

async fn source(
    session: &mut Session,
    spec: &DescribeDatabase,
    privileges: &Privileges,
    facts: &mut DatabaseFacts,
) -> Result<(), Error> {
    let database = &spec.target.database;
    session
        .conn
        .query_drop(format!("USE {}", ident(database)))
        .await?;
    let (mut document, limits) = inventory::read(session, database).await?;
    facts.unmatched_patterns = plan::select(&mut document, &spec.selection);
    facts.encoding = document.charset.clone();
    facts.collate = document.collation.clone();
    facts.properties.comment = document.comment.clone();
    facts.table_count = document.tables.len() as u64;
    let with_rows = document.tables.iter();
    let with_rows =
        with_rows.filter(|table| plan::with_rows(&document, &spec.selection, &table.name));
    facts.size_bytes = with_rows.map(|table| table.bytes).sum();
    let memberships = Memberships::of(session).await?;
    facts.roles = memberships.complete(grants::grantees(&document.grants));
    facts.warnings.extend(limits.warnings);
    facts.obstacles.extend(limits.obstacles);
    if !privileges.any(&READS) {
        let names = document.tables.iter();
        let mut unreadable = Vec::new();
        for table in names {
            let sql = format!("SELECT 1 FROM {} LIMIT 0", ident(&table.name));
            match session.conn.query_drop(sql).await {
                Ok(()) => {}
                Err(Error::Server(_)) => unreadable.push(table.name.clone()),
                Err(error) => return Err(error),
            }
        }
        facts.unreadable = unreadable;
        facts.warnings.push(
            "the agent's account has no SELECT on *.*: tables, routines and rights that it may not see are not copied"
                .to_owned(),
        );
    }
    if !privileges.any(&["RELOAD"]) {
        facts.warnings.push(
            "the agent's account has no RELOAD: the rows are read by one connection, whatever --jobs says".to_owned(),
        );
    }
    facts.sessions = sessions(session, database).await?;
    Ok(())
}

/// From 10.10 on one collation may serve several character sets; it has a name for each.
fn collations(session: &Session) -> &'static str {
    if session.is_mariadb() && session.version_num >= 10_10_00 {
        "SELECT full_collation_name FROM information_schema.collation_character_set_applicability"
    } else {
        "SELECT collation_name FROM information_schema.collations"
    }
}

async fn target(
    session: &mut Session,
    database: &str,
    privileges: &Privileges,
    facts: &mut DatabaseFacts,
) -> Result<(), Error> {
    facts.locales = session.conn.query(collations(session)).await?;
    match grants::accounts(&mut session.conn).await? {
        Some(accounts) => facts.roles = accounts,
        None => facts
            .obstacles
            .push("the agent's account may not read the server's accounts".to_owned()),
    }
    if !privileges.all() {
        facts.warnings.push(
            "the agent's account has not all rights on the server: what it may not make or give fails".to_owned(),
        );
    }
    let settings: Option<(i64, i64)> = session
        .conn
        .query_first("SELECT @@local_infile, @@read_only")
        .await?;
    if let Some((local_infile, read_only)) = settings {
        if local_infile == 0 {
            facts.obstacles.push(
                "the server takes no rows over a connection: set local_infile = ON".to_owned(),
            );
        }
        if read_only != 0 {
            facts.obstacles.push("the server is read-only".to_owned());
        }
    }
    // Renaming tables takes such keys with it, and they would then point into the database that was replaced.
    let from_outside: Vec<String> = session
        .conn
        .query(format!(
            "SELECT CONCAT(constraint_schema, '.', table_name) FROM information_schema.referential_constraints \
             WHERE unique_constraint_schema = {0} AND constraint_schema <> {0}",
            literal(database)
        ))
        .await?;
    if !from_outside.is_empty() {
        facts.obstacles.push(format!(
            "foreign keys of other databases refer to {database}: {}",
            from_outside.join(", ")
        ));
    }
    facts.sessions = sessions(session, database).await?;
    Ok(())
}

/// Those that our account may see.
async fn sessions(session: &mut Session, database: &str) -> Result<u32, Error> {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = {} AND id <> CONNECTION_ID()",
        literal(database)
    );
    let count: Option<u32> = session.conn.query_first(sql).await?;
    Ok(count.unwrap_or_default())
}
