//! Roles that a job created: until its copy stands they carry the job's mark, as their comment.
//!
//! The mark is what tells a role of ours from one that somebody else made under the same name, and it goes
//! when the copy is published: from then on the role is an ordinary one, which nothing drops.

use holdfast_proto::task::TaskFailure;
use tokio_postgres::Client;

use super::{
    failure::failed,
    quote::{ident, literal},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedRole {
    /// Stays the same when the role is renamed.
    pub oid: u32,
    pub name: String,
}

/// The comment of a role that the job created.
#[must_use]
pub fn mark(job: u64) -> String {
    format!("created by holdfast job {job}")
}

/// Every role with the job's mark, by name. A controller that names no job has marked none.
///
/// # Errors
/// When the server does not answer.
pub async fn marked_by(client: &Client, job: u64) -> Result<Vec<MarkedRole>, TaskFailure> {
    if job == 0 {
        return Ok(Vec::new());
    }
    let rows = client
        .query(
            "SELECT oid, rolname::text FROM pg_catalog.pg_roles \
             WHERE pg_catalog.shobj_description(oid, 'pg_authid') = $1 ORDER BY rolname",
            &[&mark(job)],
        )
        .await
        .map_err(|error| failed("reading which roles this job created", &error))?;
    Ok(rows
        .iter()
        .map(|row| MarkedRole {
            oid: row.get(0),
            name: row.get(1),
        })
        .collect())
}

/// Names of those of the roles that are still there, and that nobody has given a comment.
///
/// # Errors
/// When the server does not answer.
pub async fn ordinary(client: &Client, oids: &[u32]) -> Result<Vec<String>, TaskFailure> {
    let rows = client
        .query(
            "SELECT rolname::text FROM pg_catalog.pg_roles WHERE oid = ANY ($1) \
             AND pg_catalog.shobj_description(oid, 'pg_authid') IS NULL ORDER BY rolname",
            &[&oids],
        )
        .await
        .map_err(|error| failed("reading the roles that this job created", &error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// For the transaction that creates it, or that takes its publication back.
#[must_use]
pub fn mark_statement(role: &str, job: u64) -> String {
    format!(
        "COMMENT ON ROLE {} IS {};",
        ident(role),
        literal(&mark(job))
    )
}

/// For the transaction that publishes.
#[must_use]
pub fn unmark_statement(role: &str) -> String {
    format!("COMMENT ON ROLE {} IS NULL;", ident(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_comments() {
        assert_eq!(
            mark_statement("Ann \"x\"", 42),
            "COMMENT ON ROLE \"Ann \"\"x\"\"\" IS 'created by holdfast job 42';"
        );
        assert_eq!(unmark_statement("ann"), "COMMENT ON ROLE \"ann\" IS NULL;");
    }
}
