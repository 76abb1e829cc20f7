//! Reading one backup whole, as the repository has it: what is damaged is told from what could not be asked.

use holdfast_chassis::telemetry::Chain;
use holdfast_repository::{BlobsError, EntryStream, Reading, Repository, RepositoryError};
use serde::{Deserialize, Serialize};

use super::OutOfReach;

/// More of it says nothing new.
const MOST_DAMAGE: usize = 20;

/// What came of reading a backup whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadThrough {
    pub entries: u64,
    pub bytes: u64,
    /// What is missing or is not what was stored; empty: every byte is.
    pub damage: Vec<String>,
}

/// Of what could be opened, or not.
pub async fn read(
    repository: Result<Repository, RepositoryError>,
    snapshot: &str,
) -> Result<ReadThrough, OutOfReach> {
    let mut found = ReadThrough::default();
    let Ok(id) = snapshot.parse() else {
        let none = format!("{snapshot:?} is no name of a snapshot");
        found.damage.push(none);
        return Ok(found);
    };
    let opened = match repository {
        Ok(repository) => repository.read(id).await,
        Err(error) => Err(error),
    };
    let reading = match opened {
        Ok(reading) => reading,
        Err(error) => {
            found.damage.push(damage(error)?);
            return Ok(found);
        }
    };
    for (entry, _) in reading.entries() {
        found.note(to_its_end(reading.stream(&entry)).await)?;
        if found.is_enough() {
            return Ok(found);
        }
    }
    folders(&reading, &mut found).await?;
    Ok(found)
}

/// The files of a volume lie in folders.
async fn folders(reading: &Reading, found: &mut ReadThrough) -> Result<(), OutOfReach> {
    let mut open = Vec::new();
    for name in reading.folders() {
        match reading.folder(name).await {
            Ok(folder) => open.push(folder),
            Err(error) => found.damage.push(damage(error)?),
        }
    }
    while let Some(folder) = open.pop() {
        for name in folder.files() {
            found.note(to_its_end(folder.stream(name)).await)?;
            if found.is_enough() {
                return Ok(());
            }
        }
        for name in folder.folders() {
            match folder.folder(name).await {
                Ok(inside) => open.push(inside),
                Err(error) => found.damage.push(damage(error)?),
            }
        }
    }
    Ok(())
}

impl ReadThrough {
    fn note(&mut self, read: Result<u64, RepositoryError>) -> Result<(), OutOfReach> {
        self.entries += 1;
        match read {
            Ok(bytes) => self.bytes += bytes,
            Err(error) => self.damage.push(damage(error)?),
        }
        Ok(())
    }

    fn is_enough(&self) -> bool {
        self.damage.len() >= MOST_DAMAGE
    }
}

async fn to_its_end(stream: Result<EntryStream, RepositoryError>) -> Result<u64, RepositoryError> {
    let mut stream = stream?;
    let mut bytes = 0;
    while let Some(piece) = stream.next().await? {
        bytes += piece.len() as u64;
    }
    Ok(bytes)
}

/// A storage that does not answer, or does not let us, says nothing about what it holds; one that answers that an
/// object is not there does.
pub(super) fn damage(error: RepositoryError) -> Result<String, OutOfReach> {
    match &error {
        RepositoryError::Storage { source, .. }
            if !matches!(**source, BlobsError::NotFound { .. }) =>
        {
            Err(error.into())
        }
        // No repository at all: a place that is not mounted looks like this.
        RepositoryError::Absent { .. }
        | RepositoryError::Stopped { .. }
        | RepositoryError::BackupRunning { .. } => Err(error.into()),
        _ => Ok(Chain(&error).to_string()),
    }
}
