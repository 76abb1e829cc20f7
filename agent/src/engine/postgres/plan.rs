//! Which relations of a database travel, in which form, and cut into which parts. Pure.

mod form;
mod parts;
pub(crate) mod select;

use std::collections::{BTreeMap, BTreeSet};

use holdfast_proto::{
    image::{ConstraintIndex, CopyFormat, Part, RelationKind, RelationPlan},
    task::{Extension, Selection},
};

use super::{
    copy_sql,
    inventory::{Inventory, RelationFacts},
    quote::{ident, qualified},
};
pub use parts::Cutting;
pub use select::Chosen;

/// What the plan depends on besides the inventory.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    pub source_version_num: u32,
    pub target_version_num: u32,
    /// With the default version first.
    pub target_extensions: Vec<Extension>,
    pub cutting: Cutting,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Most bytes first.
    pub relations: Vec<Travelling>,
    /// (schema, name) of sequences whose state travels.
    pub sequences: Vec<(String, String)>,
    /// (schema, name) of relations that the schema leaves out.
    pub left_out: Vec<(String, String)>,
    /// Quoted names to lock against change while the image is taken.
    pub locks: Vec<String>,
    pub with_large_objects: bool,
    pub estimated_bytes: u64,
}

/// One relation whose rows travel.
#[derive(Debug, Clone, PartialEq)]
pub struct Travelling {
    pub plan: RelationPlan,
    /// Hashes and counts still empty.
    pub parts: Vec<Part>,
    /// Rows of all partitions, read and loaded by the root.
    pub by_root: bool,
}

/// Makes the plan.
#[must_use]
pub fn make(inventory: &Inventory, selection: &Selection, about: &Circumstances) -> Plan {
    let chosen = Chosen::of(inventory, selection);
    let with_large_objects = inventory.large_object_bytes > 0 && chosen.whole_database;
    let mut plan = Plan {
        relations: Vec::new(),
        sequences: sequences(inventory, &chosen, selection.schema_only),
        left_out: names(inventory, &chosen.left_out),
        locks: Vec::new(),
        with_large_objects: with_large_objects && !selection.schema_only,
        estimated_bytes: 0,
    };
    for relation in &inventory.relations {
        if chosen.included.contains(&relation.oid) && matches!(relation.kind, 'r' | 'p') {
            plan.locks.push(qualified(&relation.schema, &relation.name));
        }
    }
    if selection.schema_only {
        return plan;
    }
    for relation in &inventory.relations {
        if let Some(travelling) = travelling(inventory, relation, &chosen, about) {
            plan.relations.push(travelling);
        }
    }
    if plan.with_large_objects {
        plan.relations.extend(large_objects(inventory));
    }
    plan.relations
        .sort_by_key(|r| std::cmp::Reverse(r.plan.estimated_bytes));
    for (at, relation) in plan.relations.iter_mut().enumerate() {
        relation.plan.id = u32::try_from(at).unwrap_or(u32::MAX);
        plan.estimated_bytes += relation.plan.estimated_bytes;
    }
    plan
}

fn travelling(
    inventory: &Inventory,
    relation: &RelationFacts,
    chosen: &Chosen,
    about: &Circumstances,
) -> Option<Travelling> {
    let by_root = chosen.roots.contains(&relation.oid);
    let rows_here = relation.kind == 'r' && !chosen.by_root.contains(&relation.oid);
    if !(by_root || rows_here) || !chosen.with_data.contains(&relation.oid) {
        return None;
    }
    let kind = match (relation.of_extension, &relation.config_filter) {
        (false, _) => RelationKind::Table,
        (true, Some(_)) => RelationKind::ExtensionConfig,
        (true, None) => return None,
    };
    let bytes = if by_root {
        chosen.bytes_below(inventory, relation.oid)
    } else {
        relation.table_bytes
    };
    let cut = kind == RelationKind::Table && !by_root;
    let parts = if cut {
        about.cutting.cut(relation.heap_bytes, relation.block_bytes)
    } else {
        parts::whole()
    };
    let form = form::of(&relation.columns, &inventory.types, about);
    Some(Travelling {
        plan: RelationPlan {
            id: 0,
            schema: relation.schema.clone(),
            name: relation.name.clone(),
            kind,
            columns: relation.columns.iter().map(|c| c.name.clone()).collect(),
            format: form,
            parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
            estimated_bytes: bytes,
            filter: relation.config_filter.clone().unwrap_or_default(),
            constraint_indexes: constraint_indexes(relation),
        },
        parts,
        by_root,
    })
}

fn constraint_indexes(relation: &RelationFacts) -> Vec<ConstraintIndex> {
    let table = qualified(&relation.schema, &relation.name);
    relation
        .constraint_indexes
        .iter()
        .map(|index| ConstraintIndex {
            constraint: index.constraint.clone(),
            create_index: index.definition.clone(),
            attach: format!(
                "ALTER TABLE ONLY {table} ADD CONSTRAINT {} {} USING INDEX {}",
                ident(&index.constraint),
                if index.primary {
                    "PRIMARY KEY"
                } else {
                    "UNIQUE"
                },
                ident(&index.index),
            ),
        })
        .collect()
}

/// The large objects with what belongs to each, and their pages.
fn large_objects(inventory: &Inventory) -> [Travelling; 2] {
    let relation = |name: &str, columns: &[&str], format, estimated_bytes| Travelling {
        plan: RelationPlan {
            id: 0,
            schema: "pg_catalog".to_owned(),
            name: name.to_owned(),
            kind: RelationKind::LargeObjects,
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            format,
            parts: 1,
            estimated_bytes,
            filter: String::new(),
            constraint_indexes: Vec::new(),
        },
        parts: parts::whole(),
        by_root: false,
    };
    let pages = ["loid", "pageno", "data"];
    let bytes = inventory.large_object_bytes;
    [
        relation(copy_sql::LARGE_OBJECTS, &[], CopyFormat::Text, 0),
        relation("pg_largeobject", &pages, CopyFormat::Binary, bytes),
    ]
}

/// A sequence goes with the table that owns it; one of an extension only as its configuration.
fn sequences(inventory: &Inventory, chosen: &Chosen, schema_only: bool) -> Vec<(String, String)> {
    if schema_only {
        return Vec::new();
    }
    inventory
        .relations
        .iter()
        .filter(|r| r.kind == 'S' && chosen.included.contains(&r.oid))
        .filter(|r| !r.of_extension || r.config_filter.is_some())
        .filter(|r| {
            r.owned_by
                .is_none_or(|owner| chosen.with_data.contains(&owner))
        })
        .map(|r| (r.schema.clone(), r.name.clone()))
        .collect()
}

fn names(inventory: &Inventory, oids: &BTreeSet<u32>) -> Vec<(String, String)> {
    let by_oid: BTreeMap<u32, &RelationFacts> =
        inventory.relations.iter().map(|r| (r.oid, r)).collect();
    oids.iter()
        .filter_map(|oid| by_oid.get(oid))
        .map(|r| (r.schema.clone(), r.name.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
