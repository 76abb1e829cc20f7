//! Files in folders: entries of a backup, put at their places with what restic keeps of a file.
//!
//! The engine stores entries side by side. What they are files *of* is told at the end, and the folders are
//! written then, by us: so a folder in which nothing changed is the same tree as before and costs nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustic_core::{
    ErrorKind, IndexedFull, RusticError, RusticResult, TreeId,
    jiff::Timestamp,
    repofile::{Metadata, Node, NodeType},
};
use serde_json::json;

use super::{EntryName, account::Incomplete, pack::TreePacker};
use crate::repository::Failed;

// What Go's os.FileMode, and so restic, says beside the nine permissions.
const FOLDER: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const FIFO: u32 = 1 << 25;
const SET_UID: u32 = 1 << 23;
const SET_GID: u32 = 1 << 22;
const CHARACTERS: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;

/// Where the entries of a backup belong. Every entry of the plan must have a place, and may have several: the
/// names of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What the snapshot shows beside its last entry.
    pub folder: EntryName,
    /// In any order. The one with an empty path is the folder itself.
    pub items: Vec<Placed>,
}

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// From the folder of the layout on.
    pub path: PathBuf,
    pub what: What,
    pub attributes: Attributes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Folder,
    /// Its content is this entry's.
    File(EntryName),
    Symlink(PathBuf),
    Fifo,
    /// By its device number, as Linux packs it.
    CharacterDevice(u64),
    BlockDevice(u64),
}

/// What a file has beside its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The twelve bits of chmod.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// How many names it has; of those with more than one, `inode` says which belong together.
    pub links: u64,
    pub inode: u64,
    pub extended: Vec<(String, Vec<u8>)>,
}

/// What is wrong with a layout.
type Odd = Vec<String>;

/// The nodes of the snapshot's own folder. `stored`: every entry, the last one among them.
pub(super) fn nodes<S: IndexedFull>(
    layout: &Layout,
    stored: Vec<Node>,
    last: &EntryName,
    packer: &mut TreePacker<'_, S>,
) -> Result<Result<Vec<Node>, Incomplete>, Failed> {
    let mut entries: HashMap<String, Node> = HashMap::new();
    let mut top = Vec::new();
    for node in stored {
        let name = node.name().to_string_lossy().into_owned();
        if name == last.as_str() {
            top.push(node);
        } else {
            entries.insert(name, node);
        }
    }
    let odd = odd(layout, &entries);
    if !odd.is_empty() {
        return Ok(Err(Incomplete::OtherEntries(odd)));
    }
    let mut inside: BTreeMap<&Path, Vec<Node>> = BTreeMap::new();
    let mut folders: Vec<&Placed> = Vec::new();
    for item in &layout.items {
        if item.what == What::Folder {
            folders.push(item);
        } else if let (Some(parent), Some(name)) = (item.path.parent(), item.path.file_name()) {
            let nodes = inside.entry(parent).or_default();
            nodes.push(item.node(name, &entries)?);
        }
    }
    // The deepest ones first: a folder's tree names those of the folders in it.
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.path.components().count()));
    for folder in folders {
        let mut nodes = inside.remove(folder.path.as_path()).unwrap_or_default();
        nodes.sort_by(|a, b| a.name().cmp(&b.name()));
        let tree = packer.add(nodes)?;
        match (folder.path.parent(), folder.path.file_name()) {
            (Some(parent), Some(name)) => {
                let nodes = inside.entry(parent).or_default();
                nodes.push(folder.folder_node(name, tree)?);
            }
            _ => top.push(folder.folder_node(OsStr::new(layout.folder.as_str()), tree)?),
        }
    }
    top.sort_by(|a, b| a.name().cmp(&b.name()));
    Ok(Ok(top))
}

/// Paths and entries that do not fit together.
fn odd(layout: &Layout, entries: &HashMap<String, Node>) -> Odd {
    let folders: BTreeSet<&Path> = layout
        .items
        .iter()
        .filter(|item| item.what == What::Folder)
        .map(|item| item.path.as_path())
        .collect();
    let mut seen = BTreeSet::new();
    let mut unplaced: BTreeSet<&str> = entries.keys().map(String::as_str).collect();
    let mut odd = Vec::new();
    for item in &layout.items {
        let plain = item
            .path
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        let parent = match item.path.parent() {
            Some(parent) => folders.contains(parent),
            None => item.what == What::Folder,
        };
        let entry = match &item.what {
            What::File(entry) => {
                unplaced.remove(entry.as_str());
                entries.contains_key(entry.as_str())
            }
            _ => true,
        };
        if !plain || !parent || !entry || !seen.insert(&item.path) {
            odd.push(item.path.display().to_string());
        }
    }
    if !folders.contains(Path::new("")) {
        odd.push(layout.folder.to_string());
    }
    odd.extend(unplaced.into_iter().map(str::to_owned));
    odd
}

