//! A database image: the manifest of one consistent snapshot, and what proves it.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// 128 bits, shown as 32 hex digits: a hash of bytes, or the order-free sum of row hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash128(pub u128);

impl Hash128 {
    /// The order-free sum: adding the parts of a table in any order gives the table's.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl fmt::Display for Hash128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 32 hex digits")]
pub struct BadHash(String);

impl FromStr for Hash128 {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadHash(text.to_owned()));
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| BadHash(text.to_owned()))
    }
}

impl TryFrom<String> for Hash128 {
    type Error = BadHash;

    fn try_from(text: String) -> Result<Self, BadHash> {
        text.parse()
    }
}

impl From<Hash128> for String {
    fn from(hash: Hash128) -> Self {
        hash.to_string()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub taken_at: DateTime<Utc>,
    pub lsn: String,
    pub system_identifier: String,
    pub server_version: String,
    pub database: String,
    pub relations: Vec<Relation>,
    pub sequences: Vec<SequenceState>,
    pub schema_hash: Hash128,
    pub schema_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    pub schema: String,
    pub name: String,
    pub kind: RelationKind,
    pub rows: u64,
    pub fingerprint: Hash128,
    pub bytes: u64,
    pub parts: Vec<Part>,
    pub server_rows: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationKind {
    Table,
    LargeObjects,
    ExtensionConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub index: u32,
    pub first_page: u64,
    pub end_page: u64,
    pub rows: u64,
    pub bytes: u64,
    pub bytes_hash: Hash128,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceState {
    pub schema: String,
    pub name: String,
    pub last_value: i64,
    pub is_called: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofLevel {
    Transit,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataPath {
    Direct,
    Relay,
    Repository,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyFormat {
    Binary,
    Text,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationPlan {
    pub id: u32,
    pub schema: String,
    pub name: String,
    pub kind: RelationKind,
    pub columns: Vec<String>,
    pub format: CopyFormat,
    pub parts: u32,
    pub estimated_bytes: u64,
    pub filter: String,
    pub constraint_indexes: Vec<ConstraintIndex>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintIndex {
    pub constraint: String,
    pub create_index: String,
    pub attach: String,
}

/// What a sender says in one stream: open, data as often as needed, close.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamMessage {
    Open(OpenStream),
    /// At most 1 MiB.
    Data(Bytes),
    Close(CloseStream),
}

/// What opens a stream between two agents.
#[derive(Clone, PartialEq)]
pub struct OpenStream {
    pub grant: Vec<u8>,
    pub sender_run: String,
    pub receiver_run: String,
    pub stream: ImageStream,
}

// The grant is a secret: it stays out of logs.
impl fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStream")
            .field("sender_run", &self.sender_run)
            .field("receiver_run", &self.receiver_run)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum ImageStream {
    Begin {
        estimated_bytes: u64,
    },
    Schema {
        relations: Vec<RelationPlan>,
        sequences: Vec<SequenceState>,
        no_tablespaces: bool,
    },
    Data {
        relation: u32,
        part: Part,
    },
    Finish {
        manifest: Manifest,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseStream {
    pub rows: u64,
    pub bytes: u64,
    pub bytes_hash: Hash128,
}

/// The receiver has it for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub receiver_run: String,
    pub rows: u64,
    pub bytes: u64,
    pub bytes_hash: Hash128,
    pub already_stored: bool,
}
