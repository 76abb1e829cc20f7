//! For the day when nothing of Holdfast is left: what restores a backup with the server's own client. Pure, but for the
//! question which accounts a database needs.

use std::fmt::Write as _;

use holdfast_proto::{
    fleet::Engine,
    image::{RelationPlan, SequenceState},
};
use mysql_async::{Error, prelude::Queryable};

use super::{
    document::{Document, Made, Table, named},
    grants,
    membership::{Memberships, statements},
    quote::{ident, literal, qualified},
    rows,
    session::Session,
};
use crate::engine::postgres::keep::{ByHand, shell};

/// What every session of the script works under, as ours do.
const SETTINGS: &str = "SET NAMES utf8mb4; SET SESSION time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', \
     foreign_key_checks = 0, unique_checks = 0;";

const NAMES: [&str; 6] = [
    "accounts.sql",
    "tables.sql",
    "after.sql",
    "views.sql",
    "rights.sql",
    "restore.sh",
];

/// `restore.sh` and the statements that it runs.
#[derive(Debug)]
pub struct ClientByHand {
    pub engine: Engine,
    /// Statements that make the accounts.
    pub accounts: String,
}

impl ByHand for ClientByHand {
    fn reads_schema(&self) -> bool {
        true
    }

    fn names(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn texts(
        &self,
        schema: &[u8],
        relations: &[RelationPlan],
        sequences: &[SequenceState],
        rows: &dyn Fn(&RelationPlan, u32) -> String,
    ) -> Result<Vec<String>, String> {
        let document: Document = serde_json::from_slice(schema)
            .map_err(|error| format!("the schema cannot be read: {error}"))?;
        let client = match self.engine {
            Engine::Mysql => "mysql",
            Engine::Mariadb | Engine::Postgres => "mariadb",
        };
        let script = Script::new(&document, client);
        Ok(vec![
            self.accounts.clone(),
            script.tables(),
            script.after(sequences),
            script.views(),
            script.rights(),
            script.guide(relations, rows),
        ])
    }
}

struct Script<'a> {
    document: &'a Document,
    client: &'static str,
    /// Ends a statement: in none of them.
    delimiter: String,
}

impl<'a> Script<'a> {
    fn new(document: &'a Document, client: &'static str) -> Self {
        let made = all(document);
        let delimiter = (0..)
            .map(|number| format!("//{number}//"))
            .find(|candidate| !made.iter().any(|made| made.create.contains(candidate)));
        Self {
            document,
            client,
            delimiter: delimiter.unwrap_or_default(),
        }
    }

    /// The database with its tables and sequences, empty. Stops where there is one of its name.
    fn tables(&self) -> String {
        let document = self.document;
        let mut sql = format!(
            "{SETTINGS}\nCREATE DATABASE {} CHARACTER SET {} COLLATE {};\nUSE {};\n",
            ident(&document.database),
            document.charset,
            document.collation,
            ident(&document.database)
        );
        for sequence in &document.sequences {
            let _ = writeln!(sql, "{};", named(&sequence.create, &document.database));
        }
        for table in &document.tables {
            let _ = writeln!(sql, "{};", named(&table.create, &document.database));
        }
        sql
    }

    /// What follows the rows, but for views and rights: sequences, next numbers and code.
    fn after(&self, sequences: &[SequenceState]) -> String {
        let document = self.document;
        let database = &document.database;
        let mut sql = format!("{SETTINGS}\nUSE {};\n", ident(database));
        for state in sequences {
            let name = qualified(database, &state.name);
            let _ = writeln!(sql, "DO SETVAL({name}, {}, 0);", state.last_value);
        }
        for Table { name, next, .. } in &document.tables {
            if let Some(next) = next {
                let name = qualified(database, name);
                let _ = writeln!(sql, "ALTER TABLE {name} AUTO_INCREMENT = {next};");
            }
        }
        for routine in &document.routines {
            self.make(&mut sql, routine, "");
        }
        for trigger in &document.triggers {
            self.make(&mut sql, &trigger.made, "");
        }
        for event in &document.events {
            let zone = format!(", time_zone = {}", literal(&event.time_zone));
            self.make(&mut sql, &event.resting(true), &zone);
        }
        sql
    }

    fn views(&self) -> String {
        let mut sql = format!("{SETTINGS}\nUSE {};\n", ident(&self.document.database));
        for view in &self.document.views {
            self.make(&mut sql, view, "");
        }
        sql
    }

    fn rights(&self) -> String {
        let database = &self.document.database;
        let rights = self.document.grants.iter();
        rights
            .map(|grant| format!("{};\n", grant.statement(database)))
            .collect()
    }

    /// Under the settings that it was made under first.
    fn make(&self, sql: &mut String, made: &Made, more: &str) {
        let collation = if made.collation.is_empty() {
            String::new()
        } else {
            format!(", collation_connection = {}", literal(&made.collation))
        };
        let delimiter = &self.delimiter;
        let _ = writeln!(
            sql,
            "SET SESSION sql_mode = ''{collation}{more};\nSET SESSION sql_mode = {};\n\
             DELIMITER {delimiter}\n{}\n{delimiter}\nDELIMITER ;",
            literal(&made.sql_mode),
            named(&made.create, &self.document.database)
        );
    }