impl Placed {
    fn node(&self, name: &OsStr, entries: &HashMap<String, Node>) -> RusticResult<Node> {
        let (node_type, flags) = match &self.what {
            What::Folder => (NodeType::Dir, FOLDER),
            What::File(_) => (NodeType::File, 0),
            What::Symlink(target) => (NodeType::from_link(target), SYMLINK),
            What::Fifo => (NodeType::Fifo, FIFO),
            What::CharacterDevice(device) => {
                (NodeType::Chardev { device: *device }, DEVICE | CHARACTERS)
            }
            What::BlockDevice(device) => (NodeType::Dev { device: *device }, DEVICE),
        };
        let mut node = Node::new_node(name, node_type, self.attributes.metadata(flags)?);
        if let What::File(entry) = &self.what
            && let Some(stored) = entries.get(entry.as_str())
        {
            node.content = Some(stored.content.clone().unwrap_or_default());
            node.meta.size = stored.meta.size;
        }
        Ok(node)
    }

    fn folder_node(&self, name: &OsStr, tree: TreeId) -> RusticResult<Node> {
        let mut node = self.node(name, &HashMap::new())?;
        node.subtree = Some(tree);
        Ok(node)
    }
}

impl Attributes {
    fn metadata(&self, flags: u32) -> RusticResult<Metadata> {
        let mut mode = flags | (self.mode & 0o777);
        for (bit, flag) in [(0o4000, SET_UID), (0o2000, SET_GID), (0o1000, STICKY)] {
            if self.mode & bit != 0 {
                mode |= flag;
            }
        }
        let (seconds, nanoseconds) = self.modified;
        let nanoseconds = i32::try_from(nanoseconds).unwrap_or_default();
        // What is outside of years that can be written shows as the beginning of time.
        let modified = Timestamp::new(seconds, nanoseconds).unwrap_or_default();
        // The engine's type of these has no name outside of it.
        let extended = self.extended.iter().map(|(name, value)| {
            let value = BASE64_STANDARD.encode(value);
            json!({"name": name, "value": value})
        });
        let extended = serde_json::from_value(extended.collect()).map_err(|error| {
            let what = "Extended attributes could not be written down.";
            RusticError::with_source(ErrorKind::Internal, what, error)
        })?;
        Ok(Metadata {
            mode: Some(mode),
            mtime: Some(modified),
            atime: Some(modified),
            ctime: Some(modified),
            uid: Some(self.uid),
            gid: Some(self.gid),
            links: self.links,
            // Of one with one name it would be another one after a restore, and the folder another tree.
            inode: if self.links > 1 { self.inode } else { 0 },
            extended_attributes: extended,
            ..Metadata::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str, what: What) -> Placed {
        Placed {
            path: path.into(),
            what,
            attributes: Attributes::default(),
        }
    }

    fn layout(items: Vec<Placed>) -> Layout {
        Layout {
            folder: "data".parse().unwrap(),
            items,
        }
    }

    fn entries(names: &[&str]) -> HashMap<String, Node> {
        let node = |name: &&str| {
            let node = Node::new_node(OsStr::new(name), NodeType::File, Metadata::default());
            ((*name).to_owned(), node)
        };
        names.iter().map(node).collect()
    }

    #[test]
    fn every_entry_has_a_place_in_a_folder_that_is_there() {
        let file = |entry: &str| What::File(entry.parse().unwrap());
        let good = layout(vec![
            placed("a/b", file("0")),
            placed("", What::Folder),
            placed("a", What::Folder),
            placed("a/again", file("0")),
        ]);
        assert_eq!(odd(&good, &entries(&["0"])), Vec::<String>::new());
        assert_eq!(odd(&good, &entries(&["0", "1"])), ["1"]);
        assert_eq!(odd(&good, &entries(&[])), ["a/b", "a/again"]);
        let orphan = layout(vec![placed("", What::Folder), placed("x/y", What::Fifo)]);
        assert_eq!(odd(&orphan, &entries(&[])), ["x/y"]);
        let outside = layout(vec![placed("", What::Folder), placed("../y", What::Fifo)]);
        assert_eq!(odd(&outside, &entries(&[])), ["../y"]);
        let twice = layout(vec![
            placed("", What::Folder),
            placed("y", What::Fifo),
            placed("y", What::Folder),
        ]);
        assert_eq!(odd(&twice, &entries(&[])), ["y"]);
        assert_eq!(odd(&layout(vec![]), &entries(&[])), ["data"]);
    }

    #[test]
    fn a_mode_is_told_in_restics_bits() {
        let attributes = Attributes {
            mode: 0o5750,
            ..Attributes::default()
        };
        let mode = attributes.metadata(FOLDER).unwrap().mode.unwrap();
        assert_eq!(mode, FOLDER | SET_UID | STICKY | 0o750);
    }
}
