//! Whether a database server keeps its data in a volume: by the files that each of them has.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders below the uppermost one that are looked into: `pgdata`, `18/docker`.
const DEPTH: usize = 2;
/// At most so many folders are looked into.
const MOST: usize = 200;

/// A data directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// "PostgreSQL 16".
    pub server: String,
    /// In the folder that was looked into; empty: that itself.
    pub inside: PathBuf,
}

/// Data directories in the folder, for people: "PostgreSQL 16 in pgdata". What cannot be looked at is none.
#[must_use]
pub fn directories(volume: &Path) -> Vec<String> {
    let told = |found: Found| match found.inside.as_os_str().is_empty() {
        true => found.server,
        false => format!("{} in {}", found.server, found.inside.display()),
    };
    let mut told: Vec<_> = find(volume).into_iter().map(told).collect();
    told.sort();
    told
}

/// The same, for programs.
#[must_use]
pub fn find(volume: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    let mut waiting = vec![(volume.to_owned(), 0)];
    let mut looked = 0;
    while let Some((folder, depth)) = waiting.pop() {
        looked += 1;
        if let Some(server) = server(&folder) {
            let inside = folder.strip_prefix(volume).unwrap_or(&folder).to_owned();
            found.push(Found { server, inside });
            continue;
        }
        if depth == DEPTH || looked > MOST {
            continue;
        }
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // Of the entry itself, not of what a link leads to.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
    found.sort();
    found
}

/// Whether something is left of a data directory that was there, be it damaged.
#[must_use]
pub fn remains(folder: &Path) -> bool {
    const TRACES: [&str; 6] = [
        "PG_VERSION",
        "base",
        "global",
        "ibdata1",
        "mysql",
        "WiredTiger",
    ];
    let is_there = |name: &&str| fs::symlink_metadata(folder.join(name)).is_ok();
    TRACES.iter().any(is_there)
}

fn server(folder: &Path) -> Option<String> {
    let is_file = |name: &str| {
        let found = fs::symlink_metadata(folder.join(name));
        found.is_ok_and(|found| found.is_file())
    };
    if is_file("PG_VERSION") && is_file("global/pg_control") {
        let version = fs::read_to_string(folder.join("PG_VERSION")).unwrap_or_default();
        return Some(format!("PostgreSQL {}", version.trim()));
    }
    if is_file("ibdata1") {
        return Some("MariaDB or MySQL".to_owned());
    }
    is_file("WiredTiger").then(|| "MongoDB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_is_found_in_the_volume_and_below() {
        let volume = tempfile::tempdir().unwrap();
        assert_eq!(directories(volume.path()), Vec::<String>::new());
        let cluster = volume.path().join("18/docker");
        fs::create_dir_all(cluster.join("global")).unwrap();
        fs::write(cluster.join("PG_VERSION"), "18\n").unwrap();
        // A folder of one database has the file as well, and is no cluster.
        assert_eq!(directories(volume.path()), Vec::<String>::new());
        fs::write(cluster.join("global/pg_control"), "x").unwrap();
        assert_eq!(directories(volume.path()), ["PostgreSQL 18 in 18/docker"]);
        fs::write(volume.path().join("ibdata1"), "x").unwrap();
        assert_eq!(directories(volume.path()), ["MariaDB or MySQL"]);
    }
}
