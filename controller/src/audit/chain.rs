//! One entry, and what its hash covers.

use std::fmt;

use chrono::{DateTime, SubsecRound, Utc};
use sha2::{Digest, Sha256};

/// Changes when the encoding changes, so that no old hash can stand for a new entry.
const ENCODING: &[u8] = b"holdfast audit entry 1";

/// SHA-256; of an entry, over everything before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// How what was tried ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Refused,
}

/// What happened, before it has its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    pub at: DateTime<Utc>,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub outcome: Outcome,
    pub detail: String,
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// 1, 2, 3, … without gaps.
    pub sequence: u64,
    pub content: NewEntry,
    pub previous: Hash,
    pub hash: Hash,
}

impl Hash {
    /// What stands before the first entry.
    pub const START: Self = Self([0; 32]);
}

impl Entry {
    /// Puts the content behind an entry with this sequence (0: it is the first) and hash.
    #[must_use]
    pub fn after(sequence: u64, previous: Hash, mut content: NewEntry) -> Self {
        // What the database keeps of a time; else the hash would not be that of the row.
        content.at = content.at.trunc_subsecs(6);
        let sequence = sequence + 1;
        let hash = hash(sequence, previous, &content);
        Self {
            sequence,
            content,
            previous,
            hash,
        }
    }

    /// What the hash has to be for this content in this place.
    #[must_use]
    pub fn expected_hash(&self) -> Hash {
        hash(self.sequence, self.previous, &self.content)
    }
}

impl Outcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ok" => Some(Self::Ok),
            "refused" => Some(Self::Refused),
            _ => None,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Every text goes in with its length before it: no two entries have the same encoding.
fn hash(sequence: u64, previous: Hash, content: &NewEntry) -> Hash {
    let NewEntry {
        at,
        actor,
        action,
        subject,
        outcome,
        detail,
    } = content;
    let mut digest = Sha256::new();
    digest.update(ENCODING);
    digest.update(previous.0);
    digest.update(sequence.to_be_bytes());
    digest.update(at.timestamp_micros().to_be_bytes());
    for text in [actor, action, subject, outcome.as_str(), detail] {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    Hash(digest.finalize().into())
}
