//! The newest hash, kept in a file beside the database.
//!
//! What it detects: a log that was cut at its end, or written anew as a whole, by somebody who can
//! write the database but not this file. What it does not: the same by somebody who can write both
//! (root on the controller's machine), or a cut of entries that only another controller has
//! written and noted, each controller has a file of its own. Send the log elsewhere against those.
//!
//! Once the log contradicts the file, the file is the evidence: it is not written any more until
//! somebody has moved it away.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
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
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// An entry that was written later can come to be noted earlier.
    noted: Option<Head>,
    /// The log contradicts it.
    evidence: bool,
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
    /// Reads what an earlier controller noted here.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn open(path: &Path) -> Result<Self, HeadError> {
        let state = Mutex::new(State {
            noted: None,
            evidence: false,
        });
        let file = Self {
            path: path.to_owned(),
            state,
        };
        let noted = file.read()?;
        file.state().noted = noted;
        Ok(file)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest entry that was noted here.
    #[must_use]
    pub fn noted(&self) -> Option<Head> {
        self.state().noted
    }

    /// The log contradicts what is noted: from now on the file stays as it is. False when it was known already.
    pub fn keep_as_evidence(&self) -> bool {
        !std::mem::replace(&mut self.state().evidence, true)
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

    /// Replaces the file, unless it has a later entry already or is evidence.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&self, head: Head) -> Result<(), HeadError> {
        let mut state = self.state();
        let later = state
            .noted
            .is_some_and(|noted| noted.sequence >= head.sequence);
        if state.evidence || later {
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
        state.noted = Some(head);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let path = directory.path().join("audit-head.json");
        let file = HeadFile::open(&path).unwrap();
        assert_eq!(file.read().unwrap(), None);
        let head = |sequence| Head {
            sequence,
            hash: Hash([7; 32]),
        };
        file.note(head(2)).unwrap();
        file.note(head(1)).unwrap();
        assert_eq!(file.read().unwrap(), Some(head(2)));

        let again = HeadFile::open(&path).unwrap();
        again.note(head(1)).unwrap();
        assert_eq!(again.read().unwrap(), Some(head(2)));
        assert!(again.keep_as_evidence() && !again.keep_as_evidence());
        again.note(head(3)).unwrap();
        assert_eq!(again.read().unwrap(), Some(head(2)));
    }

    #[test]
    fn a_file_with_something_else_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit-head.json");
        for content in ["", "{}", r#"{"sequence":1,"hash":"00"}"#] {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(
                HeadFile::open(&path),
                Err(HeadError::Content { .. })
            ));
        }
    }
}
