//! Reading one backup whole, as the repository has it: what is damaged is told from what could not be asked.

use holdfast_chassis::telemetry::Chain;
use holdfast_repository::{
    BlobsError, EntryName, EntryStream, Folder, Reading, Repository, RepositoryError,
};
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
        found.entries += 1;
        match to_its_end(&reading, &entry).await {
            Ok(bytes) => found.bytes += bytes,
            Err(error) => found.damage.push(damage(error)?),
        }
        if found.damage.len() >= MOST_DAMAGE {
            break;
        }
    }
    for top in reading.folders() {
        match reading.folder(&top).await {
            Ok(folder) => in_folders(folder, &mut found).await?,
            Err(error) => found.damage.push(damage(error)?),
        }
    }
    Ok(found)
}

/// Of a volume: the files lie in folders, as restic shows them.
async fn in_folders(top: Folder, found: &mut ReadThrough) -> Result<(), OutOfReach> {
    let mut waiting = vec![top];
    while let Some(folder) = waiting.pop() {
        let (files, folders) = folder.names();
        for name in files {
            if found.damage.len() >= MOST_DAMAGE {
                return Ok(());
            }
            found.entries += 1;
            let read = match folder.stream(&name) {
                Ok(stream) => drained(stream).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(bytes) => found.bytes += bytes,
                Err(error) => found.damage.push(damage(error)?),
            }
        }
        for name in folders {
            match folder.folder(&name).await {
                Ok(inside) => waiting.push(inside),
                Err(error) => found.damage.push(damage(error)?),
            }
        }
    }
    Ok(())
}

async fn to_its_end(reading: &Reading, entry: &EntryName) -> Result<u64, RepositoryError> {
    drained(reading.stream(entry)?).await
}

async fn drained(mut stream: EntryStream) -> Result<u64, RepositoryError> {
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
