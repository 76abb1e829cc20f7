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
        let mut noted = self.highest.clone();
        noted.insert(job, epoch);
        while noted.len() > JOBS_KEPT {
            let oldest = noted.keys().copied().find(|&old| old != job);
            oldest.and_then(|oldest| noted.remove(&oldest));
        }
        self.write(&noted).map_err(|source| FenceError::Write {
            job,
            path: self.path.clone(),
            source,
        })?;
        // Only what is on disk counts: after a restart an epoch that is not there would be let in again.
        self.highest = noted;
        Ok(())
    }

    fn write(&self, noted: &BTreeMap<u64, u64>) -> io::Result<()> {
        let partial = self.path.with_extension("part");
        let file = fs::File::create(&partial)?;
        serde_json::to_writer(&file, noted)?;
        file.sync_all()?;
        fs::rename(partial, &self.path)?;
        match self.path.parent() {
            Some(dir) => fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
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
    fn an_epoch_that_cannot_be_noted_is_not_let_in_by_asking_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut fence = Fence::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("epochs.part")).unwrap();
        for _ in 0..2 {
            assert!(matches!(fence.pass(7, 1), Err(FenceError::Write { .. })));
        }
        fs::remove_dir(dir.path().join("epochs.part")).unwrap();
        fence.pass(7, 1).unwrap();
    }

    #[test]
    fn an_old_job_that_comes_back_is_fenced_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut fence = Fence::open(dir.path()).unwrap();
        let full = (1000..1000 + JOBS_KEPT as u64).map(|job| (job, 1));
        fence.highest = full.collect();
        fence.pass(7, 5).unwrap();
        assert!(matches!(fence.pass(7, 4), Err(FenceError::Stale { .. })));
        assert_eq!(fence.highest.len(), JOBS_KEPT);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_no_open_fence() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("epochs.json"), "{").unwrap();
        assert!(Fence::open(dir.path()).is_err());
    }
}
