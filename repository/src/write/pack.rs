//! Trees of our own making on their way to the storage: packs of them, and the indexes that find them.

use std::collections::BTreeSet;

use bytes::Bytes;
use rustic_core::{
    ErrorKind, IndexedFull, RusticError, TreeId,
    jiff::Timestamp,
    repofile::{Node, Tree},
};
use serde_json::{Value, json};

use super::seal::Seal;
use crate::{
    blobs::{Kind, ObjectId},
    bridge::Bridge,
    repository::Failed,
};

/// In a pack's header: a compressed tree.
const COMPRESSED_TREE: u8 = 3;
const LEVEL: i32 = 1;
/// A pack is written when it holds so much.
const FULL: usize = 8 << 20;

/// Takes trees, and leaves out those that the repository has.
pub(super) struct TreePacker<'a, S> {
    opened: &'a rustic_core::Repository<S>,
    bridge: &'a Bridge,
    seal: Seal,
    blobs: Vec<Blob>,
    bytes: usize,
    /// Of this writing.
    written: BTreeSet<ObjectId>,
}

struct Blob {
    id: ObjectId,
    sealed: Vec<u8>,
    /// Uncompressed.
    raw: u32,
}

impl<'a, S: IndexedFull> TreePacker<'a, S> {
    pub(super) fn new(
        opened: &'a rustic_core::Repository<S>,
        bridge: &'a Bridge,
        seal: Seal,
    ) -> Self {
        Self {
            opened,
            bridge,
            seal,
            blobs: Vec::new(),
            bytes: 0,
            written: BTreeSet::new(),
        }
    }

    /// The nodes must be sorted by name. What is taken counts after [`Self::finish`] only.
    pub(super) fn add(&mut self, nodes: Vec<Node>) -> Result<TreeId, Failed> {
        let (text, tree) = Tree { nodes }
            .serialize()
            .map_err(|error| internal("A tree could not be written down.", error))?;
        let id = crate::bridge::object_id(&tree)?;
        if self.written.contains(&id) || self.opened.get_index_entry(&tree).is_ok() {
            return Ok(tree);
        }
        let packed = zstd::bulk::compress(&text, LEVEL)
            .map_err(|error| internal("A tree could not be compressed.", error))?;
        let sealed = self.seal.close(&packed)?;
        self.bytes += sealed.len();
        self.blobs.push(Blob {
            id,
            sealed,
            raw: short(text.len())?,
        });
        self.written.insert(id);
        if self.bytes >= FULL {
            self.flush()?;
        }
        Ok(tree)
    }

    pub(super) fn finish(mut self) -> Result<(), Failed> {
        self.flush()
    }

    /// One pack, and the index that names what is in it.
    fn flush(&mut self) -> Result<(), Failed> {
        if self.blobs.is_empty() {
            return Ok(());
        }
        let mut plain = Vec::new();
        let mut content = Vec::new();
        let mut listed: Vec<Value> = Vec::new();
        let mut offset = 0;
        for blob in self.blobs.drain(..) {
            let length = short(blob.sealed.len())?;
            plain.extend_from_slice(&header(blob.id, length, blob.raw));
            listed.push(json!({
                "id": blob.id.to_string(),
                "type": "tree",
                "offset": offset,
                "length": length,
                "uncompressed_length": blob.raw,
            }));
            offset += length;
            content.push(Bytes::from(blob.sealed));
        }
        self.bytes = 0;
        let header = self.seal.close(&plain)?;
        let end = short(header.len())?.to_le_bytes();
        content.extend([Bytes::from(header), Bytes::from(end.to_vec())]);
        let size: usize = content.iter().map(Bytes::len).sum();
        let storage = |_| Failed::Engine(plainly("The storage failed."));
        let pack = self.bridge.put(Kind::Pack, content).map_err(storage)?;
        let index = json!({"packs": [{
            "id": pack.to_string(),
            "blobs": listed,
            "time": Timestamp::now(),
            "size": size,
        }]});
        let index = self.seal.close(index.to_string().as_bytes())?;
        self.bridge
            .put(Kind::Index, vec![Bytes::from(index)])
            .map_err(storage)?;
        Ok(())
    }
}

fn header(id: ObjectId, length: u32, raw: u32) -> Vec<u8> {
    let mut entry = vec![COMPRESSED_TREE];
    entry.extend_from_slice(&length.to_le_bytes());
    entry.extend_from_slice(&raw.to_le_bytes());
    entry.extend_from_slice(id.as_bytes());
    entry
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

fn plainly(what: &'static str) -> Box<RusticError> {
    RusticError::new(ErrorKind::Backend, what)
}
