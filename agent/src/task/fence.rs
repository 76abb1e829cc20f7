//! The fence: the highest epoch that each job was seen with, kept on disk.
//!
//! A controller that lost its lease and does not know it yet still sends tasks; they carry the epoch of that
//! lease, and the one that took over has a higher one.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Jobs are numbered in order; the oldest are forgotten first.
const JOBS_KEPT: usize = 1000;

#[derive(Debug)]
pub struct Fence {
    path: PathBuf,
    highest: BTreeMap<u64, u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    #[error("epoch {epoch} of job {job} is over: this host has seen epoch {highest}")]
    Stale { job: u64, epoch: u64, highest: u64 },
    #[error("cannot note the epoch of job {job} in {}: {source}", .path.display())]
    Write {
        job: u64,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Fence {
    /// # Errors
    /// When the file is there and cannot be understood: without it the fence would be open.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join("epochs.json");
        let highest = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, highest })
    }

    /// Lets an epoch through that is not below the highest seen, and remembers it.
    ///
    /// Job 0 stands for work outside jobs; it has no lease and no fence.
    ///
    /// # Errors
    /// `Stale`; `Write` when it could not be remembered, the task must not start then.
    pub fn pass(&mut self, job: u64, epoch: u64) -> Result<(), FenceError> {
        let highest = self.highest.get(&job).copied().unwrap_or(0);
        if epoch < highest {
            return Err(FenceError::Stale {
                job,
                epoch,
                highest,
            });
        }
        if job == 0 || epoch == highest {
            return Ok(());
        }
        self.highest.insert(job, epoch);
        while self.highest.len() > JOBS_KEPT {
            self.highest.pop_first();
        }
        self.write().map_err(|source| FenceError::Write {
            job,
            path: self.path.clone(),
            source,
        })
    }

    fn write(&self) -> io::Result<()> {
        let partial = self.path.with_extension("part");
        let file = fs::File::create(&partial)?;
        serde_json::to_writer(&file, &self.highest)?;
        file.sync_all()?;
        fs::rename(partial, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_epoch_is_refused_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut fence = Fence::open(dir.path()).unwrap();
        fence.pass(7, 1).unwrap();
        fence.pass(7, 3).unwrap();
        fence.pass(7, 3).unwrap();
        assert!(matches!(
            fence.pass(7, 2),
            Err(FenceError::Stale { highest: 3, .. })
        ));
        let mut again = Fence::open(dir.path()).unwrap();
        assert!(matches!(again.pass(7, 2), Err(FenceError::Stale { .. })));
        again.pass(8, 0).unwrap();
        again.pass(0, 0).unwrap();
    }

    #[test]
    fn a_file_that_makes_no_sense_is_no_open_fence() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("epochs.json"), "{").unwrap();
        assert!(Fence::open(dir.path()).is_err());
    }
}
