//! Notes on disk about publications: which database went into a place, and what the place was like.

use std::{fs, io, path::PathBuf};

use holdfast_proto::task::{FailureKind, TaskFailure};
use serde::{Deserialize, Serialize};

use crate::task::Context;

/// One note a staging name; a staging name is used by one job only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Stays the same when the database is renamed.
    pub staging_oid: u32,
    /// What stood in the place before; none: it was free.
    pub former: Option<Former>,
    /// Roles that the job created, by oid: they lost its mark with the publication.
    #[serde(default)]
    pub roles: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    pub oid: u32,
    pub allowed_connections: bool,
}

#[derive(Debug)]
pub struct Notes {
    dir: PathBuf,
}

impl Notes {
    #[must_use]
    pub fn of(context: &Context) -> Self {
        Self {
            dir: context.state_dir.join("publications"),
        }
    }

    /// # Errors
    /// When the file is there but cannot be read: nothing is known then.
    pub fn read(&self, staging: &str) -> Result<Option<Note>, TaskFailure> {
        match fs::read(self.path(staging)) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| unreadable(staging, &error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(staging, &error.to_string())),
        }
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub fn write(&self, staging: &str, note: &Note) -> Result<(), TaskFailure> {
        let path = self.path(staging);
        let partial = path.with_extension("part");
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.dir)?;
            let file = fs::File::create(&partial)?;
            serde_json::to_writer(&file, note)?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| TaskFailure {
            kind: FailureKind::Exhausted,
            message: format!(
                "noting the publication of {staging:?} in {}: {error}",
                self.dir.display()
            ),
            advice: "make room on the agent's state directory".to_owned(),
            retryable: true,
        })
    }

    /// Forgets it; a note that is not there is forgotten already.
    pub fn remove(&self, staging: &str) {
        let _ = fs::remove_file(self.path(staging));
    }

    fn path(&self, staging: &str) -> PathBuf {
        self.dir.join(format!("{}.json", hex::encode(staging)))
    }
}

fn unreadable(staging: &str, why: &str) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Internal,
        message: format!("the note on the publication of {staging:?} cannot be read: {why}"),
        advice:
            "compare the databases by hand; then remove the file from the agent's state directory"
                .to_owned(),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes {
            dir: dir.path().join("publications"),
        };
        let note = Note {
            staging_oid: 16_384,
            former: Some(Former {
                oid: 5,
                allowed_connections: false,
            }),
            roles: vec![16_385],
        };
        assert_eq!(notes.read("ä/b__staging_1").unwrap(), None);
        notes.write("ä/b__staging_1", &note).unwrap();
        assert_eq!(notes.read("ä/b__staging_1").unwrap(), Some(note));
        notes.remove("ä/b__staging_1");
        assert_eq!(notes.read("ä/b__staging_1").unwrap(), None);
    }
}
