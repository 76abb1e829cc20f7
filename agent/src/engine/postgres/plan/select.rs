//! Which relations an operator's patterns mean.
//!
//! A selection leaves relations out of a whole database instead of picking some into an empty
//! one: the types, functions and schemas that a table needs are there in either case. What reads
//! a relation that is left out is left out with it.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_proto::task::Selection;

use crate::engine::postgres::inventory::{Inventory, RelationFacts};

/// The relations by number, sorted by what happens to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Their definitions travel.
    pub included: BTreeSet<u32>,
    pub left_out: BTreeSet<u32>,
    /// Their rows travel too (where they have any).
    pub with_data: BTreeSet<u32>,
    /// Partitioned tables whose rows travel as one relation …
    pub roots: BTreeSet<u32>,
    /// … and everything below them.
    pub by_root: BTreeSet<u32>,
    /// Nothing was picked: what belongs to no table (large objects) travels as well.
    pub whole_database: bool,
    pub unmatched_patterns: Vec<String>,
}

impl Chosen {
    #[must_use]
    pub fn of(inventory: &Inventory, selection: &Selection) -> Self {
        let family = Family::of(inventory);
        let mut unmatched = Vec::new();
        let mut matching = |patterns: &[String]| {
            let mut found = BTreeSet::new();
            for pattern in patterns {
                let hits: Vec<u32> = inventory
                    .relations
                    .iter()
                    .filter(|relation| relation.kind != 'S' && matches(pattern, relation))
                    .map(|relation| relation.oid)
                    .collect();
                if hits.is_empty() {
                    unmatched.push(pattern.clone());
                }
                found.extend(hits);
            }
            found
        };
        let picked = matching(&selection.tables);
        let excluded = matching(&selection.exclude_tables);
        let without_data = family.with_partitions(matching(&selection.exclude_table_data));

        let mut left_out = family.with_partitions(excluded);
        if !selection.tables.is_empty() {
            let mut wanted = family.with_partitions(picked.clone());
            // A partition cannot be made without what it is a partition of.
            wanted.extend(family.ancestors(&wanted));
            let tables = inventory.relations.iter().filter(|r| r.kind != 'S');
            // Views say nothing by themselves: those whose tables all travel may travel.
            left_out.extend(
                tables
                    .filter(|r| !matches!(r.kind, 'v' | 'm') && !r.of_extension)
                    .map(|r| r.oid)
                    .filter(|oid| !wanted.contains(oid)),
            );
        }
        spread(inventory, &mut left_out);
        let included: BTreeSet<u32> = inventory
            .relations
            .iter()
            .map(|relation| relation.oid)
            .filter(|oid| !left_out.contains(oid))
            .collect();
        let with_data = included.difference(&without_data).copied().collect();
        let mut chosen = Self {
            included,
            left_out,
            with_data,
            whole_database: selection.tables.is_empty(),
            unmatched_patterns: unmatched,
            ..Self::default()
        };
        chosen.find_roots(inventory, &family);
        chosen
    }

    /// Bytes of everything below a partitioned table.
    #[must_use]
    pub fn bytes_below(&self, inventory: &Inventory, root: u32) -> u64 {
        let below = Family::of(inventory).with_partitions(BTreeSet::from([root]));
        let counted = inventory
            .relations
            .iter()
            .filter(|relation| below.contains(&relation.oid));
        counted.map(|relation| relation.table_bytes).sum()
    }

    fn find_roots(&mut self, inventory: &Inventory, family: &Family) {
        for relation in inventory.relations.iter().filter(|r| r.scattered) {
            let ancestors = family.ancestors(&BTreeSet::from([relation.oid]));
            let top = ancestors
                .iter()
                .copied()
                .find(|oid| !family.is_partition.contains(oid))
                .unwrap_or(relation.oid);
            if self.roots.insert(top) {
                let below = family.with_partitions(BTreeSet::from([top]));
                self.by_root
                    .extend(below.into_iter().filter(|oid| *oid != top));
            }
        }
    }
}

/// Who is a partition of whom. Children by plain inheritance stand for themselves.
struct Family {
    partitions: BTreeMap<u32, Vec<u32>>,
    parent: BTreeMap<u32, u32>,
    is_partition: BTreeSet<u32>,
}

impl Family {
    fn of(inventory: &Inventory) -> Self {
        let mut family = Self {
            partitions: BTreeMap::new(),
            parent: BTreeMap::new(),
            is_partition: BTreeSet::new(),
        };
        for relation in inventory.relations.iter().filter(|r| r.is_partition) {
            family.is_partition.insert(relation.oid);
            if let Some(&parent) = relation.parents.first() {
                family
                    .partitions
                    .entry(parent)
                    .or_default()
                    .push(relation.oid);
                family.parent.insert(relation.oid, parent);
            }
        }
        family
    }

    fn with_partitions(&self, mut oids: BTreeSet<u32>) -> BTreeSet<u32> {
        let mut open: Vec<u32> = oids.iter().copied().collect();
        while let Some(oid) = open.pop() {
            for &partition in self.partitions.get(&oid).into_iter().flatten() {
                if oids.insert(partition) {
                    open.push(partition);
                }
            }
        }
        oids
    }

    fn ancestors(&self, oids: &BTreeSet<u32>) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for oid in oids {
            let mut at = *oid;
            while let Some(&parent) = self.parent.get(&at) {
                found.insert(parent);
                at = parent;
            }
        }
        found
    }
}

/// What is left out takes along: sequences that it owns, views that read it, children that inherit.
fn spread(inventory: &Inventory, left_out: &mut BTreeSet<u32>) {
    loop {
        let before = left_out.len();
        for relation in &inventory.relations {
            let owner_gone = relation.owned_by.is_some_and(|oid| left_out.contains(&oid));
            let parent_gone = relation.parents.iter().any(|oid| left_out.contains(oid));
            if owner_gone || parent_gone {
                left_out.insert(relation.oid);
            }
        }
        for (view, read) in &inventory.reads {
            if left_out.contains(read) {
                left_out.insert(*view);
            }
        }
        if left_out.len() == before {
            return;
        }
    }
}

/// `schema.table` or `table`; `*` stands for any run of characters. A dot may be part of a name.
fn matches(pattern: &str, relation: &RelationFacts) -> bool {
    if glob(pattern, &relation.name) {
        return true;
    }
    pattern.match_indices('.').any(|(at, _)| {
        glob(&pattern[..at], &relation.schema) && glob(&pattern[at + 1..], &relation.name)
    })
}

pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match text.find(piece) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_runs() {
        for (pattern, text, expected) in [
            ("orders", "orders", true),
            ("orders", "order", false),
            ("or*", "orders", true),
            ("*ers", "orders", true),
            ("o*d*s", "orders", true),
            ("o*x*s", "orders", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn dots_separate_or_belong() {
        let relation = RelationFacts {
            schema: "my.schema".to_owned(),
            name: "a.b".to_owned(),
            ..RelationFacts::default()
        };
        for pattern in ["a.b", "my.schema.a.b", "my.*.a.b", "my*.*"] {
            assert!(matches(pattern, &relation), "{pattern}");
        }
        for pattern in ["b", "schema.a.b", "my.b"] {
            assert!(!matches(pattern, &relation), "{pattern}");
        }
    }
}
