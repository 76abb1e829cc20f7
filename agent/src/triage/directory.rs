//! Files below one folder, opened to be read and nothing else.
//!
//! No symbolic link is followed on the way, but for the two places where a server keeps one by design (the log's
//! folder, tablespaces); those are looked up as the server sees them.

use std::{
    ffi::OsStr,
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::FileExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat, openat2, readlinkat, statat,
};

use crate::engine::postgres::socket::open_inside;

/// At most so many names of a folder are looked at.
const MOST_NAMES: usize = 2_000_000;

/// What came of looking at something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look<T> {
    Seen(T),
    Missing,
    /// It may be there; why it could not be read.
    Unreadable(String),
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub bytes: u64,
    pub uid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since the epoch.
    pub modified: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// Folders of the server's view, and where each lies on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways(Vec<(PathBuf, PathBuf)>);

/// An open folder.
#[derive(Debug)]
pub struct Directory {
    root: OwnedFd,
    ways: Ways,
}

impl<T> Look<T> {
    pub fn from_io(result: io::Result<T>) -> Self {
        match result {
            Ok(seen) => Self::Seen(seen),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing,
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    pub fn map<U>(self, then: impl FnOnce(T) -> U) -> Look<U> {
        match self {
            Self::Seen(seen) => Look::Seen(then(seen)),
            Self::Missing => Look::Missing,
            Self::Unreadable(why) => Look::Unreadable(why),
        }
    }

    #[must_use]
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(seen) => Some(seen),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }
}

impl Ways {
    /// Longer destinations go before shorter ones.
    #[must_use]
    pub fn new(mut ways: Vec<(PathBuf, PathBuf)>) -> Self {
        ways.sort_by_key(|(seen, _)| std::cmp::Reverse(seen.components().count()));
        Self(ways)
    }

    /// The folder on this host, and the rest of the path below it.
    #[must_use]
    pub fn lead(&self, path: &Path) -> Option<(&Path, PathBuf)> {
        self.0.iter().find_map(|(seen, here)| {
            let rest = path.strip_prefix(seen).ok()?;
            Some((here.as_path(), rest.to_owned()))
        })
    }

    /// Opens a folder that the server names so.
    ///
    /// # Errors
    /// `Unsupported` when nothing leads there from here.
    pub fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        let Some((here, rest)) = self.lead(path) else {
            let why = format!("{} cannot be reached from here", path.display());
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        };
        let rest = if rest.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &rest
        };
        // Of the host itself the path is its own.
        if here == Path::new("/") {
            return open_inside(here, &Path::new("/").join(rest));
        }
        open_inside(here, rest)
    }
}

impl Directory {
    /// `folder` may be opened for its path alone.
    ///
    /// # Errors
    /// When it is no folder that can be read.
    pub fn new(folder: &OwnedFd, ways: Ways) -> io::Result<Self> {
        Ok(Self {
            root: openat(folder, ".", FOLDER, Mode::empty())?,
            ways,
        })
    }

    /// # Errors
    /// When it is no folder that can be read.
    pub fn open(path: &Path, ways: Ways) -> io::Result<Self> {
        Ok(Self {
            root: rustix::fs::open(path, FOLDER, Mode::empty())?,
            ways,
        })
    }

