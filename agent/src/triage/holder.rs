//! Who works in a data directory: told by the folder that a server stands in, so that neither paths nor the numbers
//! of processes in other namespaces can deceive.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use rustix::fs::Stat;

use crate::engine::{mariadb, postgres};

/// A server that stands in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// In our numbering.
    pub pid: i32,
    /// In the server's own numbering, which its lock file uses.
    pub own_pid: i64,
}

/// All of them. None of them: nobody has it open, or `/proc` cannot be read.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn of(directory: &Stat, proc: &Path) -> std::io::Result<Vec<Holder>> {
    let postgres = postgres::processes::scan(proc)?;
    let mariadb = mariadb::processes::scan(proc)?;
    let pids = postgres.into_iter().map(|server| server.pid);
    let pids = pids.chain(mariadb.into_iter().map(|server| server.pid));
    let stands_there = |pid: &i32| {
        let found = fs::metadata(proc.join(format!("{pid}/cwd")));
        found.is_ok_and(|found| found.dev() == directory.st_dev && found.ino() == directory.st_ino)
    };
    let mut holders: Vec<_> = pids
        .filter(stands_there)
        .map(|pid| Holder {
            pid,
            own_pid: own_pid(proc, pid).unwrap_or_else(|| pid.into()),
        })
        .collect();
    holders.sort_by_key(|holder| holder.pid);
    Ok(holders)
}

/// The last of the numbers that a process has, one for each namespace.
fn own_pid(proc: &Path, pid: i32) -> Option<i64> {
    let status = fs::read_to_string(proc.join(format!("{pid}/status"))).ok()?;
    let numbers = postgres::processes::field(&status, "NSpid:")?;
    numbers.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_no_server_stands_in_has_no_holder() {
        let folder = tempfile::tempdir().unwrap();
        let stat = rustix::fs::stat(folder.path()).unwrap();
        assert_eq!(of(&stat, Path::new("/proc")).unwrap(), []);
        assert!(of(&stat, &folder.path().join("none")).is_err());
    }

    #[test]
    fn the_number_in_the_innermost_namespace_counts() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("77")).unwrap();
        fs::write(
            proc.path().join("77/status"),
            "Name:\tpostgres\nNSpid:\t77\t1\n",
        )
        .unwrap();
        assert_eq!(own_pid(proc.path(), 77), Some(1));
        assert_eq!(own_pid(proc.path(), 78), None);
    }
}
