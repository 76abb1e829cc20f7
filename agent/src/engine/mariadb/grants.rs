//! Rights on a database and on things in it, and the accounts that have them.

use std::collections::BTreeSet;

use holdfast_proto::task::Role;
use mysql_async::{Conn, Error, prelude::Queryable};

use super::{
    document::Grant,
    quote::{ident, literal},
};

/// Only this is needed to be there; it is no right.
const USAGE: &str = "USAGE";

/// Of every account and role.
///
/// # Errors
/// What the server says.
pub async fn of(conn: &mut Conn, database: &str) -> Result<Vec<Grant>, Error> {
    let name = literal(database);
    // In a right on a whole database the name is a pattern; one that stands for others too is not this database's.
    let pattern = literal(
        &database
            .replace('\\', "\\\\")
            .replace('_', "\\_")
            .replace('%', "\\%"),
    );
    let mut grants = BTreeSet::new();
    let rows: Vec<(String, String, String)> = conn
        .query(format!(
            "SELECT grantee, privilege_type, is_grantable FROM information_schema.schema_privileges \
             WHERE BINARY table_schema IN ({name}, {pattern})"
        ))
        .await?;
    for (who, privilege, grantable) in rows {
        grants.insert(grant(&who, privilege, "", "", &grantable));
    }
    let rows: Vec<(String, String, String, String)> = conn
        .query(format!(
            "SELECT grantee, privilege_type, is_grantable, table_name FROM information_schema.table_privileges \
             WHERE table_schema = {name}"
        ))
        .await?;
    for (who, privilege, grantable, table) in rows {
        grants.insert(grant(&who, privilege, "TABLE", &table, &grantable));
    }
    let rows: Vec<(String, String, String, String, String)> = conn
        .query(format!(
            "SELECT grantee, privilege_type, is_grantable, table_name, column_name \
             FROM information_schema.column_privileges WHERE table_schema = {name}"
        ))
        .await?;
    for (who, privilege, grantable, table, column) in rows {
        let privilege = format!("{privilege} ({})", ident(&column));
        grants.insert(grant(&who, privilege, "TABLE", &table, &grantable));
    }
    grants.extend(on_routines(conn, &name).await?);
    grants.retain(|grant| grant.privilege != USAGE);
    Ok(grants.into_iter().collect())
}

/// User, host, routine, its kind, and what is granted on it.
type RoutineGrant = (String, String, String, String, String);

/// An account that may not read the server's own tables sees none of these, and cannot give them either.
async fn on_routines(conn: &mut Conn, name: &str) -> Result<Vec<Grant>, Error> {
    let rows = conn
        .query::<RoutineGrant, _>(format!(
            "SELECT user, host, routine_name, routine_type, proc_priv FROM mysql.procs_priv WHERE db = {name}"
        ))
        .await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(Error::Server(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(rows
        .into_iter()
        .flat_map(|(user, host, routine, kind, privileges)| {
            let who = account(&user, &host);
            let words: Vec<String> = privileges.split(',').map(str::to_ascii_uppercase).collect();
            let grantable = if words.iter().any(|word| word == "GRANT") {
                "YES"
            } else {
                "NO"
            };
            let words = words.into_iter().filter(|word| word != "GRANT");
            words
                .map(|word| grant(&who, word, &kind, &routine, grantable))
                .collect::<Vec<_>>()
        })
        .collect())
}

fn grant(who: &str, privilege: String, kind: &str, name: &str, grantable: &str) -> Grant {
    Grant {
        grantee: who.strip_suffix("@''").unwrap_or(who).to_owned(),
        privilege,
        kind: kind.to_owned(),
        name: name.to_owned(),
        grantable: grantable == "YES",
    }
}

/// `'app'@'%'`, or a role's `'writers'`.
#[must_use]
pub fn account(user: &str, host: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    if host.is_empty() {
        quoted(user)
    } else {
        format!("{}@{}", quoted(user), quoted(host))
    }
}

/// Every account and role of the server; `None` when ours may not read them.
///
/// # Errors
/// When the session is lost.
pub async fn accounts(conn: &mut Conn) -> Result<Option<Vec<Role>>, Error> {
    let rows: Result<Vec<(String, String)>, Error> = conn
        .query("SELECT user, host FROM mysql.user ORDER BY user, host")
        .await;
    match rows {
        Ok(rows) => Ok(Some(
            rows.into_iter()
                .map(|(user, host)| Role {
                    name: account(&user, &host),
                    login: !host.is_empty(),
                    inherit: true,
                    ..Role::default()
                })
                .collect(),
        )),
        Err(Error::Server(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Those who have a right among these, each once.
#[must_use]
pub fn grantees(grants: &[Grant]) -> Vec<Role> {
    let names: BTreeSet<&str> = grants.iter().map(|grant| grant.grantee.as_str()).collect();
    names
        .into_iter()
        .map(|name| Role {
            name: name.to_owned(),
            login: name.contains("'@'"),
            inherit: true,
            ..Role::default()
        })
        .collect()
}
