//! The list of everything in a volume: what a backup holds, and what a restored volume is held against.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
};

use holdfast_proto::{image::Hash128, task::VolumeImage};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

/// Of [`Contents`].
pub const FORMAT: u32 = 1;
/// What the snapshot shows beside the list.
pub const FOLDER: &str = "data";
pub const LIST: &str = "volume.json";

/// As it lies in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    pub image: VolumeImage,
    /// Sorted by path: a folder before what is in it.
    pub items: Vec<Item>,
}

/// One name in the volume, and everything that a restore must bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// From the volume's uppermost folder on, whose own path is empty.
    #[serde(with = "text")]
    pub path: PathBuf,
    #[serde(flatten)]
    pub kind: Kind,
    /// The twelve bits of chmod.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// Values in hex.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extended: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    Folder,
    File {
        bytes: u64,
        xxh3: Hash128,
    },
    /// Another name of the file at this path, which comes before it.
    SameAs {
        #[serde(with = "text")]
        first: PathBuf,
    },
    Symlink {
        #[serde(with = "text")]
        target: PathBuf,
    },
    Fifo,
    /// By number, as Linux packs it.
    CharacterDevice {
        device: u64,
    },
    BlockDevice {
        device: u64,
    },
}

/// Names are bytes, JSON is text: what is not UTF-8 becomes `\xNN`, a backslash two of them.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{Path, PathBuf, read_name, write_name};

    pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&write_name(path))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        let text = String::deserialize(from)?;
        read_name(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no path")))
    }
}

impl Item {
    /// All of its parts are plain names: it cannot lead out of the volume.
    #[must_use]
    pub fn stays_inside(&self) -> bool {
        let plain = |path: &Path| {
            path.components()
                .all(|part| matches!(part, Component::Normal(_)))
        };
        match &self.kind {
            Kind::SameAs { first } => plain(first) && plain(&self.path),
            _ => plain(&self.path),
        }
    }
}

/// Over the whole list: two volumes with the same one are the same.
///
/// # Errors
/// When an item cannot be written down, which is a defect.
pub fn fingerprint(items: &[Item]) -> serde_json::Result<Hash128> {
    let mut hash = Xxh3Default::new();
    for item in items {
        hash.update(&serde_json::to_vec(item)?);
        hash.update(b"\n");
    }
    Ok(Hash128(hash.digest128()))
}

/// Where two lists differ first, for people.
#[must_use]
pub fn difference(wanted: &[Item], found: &[Item]) -> Option<String> {
    let by_path = |items: &[Item]| -> BTreeMap<PathBuf, Item> {
        let keyed = items.iter().map(|item| (item.path.clone(), item.clone()));
        keyed.collect()
    };
    let (wanted, found) = (by_path(wanted), by_path(found));
    for (path, item) in &wanted {
        match found.get(path) {
            None => return Some(format!("{} is not there", shown(path))),
            Some(other) if other != item => {
                return Some(format!("{} is {other:?}, and was {item:?}", shown(path)));
            }
            Some(_) => {}
        }
    }
    let extra = found.keys().find(|path| !wanted.contains_key(*path))?;
    Some(format!("{} was not in the backup", shown(extra)))
}

/// A path as operators are told it.
#[must_use]
pub fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        "the uppermost folder".to_owned()
    } else {
        write_name(path)
    }
}

fn write_name(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!(r"\x{byte:02x}"));
        }
    }
    text
}

fn read_name(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = escaped.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = after;
        } else {
            let digits = escaped.strip_prefix('x')?.get(..2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = escaped.get(3..)?;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

/// Folder and name of a path that is not the uppermost folder's.
#[must_use]
pub fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    Some((path.parent()?, path.file_name()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn item(path: &str, kind: Kind) -> Item {
        Item {
            path: path.into(),
            kind,
            mode: 0o644,
            uid: 1,
            gid: 2,
            modified: (3, 4),
            extended: BTreeMap::new(),
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back(bytes in proptest::collection::vec(1_u8.., 0..40)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            prop_assert_eq!(read_name(&write_name(&path)), Some(path));
        }
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let kinds = [
            Kind::Folder,
            Kind::File {
                bytes: 7,
                xxh3: Hash128(8),
            },
            Kind::SameAs { first: "a".into() },
            Kind::Symlink {
                target: "/etc/passwd".into(),
            },
            Kind::Fifo,
            Kind::CharacterDevice { device: 259 },
            Kind::BlockDevice { device: 2049 },
        ];
        for kind in kinds {
            let mut one = item("x/y", kind);
            one.extended.insert("user.a".to_owned(), "00ff".to_owned());
            let text = serde_json::to_string(&one).unwrap();
            assert_eq!(serde_json::from_str::<Item>(&text).unwrap(), one, "{text}");
        }
    }

    #[test]
    fn whatever_differs_is_found_and_makes_another_fingerprint() {
        let file = Kind::File {
            bytes: 7,
            xxh3: Hash128(8),
        };
        let was = vec![item("", Kind::Folder), item("a", file)];
        assert_eq!(difference(&was, &was), None);
        let changes: [fn(&mut Item); 7] = [
            |item| item.mode = 0o600,
            |item| item.uid = 9,
            |item| item.gid = 9,
            |item| item.modified.1 = 9,
            |item| {
                item.kind = Kind::File {
                    bytes: 7,
                    xxh3: Hash128(9),
                }
            },
            |item| item.path = "b".into(),
            |item| drop(item.extended.insert("user.a".to_owned(), String::new())),
        ];
        for change in changes {
            let mut is = was.clone();
            change(&mut is[1]);
            assert!(difference(&was, &is).is_some(), "{is:?}");
            assert_ne!(fingerprint(&was).unwrap(), fingerprint(&is).unwrap());
        }
        let more = [was.clone(), vec![item("z", Kind::Fifo)]].concat();
        assert_eq!(difference(&was, &more).unwrap(), "z was not in the backup");
        assert_eq!(difference(&more, &was).unwrap(), "z is not there");
    }

    #[test]
    fn a_path_that_leads_out_is_told() {
        assert!(item("a/b", Kind::Fifo).stays_inside());
        for path in ["../a", "/etc", "a/../../b"] {
            assert!(!item(path, Kind::Fifo).stays_inside(), "{path}");
        }
        let first = "../a".into();
        assert!(!item("a", Kind::SameAs { first }).stays_inside());
    }
}
