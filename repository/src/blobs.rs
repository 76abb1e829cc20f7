//! What a repository lies on: objects that are written once and never changed.

use std::{error::Error as StdError, fmt, ops::Range, str::FromStr};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A place that keeps objects. A directory and a bucket are ones, so is the controller's gateway.
///
/// Whoever implements it writes an object whole or not at all, and durably: a name that is listed
/// can be read, and stays after a power cut.
#[async_trait]
pub trait Blobs: Send + Sync + fmt::Debug + 'static {
    /// Where it is, as an operator would say it. Never with credentials.
    fn location(&self) -> String;

    /// Every object of a kind. An empty answer for a place that does not exist yet.
    async fn list(&self, kind: Kind) -> Result<Vec<Listed>, BlobsError>;

    async fn get(&self, name: Name) -> Result<Bytes, BlobsError>;

    /// Exactly these bytes of it. A range that reaches beyond its end is an error.
    async fn get_range(&self, name: Name, range: Range<u64>) -> Result<Bytes, BlobsError>;

    /// Writes a new object. One that is there already and is equal is a success, so that a write
    /// whose answer got lost can be tried again; one that differs is [`BlobsError::Exists`].
    async fn put_new(&self, name: Name, content: Vec<Bytes>) -> Result<(), BlobsError>;

    /// Removes an object; one that is not there is a success.
    async fn remove(&self, name: Name) -> Result<(), BlobsError>;
}

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The repository's settings. There is one, and it has no id.
    Config,
    /// The master key, under a password.
    Key,
    Snapshot,
    /// Which pack holds which piece of data.
    Index,
    /// Pieces of data, compressed and encrypted.
    Pack,
}

/// The SHA-256 of an object's content, which is its name too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ObjectId([u8; 32]);

/// One object's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    pub kind: Kind,
    /// Zeros for the config.
    pub id: ObjectId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    pub id: ObjectId,
    /// Bytes.
    pub size: u64,
}

/// Why a place could not do it.
#[derive(Debug, thiserror::Error)]
pub enum BlobsError {
    #[error("{name} is not in {location}")]
    NotFound { name: Name, location: String },
    #[error(
        "{name} is in {location} already, with another content: it was not overwritten. Run: ctl repository check"
    )]
    Exists { name: Name, location: String },
    #[error("{location} does not let {name} be {what}")]
    Refused {
        what: &'static str,
        name: Name,
        location: String,
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// They are wrong, over, or do not allow it: trying again with the same does not help.
    #[error("{location} does not accept the credentials: could not {doing}")]
    Credentials {
        /// "write data/ab/…", "list index".
        doing: String,
        location: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Of a disk or of a quota.
    #[error("{location} is full: {name} was not written")]
    Full {
        name: Name,
        location: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error("could not {doing} in {location}")]
    Failed {
        /// "write data/ab/…", "list index".
        doing: String,
        location: String,
        /// Trying again may help.
        again: bool,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// A text that is no object's name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no object of a repository")]
pub struct NoSuchName(pub String);

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Config,
        Self::Key,
        Self::Snapshot,
        Self::Index,
        Self::Pack,
    ];

    /// The folder of restic's layout; for the config, the file.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Pack => "data",
        }
    }
}

impl Name {
    pub const CONFIG: Self = Self {
        kind: Kind::Config,
        id: ObjectId([0; 32]),
    };

    #[must_use]
    pub const fn new(kind: Kind, id: ObjectId) -> Self {
        Self { kind, id }
    }

    /// Where restic looks for it: `config`, `keys/<id>`, `data/<2 hex>/<id>`.
    #[must_use]
    pub fn path(&self) -> String {
        let folder = self.kind.folder();
        let id = self.id.to_string();
        match self.kind {
            Kind::Config => folder.to_owned(),
            Kind::Pack => format!("{folder}/{}/{id}", &id[..2]),
            Kind::Key | Kind::Snapshot | Kind::Index => format!("{folder}/{id}"),
        }
    }
}

impl ObjectId {
    #[must_use]
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The name that an object with this content has.
    #[must_use]
    pub fn of(content: &[Bytes]) -> Self {
        let mut hash = Sha256::new();
        for piece in content {
            hash.update(piece);
        }
        Self(hash.finalize().into())
    }
}

impl BlobsError {
    /// Trying again may help.
    #[must_use]
    pub fn again(&self) -> bool {
        matches!(self, Self::Failed { again: true, .. })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.folder())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ObjectId {
    type Err = NoSuchName;

    fn from_str(text: &str) -> Result<Self, NoSuchName> {
        let mut id = [0; 32];
        hex::decode_to_slice(text, &mut id).map_err(|_| NoSuchName(text.to_owned()))?;
        Ok(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_where_restic_looks() {
        let id: ObjectId = "ab".repeat(32).parse().unwrap();
        let path = |kind| Name::new(kind, id).path();
        assert_eq!(path(Kind::Pack), format!("data/ab/{id}"));
        assert_eq!(path(Kind::Snapshot), format!("snapshots/{id}"));
        assert_eq!(path(Kind::Key), format!("keys/{id}"));
        assert_eq!(path(Kind::Index), format!("index/{id}"));
        assert_eq!(Name::CONFIG.path(), "config");
    }

    #[test]
    fn an_id_is_sixty_four_digits() {
        assert!("abc".parse::<ObjectId>().is_err());
        assert!("zz".repeat(32).parse::<ObjectId>().is_err());
        assert_eq!(
            ObjectId::of(&[Bytes::from_static(b"a"), Bytes::from_static(b"bc")]).to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
