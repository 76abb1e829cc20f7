//! Makes what a copy goes into: roles that are missing, and an empty staging database.

use std::collections::BTreeSet;

use holdfast_proto::{
    fleet::Engine,
    task::{FailureKind, Role, StageDatabase, StagedDatabase, TaskFailure},
};
use tokio_postgres::Client;

use super::Context;
use crate::engine::mariadb;
use crate::engine::postgres::{
    databases::{drop_copy, execute, find, is_marked, maintenance},
    failure::failed,
    marked_roles::{mark_statement, marked_by},
    quote::{ident, literal},
};

/// Repeating it gives an empty staging database again.
///
/// # Errors
/// `Refused` when the staging name carries no job's mark; otherwise what the server said.
pub async fn run(spec: StageDatabase, context: &Context) -> Result<StagedDatabase, TaskFailure> {
    let name = &spec.staging.database;
    if !is_marked(name) {
        return Err(TaskFailure {
            kind: FailureKind::Refused,
            message: format!("{name:?} is no name of a staging database"),
            advice: String::new(),
            retryable: false,
        });
    }
    let located = context.instances.locate(&spec.staging.instance)?;
    if located.engine != Engine::Postgres {
        let created_roles = mariadb::databases::stage(&located, &spec).await?;
        return Ok(StagedDatabase { created_roles });
    }
    let (located, client) = maintenance(context, &spec.staging.instance).await?;
    let created_roles = create_roles(&client, &spec).await?;
    if find(&client, name).await?.is_some() {
        drop_copy(&located, &client, name).await?;
    }
    execute(
        &client,
        &format!("creating the staging database {name:?}"),
        &create_statement(&spec),
    )
    .await?;
    Ok(StagedDatabase { created_roles })
}

/// Creates the roles that do not exist, with memberships among themselves and the job's mark. Gives the names
/// of all that carry it: an earlier attempt may have created them, and nobody have heard of it.
async fn create_roles(client: &Client, spec: &StageDatabase) -> Result<Vec<String>, TaskFailure> {
    let rows = client
        .query("SELECT rolname FROM pg_catalog.pg_roles", &[])
        .await
        .map_err(|error| failed("reading the server's roles", &error))?;
    let existing: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let missing: Vec<&Role> = spec
        .roles
        .iter()
        .filter(|role| !existing.contains(&role.name))
        .collect();
    let names: BTreeSet<&str> = missing.iter().map(|role| role.name.as_str()).collect();
    let mut statements = String::from("BEGIN;");
    for role in &missing {
        statements.push_str(&role_statement(role));
        if spec.job != 0 {
            statements.push_str(&mark_statement(&role.name, spec.job));
        }
    }
    for role in &missing {
        for group in role
            .member_of
            .iter()
            .filter(|group| names.contains(group.as_str()))
        {
            statements.push_str(&format!("GRANT {} TO {};", ident(group), ident(&role.name)));
        }
    }
    statements.push_str("COMMIT;");
    if !missing.is_empty() {
        execute(client, "creating the roles that are missing", &statements).await?;
    }
    // A controller that is older than this agent names no job.
    if spec.job == 0 {
        return Ok(missing.iter().map(|role| role.name.clone()).collect());
    }
    let marked = marked_by(client, spec.job).await?;
    Ok(marked.into_iter().map(|role| role.name).collect())
}

/// Without a password, and without what reaches beyond the database: superuser, replication, row security.
fn role_statement(role: &Role) -> String {
    let on = |is: bool, word: &str| {
        if is {
            word.to_owned()
        } else {
            format!("NO{word}")
        }
    };
    format!(
        "CREATE ROLE {} NOSUPERUSER NOREPLICATION NOBYPASSRLS {} {} {} {};",
        ident(&role.name),
        on(role.login, "LOGIN"),
        on(role.inherit, "INHERIT"),
        on(role.create_role, "CREATEROLE"),
        on(role.create_db, "CREATEDB"),
    )
}

fn create_statement(spec: &StageDatabase) -> String {
    let mut statement = format!(
        "CREATE DATABASE {} WITH TEMPLATE = template0",
        ident(&spec.staging.database)
    );
    let mut option = |name: &str, value: String| {
        statement.push_str(&format!(" {name} = {value}"));
    };
    if !spec.owner.is_empty() {
        option("OWNER", ident(&spec.owner));
    }
    for (name, value) in [
        ("ENCODING", &spec.encoding),
        ("LC_COLLATE", &spec.collate),
        ("LC_CTYPE", &spec.ctype),
    ] {
        if !value.is_empty() {
            option(name, literal(value));
        }
    }
    match spec.locale_provider.as_str() {
        // The default, and the only one before PostgreSQL 15.
        "" | "libc" => {}
        "builtin" => {
            option("LOCALE_PROVIDER", "builtin".to_owned());
            option("BUILTIN_LOCALE", literal(&spec.icu_locale));
        }
        provider => {
            option("LOCALE_PROVIDER", ident(provider));
            option("ICU_LOCALE", literal(&spec.icu_locale));
        }
    }
    statement
}

#[cfg(test)]
mod tests {
    use holdfast_proto::task::DatabaseTarget;

    use super::*;

    #[test]
    fn a_created_role_never_reaches_beyond_its_database() {
        let role = Role {
            name: "Ann \"x\"".to_owned(),
            login: true,
            inherit: true,
            superuser: true,
            replication: true,
            bypass_rls: true,
            ..Role::default()
        };
        assert_eq!(
            role_statement(&role),
            "CREATE ROLE \"Ann \"\"x\"\"\" NOSUPERUSER NOREPLICATION NOBYPASSRLS LOGIN INHERIT NOCREATEROLE NOCREATEDB;"
        );
    }

    #[test]
    fn encoding_and_collation_are_the_source_s() {
        let spec = StageDatabase {
            staging: DatabaseTarget {
                instance: "db".into(),
                database: "a__staging_1".into(),
            },
            owner: "app".into(),
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C.UTF-8".into(),
            locale_provider: "icu".into(),
            icu_locale: "de-DE".into(),
            roles: Vec::new(),
            job: 1,
        };
        assert_eq!(
            create_statement(&spec),
            "CREATE DATABASE \"a__staging_1\" WITH TEMPLATE = template0 OWNER = \"app\" ENCODING = 'UTF8' \
             LC_COLLATE = 'C' LC_CTYPE = 'C.UTF-8' LOCALE_PROVIDER = \"icu\" ICU_LOCALE = 'de-DE'"
        );
    }
}
