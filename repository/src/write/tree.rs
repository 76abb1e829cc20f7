//! The last tree of a backup: what the engine stored, compared with our own account, with the sizes
//! that the engine does not know, and sorted.
//!
//! The engine writes the size that an entry was announced with, and a stream has none: it would say 0,
//! and `restic restore` makes an empty file of that, whatever content is listed. So the tree is
//! written once more, as a pack and an index of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use rustic_core::{
    ErrorKind, IndexedFull, RusticError,
    jiff::Timestamp,
    repofile::{Node, SnapshotFile, Tree},
};
use serde_json::json;

use super::{EntryName, account::Incomplete, seal::Seal};
use crate::{
    blobs::{Kind, ObjectId},
    bridge::{Bridge, engine_id},
    error::RepositoryError,
    repository::Failed,
};

/// In a pack's header: a compressed tree.
const COMPRESSED_TREE: u8 = 3;
const LEVEL: i32 = 1;

/// The stored entries, if they are those of the account: names, lengths, totals.
pub(super) fn compare<S: IndexedFull>(
    opened: &rustic_core::Repository<S>,
    snapshot: &SnapshotFile,
    account: &BTreeMap<EntryName, u64>,
    location: &str,
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
    }
    Ok(nodes)
}

/// Writes a tree of these entries, and the index that finds it.
pub(super) fn store(nodes: Vec<Node>, bridge: &Bridge, seal: &Seal) -> Result<ObjectId, Failed> {
    let (text, id) = Tree { nodes }
        .serialize()
        .map_err(|error| internal("A tree could not be written down.", error))?;
    let id = crate::bridge::object_id(&id)?;
    let packed = zstd::bulk::compress(&text, LEVEL)
        .map_err(|error| internal("A tree could not be compressed.", error))?;
    let blob = seal.close(&packed)?;
    let (length, raw) = (short(blob.len())?, short(text.len())?);
    let header = seal.close(&header(id, length, raw))?;
    let end = short(header.len())?.to_le_bytes();
    let content = [blob, header, end.to_vec()].map(Bytes::from).to_vec();
    let size: usize = content.iter().map(Bytes::len).sum();
    let storage = |_| Failed::Engine(plain("The storage failed."));
    let pack = bridge.put(Kind::Pack, content).map_err(storage)?;
    let index = json!({"packs": [{
        "id": pack.to_string(),
        "blobs": [{
            "id": id.to_string(),
            "type": "tree",
            "offset": 0,
            "length": length,
            "uncompressed_length": raw,
        }],
        "time": Timestamp::now(),
        "size": size,
    }]});
    let index = seal.close(index.to_string().as_bytes())?;
    bridge
        .put(Kind::Index, vec![Bytes::from(index)])
        .map_err(storage)?;
    Ok(id)
}

/// The tree as the engine names it.
pub(super) fn root(snapshot: &mut SnapshotFile, tree: ObjectId) -> Result<(), Failed> {
    snapshot.tree = engine_id(tree)?.into();
    Ok(())
}

fn header(id: ObjectId, length: u32, raw: u32) -> Vec<u8> {
    let mut entry = vec![COMPRESSED_TREE];
    entry.extend_from_slice(&length.to_le_bytes());
    entry.extend_from_slice(&raw.to_le_bytes());
    entry.extend_from_slice(id.as_bytes());
    entry
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

fn short(bytes: usize) -> Result<u32, Failed> {
    u32::try_from(bytes).map_err(|error| internal("A tree of 4 GiB does not fit.", error).into())
}

fn internal(
    what: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Internal, what, source)
}

fn plain(what: &'static str) -> Box<RusticError> {
    RusticError::new(ErrorKind::Backend, what)
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
