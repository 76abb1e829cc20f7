//! The state directory: made, and locked for one controller.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Held while the controller lives; the kernel frees it however the controller ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    #[error("cannot {doing} {path:?} in the state directory")]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "another holdfast-controller (pid {pid}) works in the state directory {path:?}: stop it, or give this one a state_dir of its own"
    )]
    Locked { path: PathBuf, pid: String },
}

impl StateDir {
    /// Makes the directory when it is missing and takes its lock.
    ///
    /// # Errors
    /// When another controller has it: with its process id.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        // Others may pass through to what is theirs, the private PostgreSQL's user does; every
        // secret in it is closed by itself.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(path)
            .map_err(failed("make", path))?;
        let path = path.canonicalize().map_err(failed("find", path))?;
        let name = path.join("controller.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .map_err(failed("open", &name))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateDirError::Locked {
                    path,
                    pid: holder(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &name)(source)),
        }
        note_holder(&mut file).map_err(failed("write", &name))?;
        Ok(Self { path, _lock: file })
    }

    /// Absolute, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn note_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Whoever holds the lock wrote its process id; one that has just taken it may not have yet.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StateDirError {
    let path = path.to_owned();
    move |source| StateDirError::File {
        doing,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_by_the_first_ones_pid_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/state");
        let first = StateDir::open(&path).unwrap();
        let error = StateDir::open(&path).unwrap_err();
        let me = std::process::id().to_string();
        assert!(
            matches!(&error, StateDirError::Locked { pid, .. } if *pid == me),
            "{error}"
        );
        drop(first);
        StateDir::open(&path).unwrap();
    }
}
