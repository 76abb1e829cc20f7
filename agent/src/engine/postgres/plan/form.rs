//! Text or binary: binary where a value's bytes mean the same on the other server, else text.
//!
//! Binary saves time, but the form of some types carries numbers of the catalog, which differ
//! from server to server: composites and arrays name the type of each member by its number.

use std::collections::BTreeMap;

use holdfast_proto::image::CopyFormat;

use super::Circumstances;
use crate::engine::postgres::inventory::{ColumnFacts, TypeFacts};

/// Below it numbers are fixed for all servers and versions.
const FIRST_GENERATED: u32 = 10_000;

/// Built in, but a value is a number of the catalog, or depends on settings, or cannot be read in.
const NOT_PORTABLE: [u32; 17] = [
    24, 2202, 2203, 2204, 2205, 2206, 4096, 4089, 3734, 3769, 4191, // reg…
    142,  // xml: its bytes carry an encoding declaration
    194,  // pg_node_tree
    1033, // aclitem
    3361, 3402, 5017, // statistics
];

/// Types made of types are followed this far; no honest one is deeper.
const DEPTH: u32 = 16;

pub(super) fn of(
    columns: &[ColumnFacts],
    types: &BTreeMap<u32, TypeFacts>,
    about: &Circumstances,
) -> CopyFormat {
    let portable = columns
        .iter()
        .all(|column| is_portable(column.type_oid, types, about, DEPTH));
    if portable {
        CopyFormat::Binary
    } else {
        CopyFormat::Text
    }
}

fn is_portable(
    oid: u32,
    types: &BTreeMap<u32, TypeFacts>,
    about: &Circumstances,
    depth: u32,
) -> bool {
    let Some(facts) = types.get(&oid) else {
        return false;
    };
    if depth == 0 || !facts.has_binary || NOT_PORTABLE.contains(&oid) {
        return false;
    }
    let below = |oid| is_portable(oid, types, about, depth - 1);
    if facts.is_array {
        // The bytes name the element's type.
        return facts.made_of < FIRST_GENERATED && below(facts.made_of);
    }
    match facts.kind {
        // Sent by its label.
        'e' => true,
        // Sent as what it is made of.
        'd' | 'r' | 'm' => below(facts.made_of),
        'b' if oid < FIRST_GENERATED => true,
        'b' => facts
            .extension
            .as_ref()
            .is_some_and(|(name, version)| same_extension(name, version, about)),
        _ => false,
    }
}

fn same_extension(name: &str, version: &str, about: &Circumstances) -> bool {
    let same_major = about.source_version_num / 10_000 == about.target_version_num / 10_000;
    same_major
        && about
            .target_extensions
            .iter()
            .find(|extension| extension.name == name)
            .and_then(|extension| extension.versions.first())
            .is_some_and(|default| default == version)
}
