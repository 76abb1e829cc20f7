//! What changed in a database from one of its backups to another: pure, from the manifests alone.

use std::{cmp::Reverse, collections::BTreeMap};

use holdfast_proto::image::{Manifest, Relation, RelationKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupDiff {
    /// The largest difference first.
    pub changes: Vec<Change>,
    pub unchanged: u64,
    /// Definitions: of tables, views, functions …
    pub schema_changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub schema: String,
    pub name: String,
    pub kind: ChangeKind,
    pub before: Size,
    pub after: Size,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub rows: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Came,
    Went,
    Grew,
    Shrank,
    /// As many rows, others.
    Changed,
}

/// Whether the content is the same is told by the fingerprints, not by numbers.
#[must_use]
pub fn diff(older: &Manifest, newer: &Manifest) -> BackupDiff {
    let (before, after) = (by_name(older), by_name(newer));
    let mut changes = Vec::new();
    let mut unchanged = 0;
    for (key, was) in &before {
        match after.get(key) {
            None => changes.push(change(was, ChangeKind::Went, size(was), Size::default())),
            Some(is) if is.fingerprint == was.fingerprint && is.rows == was.rows => unchanged += 1,
            Some(is) => {
                let kind = match is.rows.cmp(&was.rows) {
                    std::cmp::Ordering::Greater => ChangeKind::Grew,
                    std::cmp::Ordering::Less => ChangeKind::Shrank,
                    std::cmp::Ordering::Equal => ChangeKind::Changed,
                };
                changes.push(change(is, kind, size(was), size(is)));
            }
        }
    }
    let came = after.iter().filter(|(key, _)| !before.contains_key(*key));
    changes.extend(came.map(|(_, is)| change(is, ChangeKind::Came, Size::default(), size(is))));
    changes.sort_by_key(|change| {
        let difference = change.after.bytes.abs_diff(change.before.bytes);
        (
            Reverse(difference),
            change.schema.clone(),
            change.name.clone(),
        )
    });
    BackupDiff {
        changes,
        unchanged,
        schema_changed: older.schema_hash != newer.schema_hash,
    }
}

/// Large objects and tables have names of their own; one of each kind may bear the same.
fn by_name(manifest: &Manifest) -> BTreeMap<(&str, &str, bool), &Relation> {
    let all = manifest.relations.iter();
    all.map(|relation| {
        let large_objects = relation.kind == RelationKind::LargeObjects;
        let key = (
            relation.schema.as_str(),
            relation.name.as_str(),
            large_objects,
        );
        (key, relation)
    })
    .collect()
}

fn size(relation: &Relation) -> Size {
    Size {
        rows: relation.rows,
        bytes: relation.bytes,
    }
}

fn change(relation: &Relation, kind: ChangeKind, before: Size, after: Size) -> Change {
    Change {
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        kind,
        before,
        after,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::image::Hash128;

    use super::*;

    fn relation(name: &str, rows: u64, fingerprint: u128) -> Relation {
        Relation {
            schema: "public".to_owned(),
            name: name.to_owned(),
            kind: RelationKind::Table,
            rows,
            fingerprint: Hash128(fingerprint),
            bytes: rows * 10,
            parts: vec![],
            server_rows: rows,
        }
    }

    fn manifest(relations: Vec<Relation>) -> Manifest {
        Manifest {
            format: 1,
            taken_at: chrono::DateTime::UNIX_EPOCH,
            lsn: String::new(),
            system_identifier: String::new(),
            server_version: String::new(),
            database: "shop".to_owned(),
            relations,
            sequences: vec![],
            schema_hash: Hash128(1),
            schema_bytes: 1,
        }
    }

    #[test]
    fn every_table_has_one_verdict_and_the_largest_difference_comes_first() {
        let older = manifest(vec![
            relation("same", 5, 1),
            relation("grown", 5, 2),
            relation("shrunk", 9, 3),
            relation("other_rows", 5, 4),
            relation("gone", 2, 5),
        ]);
        let newer = manifest(vec![
            relation("same", 5, 1),
            relation("grown", 500, 22),
            relation("shrunk", 1, 33),
            relation("other_rows", 5, 44),
            relation("new", 1, 6),
        ]);
        let found = diff(&older, &newer);
        let told: Vec<_> = found
            .changes
            .iter()
            .map(|c| (c.name.as_str(), c.kind, c.before.rows, c.after.rows))
            .collect();
        assert_eq!(
            told,
            [
                ("grown", ChangeKind::Grew, 5, 500),
                ("shrunk", ChangeKind::Shrank, 9, 1),
                ("gone", ChangeKind::Went, 2, 0),
                ("new", ChangeKind::Came, 0, 1),
                ("other_rows", ChangeKind::Changed, 5, 5),
            ]
        );
        assert_eq!((found.unchanged, found.schema_changed), (1, false));
    }

    #[test]
    fn definitions_are_told_apart_from_rows() {
        let mut newer = manifest(vec![]);
        newer.schema_hash = Hash128(2);
        let found = diff(&manifest(vec![]), &newer);
        assert!(found.schema_changed && found.changes.is_empty());
    }
}
