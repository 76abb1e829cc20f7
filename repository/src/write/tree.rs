//! The last tree of a backup: what the engine stored, compared with our own account, with the sizes
//! that the engine does not know, and sorted.
//!
//! The engine writes the size that an entry was announced with, and a stream has none: it would say 0,
//! and `restic restore` makes an empty file of that, whatever content is listed. So the tree is
//! written once more, as a pack and an index of its own.
//!
//! The engine's tree has no times, so that it is the same again as long as the entries are.

use std::collections::BTreeMap;

use rustic_core::{
    IndexedFull,
    jiff::Timestamp,
    repofile::{Node, SnapshotFile},
};

use super::{EntryName, account::Incomplete};
use crate::{error::RepositoryError, repository::Failed};

/// The stored entries, if they are those of the account: names, lengths, totals.
pub(super) fn compare<S: IndexedFull>(
    opened: &rustic_core::Repository<S>,
    snapshot: &SnapshotFile,
    account: &BTreeMap<EntryName, u64>,
    (location, time): (&str, Timestamp),
) -> Result<Vec<Node>, Failed> {
    let differs = |source| {
        let location = location.to_owned();
        Failed::Told(RepositoryError::Incomplete { location, source })
    };
    if let Some(why) = totals(snapshot, account) {
        return Err(differs(why));
    }
    let mut nodes = opened.get_tree(&snapshot.tree)?.nodes;
    nodes.sort_by(|a, b| a.name().cmp(&b.name()));
    if let Some(why) = names(&nodes, account) {
        return Err(differs(why));
    }
    for (node, (entry, sent)) in nodes.iter_mut().zip(account) {
        let mut stored = 0;
        for piece in node.content.iter().flatten() {
            stored += u64::from(opened.get_index_entry(piece)?.data_length());
        }
        if stored != *sent {
            return Err(differs(Incomplete::StoredOtherwise {
                entry: entry.clone(),
                sent: *sent,
                stored,
            }));
        }
        node.meta.size = stored;
        let meta = &mut node.meta;
        (meta.mtime, meta.atime, meta.ctime) = (Some(time), Some(time), Some(time));
    }
    Ok(nodes)
}

fn totals(snapshot: &SnapshotFile, account: &BTreeMap<EntryName, u64>) -> Option<Incomplete> {
    let (stored, stored_bytes) = snapshot.summary.as_ref().map_or((0, 0), |summary| {
        (summary.total_files_processed, summary.total_bytes_processed)
    });
    let (sent, sent_bytes) = (account.len() as u64, account.values().sum());
    (stored != sent || stored_bytes != sent_bytes).then_some(Incomplete::Totals {
        sent,
        sent_bytes,
        stored,
        stored_bytes,
    })
}

/// Both are sorted by name, byte by byte.
fn names(nodes: &[Node], account: &BTreeMap<EntryName, u64>) -> Option<Incomplete> {
    let stored: Vec<String> = nodes
        .iter()
        .map(|node| node.name().to_string_lossy().into_owned())
        .collect();
    let same =
        stored.iter().eq(account.keys().map(EntryName::as_str)) && nodes.iter().all(Node::is_file);
    if same {
        return None;
    }
    let odd = stored
        .iter()
        .filter(|name| !account.keys().any(|entry| entry.as_str() == name.as_str()))
        .cloned()
        .chain(
            account
                .keys()
                .filter(|entry| !stored.iter().any(|name| name == entry.as_str()))
                .map(ToString::to_string),
        )
        .collect();
    Some(Incomplete::OtherEntries(odd))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use rustic_core::repofile::{Metadata, NodeType, SnapshotSummary};

    use super::*;

    fn account(entries: &[(&str, u64)]) -> BTreeMap<EntryName, u64> {
        entries
            .iter()
            .map(|(name, bytes)| (name.parse().unwrap(), *bytes))
            .collect()
    }

    fn stored(files: u64, bytes: u64) -> SnapshotFile {
        let mut summary = SnapshotSummary::default();
        summary.total_files_processed = files;
        summary.total_bytes_processed = bytes;
        SnapshotFile {
            summary: Some(summary),
            ..SnapshotFile::default()
        }
    }

    fn nodes(names: &[&str]) -> Vec<Node> {
        names
            .iter()
            .map(|name| Node::new_node(OsStr::new(name), NodeType::File, Metadata::default()))
            .collect()
    }

    /// What the engine does when it has swallowed a read error: one entry less, and success.
    #[test]
    fn totals_that_differ_are_told() {
        let sent = account(&[("a", 5), ("b", 7)]);
        assert_eq!(totals(&stored(2, 12), &sent), None);
        for wrong in [
            stored(1, 5),
            stored(2, 11),
            stored(3, 12),
            SnapshotFile::default(),
        ] {
            assert!(matches!(
                totals(&wrong, &sent),
                Some(Incomplete::Totals { .. })
            ));
        }
    }

    #[test]
    fn entries_that_are_missing_strange_or_no_files_are_told() {
        let sent = account(&[("a", 5), ("größe", 7)]);
        assert_eq!(names(&nodes(&["a", "größe"]), &sent), None);
        let odd = |found: &[&str]| match names(&nodes(found), &sent) {
            Some(Incomplete::OtherEntries(odd)) => odd,
            other => panic!("{other:?}"),
        };
        assert_eq!(odd(&["a"]), ["größe"]);
        assert_eq!(odd(&["a", "b"]), ["b", "größe"]);
        assert_eq!(odd(&["a", "größe", "z"]), ["z"]);
        let mut folder = nodes(&["a", "größe"]);
        folder[0].node_type = NodeType::Dir;
        assert!(names(&folder, &sent).is_some());
    }
}
