//! What comes after the rows: sequences, statistics, and what belongs to the database itself.

use std::collections::BTreeSet;

use holdfast_proto::{
    image::SequenceState,
    task::{DatabaseProperties, DatabaseSetting, TaskFailure, TaskPhase},
};
use tokio::task::JoinSet;

use super::{Target, internal, order::Step, pool::Pool};
use crate::engine::postgres::{
    failure::failed,
    quote::{ident, literal, qualified},
};

/// Statements sent at once.
const BATCH: usize = 200;

/// Settings whose value is a list of names, each quoted for itself.
const LISTS: [&str; 4] = [
    "search_path",
    "temp_tablespaces",
    "session_preload_libraries",
    "local_preload_libraries",
];

pub(super) async fn sequences(pool: &Pool, states: &[SequenceState]) -> Result<(), TaskFailure> {
    for states in states.chunks(BATCH) {
        let sql: Vec<String> = states
            .iter()
            .map(|state| {
                format!(
                    "SELECT pg_catalog.setval({}::pg_catalog.regclass, {}, {})",
                    literal(&qualified(&state.schema, &state.name)),
                    state.last_value,
                    state.is_called
                )
            })
            .collect();
        pool.execute("setting the sequences", &sql.join(";"))
            .await?;
    }
    Ok(())
}

/// As they stand now on the target.
pub(super) async fn read_sequences(
    pool: &Pool,
    states: &[SequenceState],
) -> Result<Vec<SequenceState>, TaskFailure> {
    let client = pool.writer().await?;
    let mut read = Vec::with_capacity(states.len());
    for state in states {
        let sql = format!(
            "SELECT last_value, is_called FROM {}",
            qualified(&state.schema, &state.name)
        );
        let row = client
            .query_one(&sql, &[])
            .await
            .map_err(|error| failed("reading the sequences back", &error))?;
        read.push(SequenceState {
            last_value: row.get(0),
            is_called: row.get(1),
            ..state.clone()
        });
    }
    pool.give_back(client);
    Ok(read)
}

/// Kinds of relations: what is loaded, and what is made of it (materialised views) once that is known.
pub(super) const TABLES: &[&str] = &["r", "p"];
pub(super) const VIEWS: &[&str] = &["m"];

/// Statistics of one relation for the planner.
pub(super) fn statistics(schema: &str, name: &str) -> Step {
    Step {
        label: format!("statistics of {schema}.{name}"),
        sql: format!("ANALYZE {}", qualified(schema, name)),
    }
}

/// Statistics for the planner of what has none yet, as many relations at once as the target has permits.
pub(super) async fn analyze(
    pool: &Pool,
    target: &Target,
    kinds: &[&str],
    done: &BTreeSet<(String, String)>,
) -> Result<(), TaskFailure> {
    let client = pool.writer().await?;
    let rows = client
        .query(
            "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE NOT c.relispartition AND c.relkind::text = ANY($1) \
               AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
             ORDER BY c.relpages DESC",
            &[&kinds],
        )
        .await
        .map_err(|error| failed("listing the tables to analyze", &error))?;
    pool.give_back(client);
    let mut steps: Vec<Step> = Vec::new();
    for row in rows {
        let name = (row.get(0), row.get(1));
        if !done.contains(&name) {
            steps.push(statistics(&name.0, &name.1));
        }
    }
    target.meter.phase(TaskPhase::Analyze, steps.len() as u64);
    let mut running = JoinSet::new();
    for Step { label, sql } in steps {
        while running.len() >= target.permits.max(1) {
            ended(running.join_next().await)?;
        }
        let (pool, meter) = (pool.clone(), std::sync::Arc::clone(&target.meter));
        running.spawn(async move {
            meter.current(&label);
            pool.execute(&format!("making {label}"), &sql).await?;
            meter.item_done();
            Ok(())
        });
    }
    while !running.is_empty() {
        ended(running.join_next().await)?;
    }
    Ok(())
}

fn ended(
    outcome: Option<Result<Result<(), TaskFailure>, tokio::task::JoinError>>,
) -> Result<(), TaskFailure> {
    match outcome {
        None => Ok(()),
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(internal(format!("a worker died: {error}"))),
    }
}

