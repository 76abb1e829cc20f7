//! Indexes: how many there are, which are not valid, and what amcheck finds in every B-tree.

use holdfast_proto::task::{Examined, ExaminedDatabase, TaskFailure};
use tokio_postgres::{Client, error::SqlState};

use super::{OWN_SCHEMAS, note};
use crate::engine::postgres::{failure::failed, quote::ident};

pub(super) async fn examine(
    client: &Client,
    found: &mut ExaminedDatabase,
) -> Result<(), TaskFailure> {
    found.indexes = count(client).await?;
    found.broken.extend(invalid(client).await?);
    // Asks for nothing where the extension is there already, as in a database that used it.
    let made = client
        .batch_execute("CREATE EXTENSION IF NOT EXISTS amcheck")
        .await;
    if let Err(error) = made {
        let Some(answer) = error.as_db_error() else {
            return Err(failed("making the extension amcheck", &error));
        };
        found.amcheck_error = answer.message().to_owned();
        return Ok(());
    }
    check(client, found).await
}

/// Without those of constraints, and of extensions: as an archive lists them.
async fn count(client: &Client) -> Result<u32, TaskFailure> {
    let sql = format!(
        "SELECT count(*) FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {OWN_SCHEMAS} \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid \
               AND k.contype IN ('p', 'u', 'x')) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = i.indrelid \
               AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e')"
    );
    let row = client
        .query_one(&sql, &[])
        .await
        .map_err(|error| failed("counting the indexes", &error))?;
    Ok(u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX))
}

/// A partitioned index is valid when every partition has its own: an archive of a valid one makes it so.
async fn invalid(client: &Client) -> Result<Vec<Examined>, TaskFailure> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {OWN_SCHEMAS} AND c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready) ORDER BY 1, 2"
    );
    let rows = client
        .query(&sql, &[])
        .await
        .map_err(|error| failed("looking for invalid indexes", &error))?;
    let named = rows.iter().map(|row| {
        let (schema, name): (String, String) = (row.get(0), row.get(1));
        Examined {
            name: format!("index {schema}.{name}"),
            reason: "is not valid".to_owned(),
        }
    });
    Ok(named.collect())
}

/// Each B-tree with its table: every row must be in it.
async fn check(client: &Client, found: &mut ExaminedDatabase) -> Result<(), TaskFailure> {
    let explain = |error| failed("preparing the look at the indexes", &error);
    let home = client
        .query_one(
            "SELECT n.nspname::text FROM pg_catalog.pg_extension e \
             JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'",
            &[],
        )
        .await
        .map_err(explain)?;
    let verdict = format!(
        "SELECT {}.bt_index_check($1::pg_catalog.oid::pg_catalog.regclass, true)",
        ident(home.get(0))
    );
    let verdict = client.prepare(&verdict).await.map_err(explain)?;
    let trees = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_am a ON a.oid = c.relam \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {OWN_SCHEMAS} AND a.amname = 'btree' AND c.relkind = 'i' \
           AND i.indisvalid AND i.indisready ORDER BY c.relpages, 2, 3"
    );
    let trees = client.query(&trees, &[]).await.map_err(explain)?;
    for tree in trees {
        let (oid, schema, name): (u32, String, String) = (tree.get(0), tree.get(1), tree.get(2));
        match client.query(&verdict, &[&oid]).await {
            Ok(_) => found.checked_indexes += 1,
            Err(error) => note(found, &format!("index {schema}.{name}"), &error, is_broken)?,
        }
    }
    Ok(())
}

/// What amcheck says of an index that is not as it should be, and the server of a page it cannot read.
fn is_broken(code: &SqlState) -> bool {
    [SqlState::INDEX_CORRUPTED, SqlState::DATA_CORRUPTED].contains(code)
}
