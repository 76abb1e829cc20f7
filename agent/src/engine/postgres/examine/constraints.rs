//! Constraints: how many there are, and whether the rows keep the foreign keys and checks, asked anew.
//!
//! The server asks in its own words: the constraint is dropped and made again in a transaction that is rolled back.

use holdfast_proto::task::{ExaminedDatabase, TaskFailure};
use tokio_postgres::{Client, error::SqlState};

use super::{OWN_SCHEMAS, note};
use crate::engine::postgres::{
    failure::failed,
    quote::{ident, qualified},
};

pub(super) async fn examine(
    client: &Client,
    found: &mut ExaminedDatabase,
) -> Result<(), TaskFailure> {
    found.constraints = count(client).await?;
    // Names that are not qualified would be looked for in the schemas of whoever set the database's path.
    client
        .batch_execute("SET search_path = pg_catalog")
        .await
        .map_err(|error| failed("preparing the look at the constraints", &error))?;
    let sql = format!(
        "SELECT n.nspname::text, t.relname::text, k.conname::text, pg_catalog.pg_get_constraintdef(k.oid) \
         FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
         WHERE {OWN_SCHEMAS} AND k.contype IN ('f', 'c') AND k.convalidated \
           AND k.conparentid = 0 AND k.coninhcount = 0 AND t.relkind IN ('r', 'p') \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = t.oid \
               AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e') \
         ORDER BY 1, 2, 3"
    );
    let rows = client
        .query(&sql, &[])
        .await
        .map_err(|error| failed("listing the constraints", &error))?;
    for row in rows {
        let (schema, table, name): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (table_name, constraint) = (qualified(&schema, &table), ident(&name));
        let definition: String = row.get(3);
        let made = client
            .batch_execute(&format!(
                "BEGIN; ALTER TABLE {table_name} DROP CONSTRAINT {constraint}; \
                 ALTER TABLE {table_name} ADD CONSTRAINT {constraint} {definition}"
            ))
            .await;
        let taken_back = client.batch_execute("ROLLBACK").await;
        match made {
            Ok(()) => found.checked_constraints += 1,
            Err(error) => {
                let name = format!("constraint {name} of {schema}.{table}");
                note(found, &name, &error, is_broken)?;
            }
        }
        taken_back.map_err(|error| failed("taking a constraint back", &error))?;
    }
    Ok(())
}

/// As an archive lists them: keys of partitions each, their foreign keys once, and checks only when they are not
/// validated (others are part of their table).
async fn count(client: &Client) -> Result<u32, TaskFailure> {
    let sql = format!(
        "SELECT count(*) FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace \
         WHERE {OWN_SCHEMAS} AND (k.contype IN ('p', 'u', 'x') \
           OR (k.contype = 'f' AND k.conparentid = 0) \
           OR (k.contype IN ('c', 'n') AND NOT k.convalidated)) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = k.conrelid \
               AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e')"
    );
    let row = client
        .query_one(&sql, &[])
        .await
        .map_err(|error| failed("counting the constraints", &error))?;
    Ok(u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX))
}

fn is_broken(code: &SqlState) -> bool {
    [
        SqlState::FOREIGN_KEY_VIOLATION,
        SqlState::CHECK_VIOLATION,
        SqlState::DATA_CORRUPTED,
        SqlState::INDEX_CORRUPTED,
    ]
    .contains(code)
}