    fn guide(
        &self,
        relations: &[RelationPlan],
        rows: &dyn Fn(&RelationPlan, u32) -> String,
    ) -> String {
        let database = &self.document.database;
        let client = self.client;
        let takes_rows = if client == "mysql" {
            "# The server must take rows over a connection: SET GLOBAL local_infile = ON\n"
        } else {
            ""
        };
        let mut script = format!(
            "#!/bin/bash\n\
             # Brings this backup of the database {database:?} into a server that has none of this name, without Holdfast:\n\
             #   {client} --binary-mode --force < accounts.sql      (accounts that are there stay as they are)\n\
             #   bash restore.sh\n\
             # Options are those of {client} for the connection: -h, -P, -u, -p. CLIENT=NAME is another client.\n\
             {takes_rows}\
             set -euo pipefail\n\
             cd \"$(dirname \"$0\")\"\n\
             run() {{ \"${{CLIENT:-{client}}}\" \"$@\"; }}\n\
             options=(--binary-mode --comments --default-character-set=utf8mb4 --local-infile=1)\n\
             run \"$@\" \"${{options[@]}}\" < tables.sql\n"
        );
        for plan in relations {
            let tables = &mut self.document.tables.iter();
            let Some(table) = tables.find(|table| table.name == plan.name) else {
                continue;
            };
            for part in 0..plan.parts {
                let load = rows::load_file(database, table, &rows(plan, part));
                let statements = shell(&format!("{SETTINGS} {load}"));
                let _ = writeln!(script, "run \"$@\" \"${{options[@]}}\" -e {statements}");
            }
        }
        // A view may read another: as long as there are views to make, all are tried again.
        let _ = write!(
            script,
            "run \"$@\" \"${{options[@]}}\" < after.sql\n\
             for pass in {{0..{}}}; do\n\
             \x20 left=$(run \"$@\" \"${{options[@]}}\" --force < views.sql 2>&1 >/dev/null | grep '^ERROR' | \
             grep -v '^ERROR 1050' || true)\n\
             \x20 [ -n \"$left\" ] || break\n\
             done\n\
             if [ -n \"$left\" ]; then echo \"$left\" >&2; exit 1; fi\n\
             run \"$@\" \"${{options[@]}}\" < rights.sql\n\
             echo 'restored: compare the row counts with manifest.json'\n",
            self.document.views.len()
        );
        script
    }
}

/// Everything that has a body.
fn all(document: &Document) -> Vec<&Made> {
    let triggers = document.triggers.iter().map(|trigger| &trigger.made);
    let events = document.events.iter().map(|event| &event.made);
    let code = document.routines.iter().chain(&document.views);
    code.chain(triggers).chain(events).collect()
}

/// Statements that make the accounts which have a right on the database, with what the server keeps of their passwords
/// where it may be read. For the repository alone: it is encrypted, and no one else needs them.
///
/// # Errors
/// When the session is lost.
pub async fn accounts_of(session: &mut Session, database: &str) -> Result<String, Error> {
    let rights = grants::of(&mut session.conn, database).await?;
    let memberships = Memberships::of(session).await?;
    let mut roles = memberships.complete(grants::grantees(&rights));
    roles.retain(|role| role.name.starts_with('\''));
    let conn = &mut session.conn;
    let mut sql = String::new();
    for name in roles.iter().map(|role| &role.name) {
        if !name.contains("'@'") {
            let _ = writeln!(sql, "CREATE ROLE IF NOT EXISTS {name};");
            continue;
        }
        let shown: Result<Option<String>, Error> =
            conn.query_first(format!("SHOW CREATE USER {name}")).await;
        match shown {
            Ok(statement) => {
                let statement = statement.unwrap_or_default();
                let _ = writeln!(sql, "{};", unless_there(&statement));
            }
            // An account without its password would be open to everybody.
            Err(Error::Server(answer)) => {
                let why = answer.message.replace('\n', " ");
                let _ = writeln!(sql, "-- not known, make it by hand: {name}: {why}");
            }
            Err(error) => return Err(error),
        }
    }
    // Whom the role is given to is made by then.
    let mariadb = session.is_mariadb();
    for statement in roles.iter().flat_map(|role| statements(role, mariadb)) {
        let _ = writeln!(sql, "{statement};");
    }
    Ok(sql)
}

fn unless_there(statement: &str) -> String {
    statement.replacen("CREATE USER ", "CREATE USER IF NOT EXISTS ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_statement_stands_in_none() {
        let routine = |create: &str| Made {
            create: create.to_owned(),
            ..Made::default()
        };
        let document = Document {
            routines: vec![routine("select '//0//'"), routine("select '//2//'")],
            views: vec![routine("select '//1//'")],
            ..Document::default()
        };
        assert_eq!(Script::new(&document, "mariadb").delimiter, "//3//");
    }

    #[test]
    fn an_account_that_is_there_stays_as_it_is() {
        assert_eq!(
            unless_there("CREATE USER `a`@`%` IDENTIFIED BY PASSWORD '*1'"),
            "CREATE USER IF NOT EXISTS `a`@`%` IDENTIFIED BY PASSWORD '*1'"
        );
    }
}
