//! The source's database from inside: what of it would travel, and what that needs on the target.

use std::collections::BTreeSet;

use holdfast_proto::task::{DatabaseFacts, Extension, Selection};
use tokio_postgres::{Client, Error};

use super::{collations, roles, server};
use crate::engine::postgres::{
    inventory::{self, Inventory},
    plan::Chosen,
};

pub(super) async fn read(
    client: &Client,
    database: &str,
    selection: &Selection,
    facts: &mut DatabaseFacts,
) -> Result<(), Error> {
    let inventory = inventory::read(client).await?;
    let chosen = Chosen::of(&inventory, selection);
    facts.size_bytes = size(&inventory, &chosen, selection);
    facts.table_count = tables(&inventory, &chosen);
    facts.unmatched_patterns = chosen.unmatched_patterns.clone();
    facts.unreadable = unreadable(client, &inventory, &chosen).await?;
    let rows = client
        .query(
            "SELECT extname::text, extversion FROM pg_catalog.pg_extension ORDER BY 1",
            &[],
        )
        .await?;
    facts.extensions = rows
        .iter()
        .map(|row| Extension {
            name: row.get(0),
            versions: vec![row.get(1)],
        })
        .collect();
    facts.tablespaces = server::names(
        client,
        "SELECT DISTINCT t.spcname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace WHERE t.spcname !~ '^pg_' ORDER BY 1",
    )
    .await?;
    facts.roles = roles::used(client, database).await?;
    let version = facts.version_num;
    facts.collations = collations::used(client, &chosen, version).await?;
    Ok(())
}

fn size(inventory: &Inventory, chosen: &Chosen, selection: &Selection) -> u64 {
    if selection.schema_only {
        return 0;
    }
    let relations = inventory.relations.iter();
    let tables: u64 = relations
        .filter(|relation| chosen.with_data.contains(&relation.oid))
        .map(|relation| relation.total_bytes)
        .sum();
    let large_objects = if chosen.whole_database {
        inventory.large_object_bytes
    } else {
        0
    };
    tables + large_objects
}

fn tables(inventory: &Inventory, chosen: &Chosen) -> u64 {
    let relations = inventory.relations.iter();
    relations
        .filter(|relation| matches!(relation.kind, 'r' | 'p') && !relation.of_extension)
        .filter(|relation| chosen.included.contains(&relation.oid))
        .count() as u64
}

/// Tables that we may not read, or of which a policy would hide rows.
async fn unreadable(
    client: &Client,
    inventory: &Inventory,
    chosen: &Chosen,
) -> Result<Vec<String>, Error> {
    let rows = client
        .query(
            "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'r' \
             AND (NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.row_security_active(c.oid))",
            &[],
        )
        .await?;
    let closed: BTreeSet<u32> = rows.iter().map(|row| row.get(0)).collect();
    Ok(inventory
        .relations
        .iter()
        .filter(|relation| {
            closed.contains(&relation.oid) && chosen.with_data.contains(&relation.oid)
        })
        .map(|relation| format!("{}.{}", relation.schema, relation.name))
        .collect())
}
