//! How many indexes and constraints stand in a database.

use holdfast_proto::task::{FailureKind, TaskFailure};
use mysql_async::prelude::Queryable;

use super::{failure::failed, quote::literal, session::Session};
use crate::engine::postgres::failure::failure;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Structure {
    pub indexes: u32,
    pub constraints: u32,
}

/// # Errors
/// When the server does not answer.
pub async fn count(session: &mut Session, database: &str) -> Result<Structure, TaskFailure> {
    let name = literal(database);
    let counts: Option<(u32, u32)> = session
        .conn
        .query_first(format!(
            "SELECT (SELECT COUNT(DISTINCT table_name, index_name) FROM information_schema.statistics \
                     WHERE table_schema = {name}), \
                    (SELECT COUNT(*) FROM information_schema.table_constraints WHERE table_schema = {name})"
        ))
        .await
        .map_err(|error| failed("counting what was made", &error))?;
    let (indexes, constraints) =
        counts.ok_or_else(|| failure(FailureKind::Internal, "nothing was counted", ""))?;
    Ok(Structure {
        indexes,
        constraints,
    })
}
