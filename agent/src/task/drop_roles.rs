//! Drops roles that a job created and that nobody uses, and no other.

use holdfast_proto::{
    fleet::Engine,
    task::{DropRoles, DroppedRoles, RoleLeft, TaskFailure},
};
use tokio_postgres::{Client, error::SqlState};

use super::Context;
use crate::engine::postgres::{
    databases::{maintenance, staging_of_others},
    failure::failed,
    marked_roles::mark,
    quote::ident,
};

/// What the server says of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Absent,
    /// Somebody else made it, or it is an ordinary one by now.
    Unmarked,
    Marked(u32),
}

/// Can be repeated: a role that is gone is dropped already.
///
/// # Errors
/// What the server said. A role that something depends on is no error: it stays, and is told.
pub async fn run(spec: DropRoles, context: &Context) -> Result<DroppedRoles, TaskFailure> {
    let located = context.instances.locate(&spec.instance)?;
    if located.engine != Engine::Postgres {
        return Ok(DroppedRoles {
            left: spec.roles.into_iter().map(unused).collect(),
            ..DroppedRoles::default()
        });
    }
    let (_, client) = maintenance(context, &spec.instance).await?;
    let other = staging_of_others(&client, spec.job).await?;
    let mut dropped = DroppedRoles::default();
    for role in spec.roles {
        let oid = match find(&client, &role, spec.job).await? {
            Found::Absent => {
                dropped.gone.push(role);
                continue;
            }
            Found::Unmarked => continue,
            Found::Marked(oid) => oid,
        };
        let user = match &other {
            // Its rights come with its tables, and the server does not know of them yet.
            Some(copy) => Some(format!("the copy that grows in {copy:?} may need it")),
            None => related(&client, oid, spec.job).await?,
        };
        let reason = match user {
            Some(user) => Some(user),
            None => drop_role(&client, &role).await?,
        };
        match reason {
            Some(reason) => dropped.left.push(RoleLeft { role, reason }),
            None => dropped.gone.push(role),
        }
    }
    Ok(dropped)
}

/// Accounts of MariaDB and MySQL carry no mark: whose they are by now is not known.
fn unused(role: String) -> RoleLeft {
    RoleLeft {
        role,
        reason: "accounts carry no mark of the job that made them; nobody can log in as it until it gets a password".to_owned(),
    }
}

async fn find(client: &Client, role: &str, job: u64) -> Result<Found, TaskFailure> {
    let row = client
        .query_opt(
            "SELECT oid, coalesce(pg_catalog.shobj_description(oid, 'pg_authid') = $2, false) \
             FROM pg_catalog.pg_roles WHERE rolname = $1",
            &[&role, &mark(job)],
        )
        .await
        .map_err(|error| failed(&format!("looking up role {role:?}"), &error))?;
    Ok(row.map_or(Found::Absent, |row| {
        if row.get(1) {
            Found::Marked(row.get(0))
        } else {
            Found::Unmarked
        }
    }))
}

/// Memberships with roles that this job did not create: a drop would end them without a word.
async fn related(client: &Client, oid: u32, job: u64) -> Result<Option<String>, TaskFailure> {
    let row = client
        .query_opt(
            "SELECT other.rolname::text, m.roleid = $1 FROM pg_catalog.pg_auth_members m \
             JOIN pg_catalog.pg_roles other \
               ON other.oid = CASE WHEN m.roleid = $1 THEN m.member ELSE m.roleid END \
             WHERE $1 IN (m.roleid, m.member) AND other.rolname <> current_user \
               AND pg_catalog.shobj_description(other.oid, 'pg_authid') IS DISTINCT FROM $2 \
             ORDER BY 1 LIMIT 1",
            &[&oid, &mark(job)],
        )
        .await
        .map_err(|error| failed("reading the memberships of a role", &error))?;
    Ok(row.map(|row| {
        let other: String = row.get(0);
        if row.get(1) {
            format!("{other:?} is a member of it")
        } else {
            format!("it is a member of {other:?}")
        }
    }))
}

/// Why it stays; none when it is gone.
async fn drop_role(client: &Client, role: &str) -> Result<Option<String>, TaskFailure> {
    let statement = format!("DROP ROLE IF EXISTS {}", ident(role));
    let Err(error) = client.batch_execute(&statement).await else {
        return Ok(None);
    };
    let doing = format!("dropping role {role:?}");
    let Some(answer) = error.as_db_error() else {
        return Err(failed(&doing, &error));
    };
    match *answer.code() {
        SqlState::DEPENDENT_OBJECTS_STILL_EXIST | SqlState::INSUFFICIENT_PRIVILEGE => {
            let said = answer.detail().unwrap_or(answer.message());
            Ok(Some(said.lines().collect::<Vec<_>>().join(", ")))
        }
        _ => Err(failed(&doing, &error)),
    }
}