/// Comment, settings, grants and connection limit of the database itself.
pub(super) async fn properties(
    pool: &Pool,
    database: &str,
    properties: &DatabaseProperties,
) -> Result<(), TaskFailure> {
    let statements = statements(database, properties);
    if statements.is_empty() {
        return Ok(());
    }
    pool.execute(
        "setting what belongs to the database itself",
        &statements.join(";\n"),
    )
    .await
}

fn statements(database: &str, properties: &DatabaseProperties) -> Vec<String> {
    let name = ident(database);
    let mut out = Vec::new();
    if !properties.comment.is_empty() {
        out.push(format!(
            "COMMENT ON DATABASE {name} IS {}",
            literal(&properties.comment)
        ));
    }
    if !properties.grants.is_empty() {
        out.push(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
        for grant in &properties.grants {
            let grantee = if grant.grantee.is_empty() {
                "PUBLIC".to_owned()
            } else {
                ident(&grant.grantee)
            };
            let option = if grant.grantable {
                " WITH GRANT OPTION"
            } else {
                ""
            };
            out.push(format!(
                "GRANT {} ON DATABASE {name} TO {grantee}{option}",
                privilege(&grant.privilege)
            ));
        }
    }
    for setting in &properties.settings {
        out.push(setting_statement(&name, setting));
    }
    if properties.connection_limit > 0 {
        out.push(format!(
            "ALTER DATABASE {name} CONNECTION LIMIT {}",
            properties.connection_limit
        ));
    }
    out
}

/// Only what can be granted on a database; anything else would be somebody's SQL.
fn privilege(name: &str) -> &str {
    match name {
        "CREATE" => "CREATE",
        "TEMPORARY" | "TEMP" => "TEMPORARY",
        _ => "CONNECT",
    }
}

fn setting_statement(database: &str, setting: &DatabaseSetting) -> String {
    let name: Vec<String> = setting.name.split('.').map(ident).collect();
    let name = name.join(".");
    let value = if LISTS.contains(&setting.name.as_str()) {
        let elements = list_elements(&setting.value);
        if elements.is_empty() {
            "''".to_owned()
        } else {
            elements
                .iter()
                .map(|e| literal(e))
                .collect::<Vec<_>>()
                .join(", ")
        }
    } else {
        literal(&setting.value)
    };
    if setting.role.is_empty() {
        format!("ALTER DATABASE {database} SET {name} TO {value}")
    } else {
        let role = ident(&setting.role);
        format!("ALTER ROLE {role} IN DATABASE {database} SET {name} TO {value}")
    }
}

/// Elements of a list as the server stores it: bare or in double quotes, with commas between.
fn list_elements(value: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut current = String::new();
    let (mut quoted, mut any) = (false, false);
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                current.push('"');
            }
            '"' => {
                quoted = !quoted;
                any = true;
            }
            ',' if !quoted => {
                elements.push(std::mem::take(&mut current));
                any = false;
            }
            c if c.is_whitespace() && !quoted => {}
            c => {
                current.push(c);
                any = true;
            }
        }
    }
    if any {
        elements.push(current);
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart() {
        assert_eq!(list_elements(r#""$user", public"#), ["$user", "public"]);
        assert_eq!(list_elements(r#""a,""b", c"#), ["a,\"b", "c"]);
        assert_eq!(list_elements(r#""""#), [""]);
        assert!(list_elements("").is_empty());
    }

    #[test]
    fn settings_of_the_database_and_of_roles_in_it() {
        let mut setting = DatabaseSetting {
            role: String::new(),
            name: "search_path".to_owned(),
            value: "a, \"B c\"".to_owned(),
        };
        assert_eq!(
            setting_statement("\"d\"", &setting),
            r#"ALTER DATABASE "d" SET "search_path" TO 'a', 'B c'"#
        );
        setting.role = "x".to_owned();
        setting.name = "app.user".to_owned();
        setting.value = "it's".to_owned();
        assert_eq!(
            setting_statement("\"d\"", &setting),
            r#"ALTER ROLE "x" IN DATABASE "d" SET "app"."user" TO 'it''s'"#
        );
    }
}
