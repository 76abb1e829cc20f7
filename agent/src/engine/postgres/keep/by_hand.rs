//! For the day when nothing of Holdfast is left: what restores a backup with PostgreSQL's own programs. Pure,
//! but for the question which roles a database needs.

use std::fmt::Write as _;

use holdfast_proto::image::{CopyFormat, RelationKind, RelationPlan, SequenceState};
use tokio_postgres::{Client, Error};

use super::{ByHand, layout, shell};
use crate::engine::postgres::{
    copy_sql, describe,
    quote::{ident, literal, qualified},
};

/// `roles.sql` and `restore.sh`.
#[derive(Debug)]
pub struct PsqlByHand {
    pub database: String,
    /// Statements that make the roles.
    pub roles: String,
}

impl ByHand for PsqlByHand {
    fn reads_schema(&self) -> bool {
        false
    }

    fn names(&self) -> &'static [&'static str] {
        &["roles.sql", "restore.sh"]
    }

    fn texts(
        &self,
        _: &[u8],
        relations: &[RelationPlan],
        sequences: &[SequenceState],
        rows: &dyn Fn(&RelationPlan, u32) -> String,
    ) -> Result<Vec<String>, String> {
        let guide = guide(&self.database, relations, sequences, rows);
        Ok(vec![self.roles.clone(), guide])
    }
}

/// The script that loads the entries in order into an empty database.
fn guide(
    database: &str,
    relations: &[RelationPlan],
    sequences: &[SequenceState],
    rows: &dyn Fn(&RelationPlan, u32) -> String,
) -> String {
    let mut script = format!(
        "#!/bin/bash\n\
         # Brings this backup of the database {database:?} into an empty database, without Holdfast:\n\
         #   psql -f roles.sql postgres      (what it complains about is there already)\n\
         #   createdb -T template0 NAME && bash restore.sh -d NAME\n\
         # Options are those of psql for the connection: -h, -p, -U, -d.\n\
         set -euo pipefail\n\
         cd \"$(dirname \"$0\")\"\n\
         export PGOPTIONS=\"${{PGOPTIONS:-}} -c DateStyle=ISO,YMD -c IntervalStyle=postgres -c TimeZone=UTC -c lc_monetary=C\"\n\
         export PGCLIENTENCODING=${{PGCLIENTENCODING:-UTF8}}\n\
         run() {{ psql -X -q -v ON_ERROR_STOP=1 -1 \"$@\" >/dev/null; }}\n\
         pg_restore --exit-on-error --section=pre-data \"$@\" {}\n",
        layout::ARCHIVE
    );
    for plan in relations {
        for part in 0..plan.parts {
            load(&mut script, plan, &rows(plan, part));
        }
    }
    for state in sequences {
        let sql = format!(
            "SELECT pg_catalog.setval({}::pg_catalog.regclass, {}, {})",
            literal(&qualified(&state.schema, &state.name)),
            state.last_value,
            state.is_called
        );
        let _ = writeln!(script, "run \"$@\" -c {}", shell(&sql));
    }
    let _ = writeln!(
        script,
        "pg_restore --exit-on-error --section=post-data \"$@\" {}\n\
         run \"$@\" -c 'ANALYZE'\n\
         echo 'restored: compare the row counts with manifest.json'",
        layout::ARCHIVE
    );
    script
}

fn load(script: &mut String, plan: &RelationPlan, file: &str) {
    let copy = shell(&copy_sql::into(plan, false));
    let file = shell(file);
    let line = if copy_sql::makes_large_objects(plan) {
        let before = shell(&copy_sql::await_large_objects());
        let after = shell(&copy_sql::make_large_objects());
        format!("run \"$@\" -c {before} -c {copy} -c {after} < {file}")
    } else {
        format!("run \"$@\" -c {copy} < {file}")
    };
    let what = match (plan.kind, plan.format) {
        (RelationKind::LargeObjects, _) => "large objects",
        (_, CopyFormat::Binary) => "binary",
        (_, CopyFormat::Text) => "text",
    };
    let _ = writeln!(script, "{line} # {what}");
}

/// Statements that make the roles which the database needs, with what the server keeps of their passwords
/// where it may be read. For the repository alone: it is encrypted, and no one else needs them.
///
/// # Errors
/// What the server said.
pub async fn roles_of(client: &Client, database: &str) -> Result<String, Error> {
    let roles = describe::roles_used(client, database).await?;
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let readable: bool = client
        .query_one(
            "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')",
            &[],
        )
        .await?
        .get(0);
    let mut verifiers = std::collections::BTreeMap::new();
    if readable {
        let sql = "SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid \
                   WHERE rolname = ANY($1) AND rolpassword IS NOT NULL";
        for row in client.query(sql, &[&names]).await? {
            verifiers.insert(row.get::<_, String>(0), row.get::<_, String>(1));
        }
    }
    let mut sql = String::new();
    for role in &roles {
        let name = ident(&role.name);
        let flags = [
            (role.login, "LOGIN"),
            (role.inherit, "INHERIT"),
            (role.create_role, "CREATEROLE"),
            (role.create_db, "CREATEDB"),
            (role.superuser, "SUPERUSER"),
            (role.replication, "REPLICATION"),
            (role.bypass_rls, "BYPASSRLS"),
        ]
        .map(|(is, word)| {
            if is {
                word.to_owned()
            } else {
                format!("NO{word}")
            }
        })
        .join(" ");
        let _ = writeln!(sql, "CREATE ROLE {name};\nALTER ROLE {name} WITH {flags};");
        if let Some(verifier) = verifiers.get(&role.name) {
            let _ = writeln!(sql, "ALTER ROLE {name} PASSWORD {};", literal(verifier));
        }
    }
    for role in &roles {
        for group in &role.member_of {
            let _ = writeln!(sql, "GRANT {} TO {};", ident(group), ident(&role.name));
        }
    }
    Ok(sql)
}