    /// Of the folder itself.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.root)?)
    }

    /// The whole file; one that is longer than `most` bytes is unreadable.
    #[must_use]
    pub fn read(&self, path: &str, most: usize) -> Look<Vec<u8>> {
        Look::from_io(self.file(path).and_then(|file| {
            let mut bytes = Vec::new();
            let limit = most as u64 + 1;
            file.take(limit).read_to_end(&mut bytes)?;
            if bytes.len() > most {
                return Err(io::Error::other(format!("it is longer than {most} bytes")));
            }
            Ok(bytes)
        }))
    }

    /// Up to `most` bytes from there on; fewer where the file ends.
    #[must_use]
    pub fn read_from(&self, path: &str, offset: u64, most: usize) -> Look<Vec<u8>> {
        Look::from_io(self.file(path).and_then(|file| {
            let mut bytes = vec![0; most];
            let mut filled = 0;
            while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match file.read_at(rest, offset + filled as u64)? {
                    0 => break,
                    more => filled += more,
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        }))
    }

    /// The file in pieces of that size, until `take` says no.
    #[must_use]
    pub fn pieces(&self, path: &str, size: usize, mut take: impl FnMut(&[u8]) -> bool) -> Look<()> {
        let mut offset = 0;
        loop {
            match self.read_from(path, offset, size) {
                Look::Seen(piece) if piece.is_empty() => return Look::Seen(()),
                Look::Seen(piece) => {
                    if !take(&piece) {
                        return Look::Seen(());
                    }
                    offset += piece.len() as u64;
                }
                other => return other.map(|_| ()),
            }
        }
    }

    #[must_use]
    pub fn entry(&self, path: &str) -> Look<Entry> {
        let found = openat2(
            &self.root,
            path,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            HERE,
        );
        let stat = found.and_then(|found| rustix::fs::fstat(&found));
        Look::from_io(stat.map(|stat| Entry::of(&stat)).map_err(Into::into))
    }

    /// What a symbolic link says.
    #[must_use]
    pub fn link(&self, path: &str) -> Option<PathBuf> {
        let target = readlinkat(&self.root, path, Vec::new()).ok()?;
        Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// A folder in it; one that is a symbolic link is looked up as the server sees it.
    #[must_use]
    pub fn folder(&self, path: &str) -> Look<Self> {
        let opened = match self.link(path) {
            Some(target) if target.is_absolute() => self.ways.open(&target),
            Some(target) => Err(io::Error::other(format!(
                "it leads to {}, which is no whole path",
                target.display()
            ))),
            None => openat2(&self.root, path, FOLDER, Mode::empty(), HERE).map_err(Into::into),
        };
        let ways = self.ways.clone();
        Look::from_io(opened.and_then(|opened| Self::new(&opened, ways)))
    }

    /// Names and what they are, without those that go meanwhile.
    #[must_use]
    pub fn list(&self) -> Look<Vec<(String, Entry)>> {
        Look::from_io(self.listed())
    }

    fn listed(&self) -> io::Result<Vec<(String, Entry)>> {
        let mut found = Vec::new();
        for name in Dir::read_from(&self.root)? {
            let name = name?;
            let name = name.file_name();
            if [&b"."[..], b".."].contains(&name.to_bytes()) {
                continue;
            }
            if found.len() == MOST_NAMES {
                return Err(io::Error::other(format!(
                    "it holds more than {MOST_NAMES} names"
                )));
            }
            match statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let name = String::from_utf8_lossy(name.to_bytes()).into_owned();
                    found.push((name, Entry::of(&stat)));
                }
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    fn file(&self, path: &str) -> io::Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat2(self.root.as_fd(), path, flags, Mode::empty(), HERE)?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is no file"));
        }
        Ok(file.into())
    }
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Nothing leads out of the folder, or round a corner.
const HERE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

impl Entry {
    fn of(stat: &Stat) -> Self {
        Self {
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Folder,
                FileType::Symlink => Kind::Link,
                _ => Kind::Other,
            },
            bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            uid: stat.st_uid,
            mode: stat.st_mode & 0o7777,
            modified: stat.st_mtime,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("base")).unwrap();
        fs::write(root.path().join("base/1"), "x").unwrap();
        fs::write(root.path().join("long"), "0123456789").unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("file")).unwrap();
        // Round a corner is no better, wherever it leads.
        std::os::unix::fs::symlink("base", root.path().join("round")).unwrap();
        let directory = Directory::open(root.path(), Ways::default()).unwrap();
        assert_eq!(directory.read("base/1", 9), Look::Seen(b"x".to_vec()));
        assert_eq!(directory.read("base/2", 9), Look::Missing);
        for path in ["etc/passwd", "file", "../x", "base", "round/1"] {
            let read = directory.read(path, 9);
            assert!(matches!(read, Look::Unreadable(_)), "{path}: {read:?}");
        }
        assert!(matches!(directory.read("long", 9), Look::Unreadable(_)));
        assert_eq!(
            directory.read_from("long", 8, 9),
            Look::Seen(b"89".to_vec())
        );
        assert!(matches!(directory.folder("etc"), Look::Unreadable(_)));
        assert_eq!(directory.entry("file").seen().unwrap().kind, Kind::Link);
    }

    #[test]
    fn a_link_of_the_server_is_followed_in_the_server_s_view() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(other.path().join("wal")).unwrap();
        fs::write(other.path().join("wal/1"), "x").unwrap();
        std::os::unix::fs::symlink("/mnt/log/wal", root.path().join("pg_wal")).unwrap();
        let ways = Ways::new(vec![
            (PathBuf::from("/"), PathBuf::from("/nowhere")),
            (PathBuf::from("/mnt/log"), other.path().to_owned()),
        ]);
        let directory = Directory::open(root.path(), ways).unwrap();
        let Look::Seen(wal) = directory.folder("pg_wal") else {
            panic!("not followed")
        };
        assert_eq!(wal.list().seen().unwrap()[0].0, "1");
    }
}
