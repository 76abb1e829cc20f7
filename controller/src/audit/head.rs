//! The newest hash, kept in a file beside the database.
//!
//! What it detects: a log that was cut at its end, or written anew as a whole, by somebody who can
//! write the database but not this file. What it does not: the same by somebody who can write both
//! (root on the controller's machine), or a cut of entries that only another controller has
//! written and noted, each controller has a file of its own. Send the log elsewhere against those.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

use super::Hash;

/// The newest entry that this controller wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub sequence: u64,
    pub hash: Hash,
}

/// Where the head is kept.
#[derive(Debug)]
pub struct HeadFile {
    path: PathBuf,
    /// The sequence in the file: an entry that was written later can come here earlier.
    noted: Mutex<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    #[error("cannot {doing} {path:?}, where the newest hash of the audit log is kept")]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{path:?} does not hold the newest hash of the audit log ({reason}): somebody else has written it"
    )]
    Content { path: PathBuf, reason: String },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    sequence: u64,
    hash: String,
}

impl HeadFile {
    /// Makes nothing yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            noted: Mutex::new(0),
        }
    }

    /// None before the first entry.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn read(&self) -> Result<Option<Head>, HeadError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.failed("read", source)),
        };
        let content = |reason: String| HeadError::Content {
            path: self.path.clone(),
            reason,
        };
        let stored: Stored =
            serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        let mut hash = [0; 32];
        hex::decode_to_slice(&stored.hash, &mut hash)
            .map_err(|error| content(error.to_string()))?;
        Ok(Some(Head {
            sequence: stored.sequence,
            hash: Hash(hash),
        }))
    }

    /// Replaces the file, unless it has a later entry already.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&self, head: Head) -> Result<(), HeadError> {
        let mut noted = self
            .noted
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if head.sequence <= *noted {
            return Ok(());
        }
        let stored = Stored {
            sequence: head.sequence,
            hash: head.hash.to_string(),
        };
        let text =
            serde_json::to_string(&stored).map_err(|error| self.failed("encode", error.into()))?;
        self.replace(&text)
            .map_err(|source| self.failed("write", source))?;
        *noted = head.sequence;
        Ok(())
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let beside = self
            .path
            .with_extension(format!("{}.being-written", std::process::id()));
        let mut file: File = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> HeadError {
        HeadError::File {
            doing,
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_kept_whatever_the_order() {
        let directory = tempfile::tempdir().unwrap();
        let file = HeadFile::new(&directory.path().join("audit-head.json"));
        assert_eq!(file.read().unwrap(), None);
        let head = |sequence| Head {
            sequence,
            hash: Hash([7; 32]),
        };
        file.note(head(2)).unwrap();
        file.note(head(1)).unwrap();
        assert_eq!(file.read().unwrap(), Some(head(2)));
    }

    #[test]
    fn a_file_with_something_else_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit-head.json");
        for content in ["", "{}", r#"{"sequence":1,"hash":"00"}"#] {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(
                HeadFile::new(&path).read(),
                Err(HeadError::Content { .. })
            ));
        }
    }
}
