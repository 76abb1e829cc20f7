//! The files of a volume: walked, opened, and the walk compared with a later one.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{CString, OsStr, OsString},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use holdfast_proto::{image::Hash128, task::TaskFailure};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use tokio_util::sync::CancellationToken;

use super::{
    cancelled, changed,
    contents::{Item, Kind, split},
    failed,
};
use crate::engine::postgres::failure::failure;

/// Names that are told of what is left out.
const NAMED: usize = 20;
/// Belongs to the host's policy, not to the file.
const OF_THE_HOST: &str = "security.selinux";

/// What a walk found. Contents are not read yet: hashes are zero.
#[derive(Debug, Default)]
pub struct Walk {
    pub items: Vec<Item>,
    /// What must be the same afterwards, by path.
    pub seen: BTreeMap<PathBuf, Seen>,
    /// Sockets: the first few.
    pub left_out: Vec<String>,
}

/// Moves when anything about a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub inode: u64,
    pub bytes: u64,
    pub links: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

/// A volume's uppermost folder, open. All names are looked up from here.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// # Errors
    /// When it is no folder that can be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, FOLDER_FLAGS, Mode::empty())?))
    }

    /// A folder in it.
    ///
    /// # Errors
    /// Also when a part of the path is a symbolic link.
    pub fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut folder = self.0.try_clone()?;
        for part in path.iter() {
            folder = openat(&folder, part, FOLDER_FLAGS, Mode::empty())?;
        }
        Ok(folder)
    }

    /// A regular file in it, to be read.
    ///
    /// # Errors
    /// Also when it is a symbolic link, or lies behind one.
    pub fn file(&self, path: &Path) -> io::Result<OwnedFd> {
        let (folder, name) = split(path).ok_or(io::ErrorKind::IsADirectory)?;
        let folder = self.folder(folder)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(openat(&folder, name, flags, Mode::empty())?)
    }

    /// # Errors
    /// When the kernel does not tell.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.0)?)
    }

    /// Everything that was written is on the disk.
    ///
    /// # Errors
    /// When it is not.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.0)?)
    }

    /// Everything in it, without contents.
    ///
    /// # Errors
    /// Whatever cannot be read ends it: a backup without it would not be one. Another file system inside as well.
    pub fn walk(&self, cancel: &CancellationToken) -> Result<Walk, TaskFailure> {
        let mut walk = Walk::default();
        let top = Path::new("");
        let stat = self
            .stat()
            .map_err(|error| failed("looking at", top, &error))?;
        let device = stat.st_dev;
        let attributes = extended(&self.0, OsStr::new("."));
        let attributes =
            attributes.map_err(|error| failed("reading attributes of", top, &error))?;
        walk.add(top.to_owned(), Kind::Folder, &stat, attributes);
        let mut first_names: HashMap<u64, PathBuf> = HashMap::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(path) = waiting.pop() {
            let folder = self
                .folder(&path)
                .map_err(|error| failed("opening", &path, &error))?;
            for name in names(&folder).map_err(|error| failed("listing", &path, &error))? {
                if cancel.is_cancelled() {
                    return Err(cancelled("reading the volume"));
                }
                let child = path.join(&name);
                let stat = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| failed("looking at", &child, &error.into()))?;
                if stat.st_dev != device {
                    return Err(other_file_system(&child));
                }
                let Some(kind) = kind(&folder, &name, &stat)
                    .map_err(|error| failed("looking at", &child, &error))?
                else {
                    if walk.left_out.len() < NAMED {
                        walk.left_out.push(super::contents::shown(&child));
                    }
                    continue;
                };
                let attributes = extended(&folder, &name)
                    .map_err(|error| failed("reading attributes of", &child, &error))?;
                if kind == Kind::Folder {
                    waiting.push(child.clone());
                }
                walk.add(child, kind, &stat, attributes);
            }
        }
        walk.items.sort_by(|a, b| a.path.cmp(&b.path));
        for item in &mut walk.items {
            let links = &walk.seen[&item.path];
            if links.links < 2 || item.kind == Kind::Folder {
                continue;
            }
            match first_names.get(&links.inode) {
                Some(first) => {
                    item.kind = Kind::SameAs {
                        first: first.clone(),
                    };
                }
                None => {
                    first_names.insert(links.inode, item.path.clone());
                }
            }
        }
        Ok(walk)
    }
}

const FOLDER_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Walk {
    fn add(&mut self, path: PathBuf, kind: Kind, stat: &Stat, extended: BTreeMap<String, String>) {
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        self.seen.insert(path.clone(), Seen::of(stat));
        self.items.push(Item {
            path,
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: (stat.st_mtime, nanoseconds),
            extended,
        });
    }

    /// Nothing came, went or moved since the other walk.
    ///
    /// # Errors
    /// The first thing that did.
    pub fn unchanged_since(&self, before: &Self) -> Result<(), TaskFailure> {
        for (path, seen) in &before.seen {
            match self.seen.get(path) {
                None => return Err(changed(path, "went away")),
                Some(now) if now != seen => return Err(changed(path, "was changed")),
                Some(_) => {}
            }
        }
        match self
            .seen
            .keys()
            .find(|path| !before.seen.contains_key(*path))
        {
            Some(path) => Err(changed(path, "came")),
            None => Ok(()),
        }
    }
}

impl Seen {
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            bytes: stat.st_size.cast_unsigned(),
            links: stat.st_nlink,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// None: a socket.
fn kind(folder: &OwnedFd, name: &OsStr, stat: &Stat) -> io::Result<Option<Kind>> {
    let device = stat.st_rdev;
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File {
            bytes: stat.st_size.cast_unsigned(),
            xxh3: Hash128(0),
        },
        FileType::Symlink => {
            let target = readlinkat(folder, name, Vec::new())?;
            Kind::Symlink {
                target: PathBuf::from(OsString::from_vec(target.into_bytes())),
            }
        }
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::CharacterDevice { device },
        FileType::BlockDevice => Kind::BlockDevice { device },
        FileType::Socket => return Ok(None),
        FileType::Unknown => return Err(io::Error::other("it is of no kind that is known")),
    }))
}

fn names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Where a name in an open folder can be looked at by path, without following it.
pub fn by_path(folder: &impl AsFd, name: &OsStr) -> PathBuf {
    let number = folder.as_fd().as_raw_fd();
    Path::new("/proc/self/fd")
        .join(number.to_string())
        .join(name)
}

fn extended(folder: &OwnedFd, name: &OsStr) -> io::Result<BTreeMap<String, String>> {
    let path = by_path(folder, name);
    let mut listed = Vec::new();
    match read_grown(&mut listed, |buffer| rustix::fs::llistxattr(&path, buffer)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(BTreeMap::new()),
        other => other?,
    }
    let mut all = BTreeMap::new();
    for raw in listed
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let attribute = String::from_utf8(raw.to_vec()).map_err(io::Error::other)?;
        if attribute == OF_THE_HOST {
            continue;
        }
        let raw = CString::new(raw)?;
        let mut value = Vec::new();
        read_grown(&mut value, |buffer| {
            rustix::fs::lgetxattr(&path, raw.as_c_str(), buffer)
        })?;
        all.insert(attribute, hex::encode(value));
    }
    Ok(all)
}

/// Into a buffer that is made larger until it fits; an attribute is 64 KiB at most.
fn read_grown(
    into: &mut Vec<u8>,
    read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    for size in [1 << 10, 64 << 10, 1 << 20] {
        into.resize(size, 0);
        match read(&mut into[..]) {
            Ok(length) => {
                into.truncate(length);
                return Ok(());
            }
            Err(rustix::io::Errno::RANGE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("its attributes are too large"))
}

fn other_file_system(path: &Path) -> TaskFailure {
    let message = format!(
        "{} in the volume is another file system: what is mounted there would be left out",
        super::contents::shown(path)
    );
    failure(
        holdfast_proto::task::FailureKind::Refused,
        message,
        "unmount it, or back it up by other means",
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn walked(folder: &Path) -> Walk {
        let root = Root::open(folder).unwrap();
        root.walk(&CancellationToken::new()).unwrap()
    }

    #[test]
    fn a_second_name_is_told_and_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let secret = tempfile::tempdir().unwrap();
        fs::write(secret.path().join("key"), "secret").unwrap();
        let path = folder.path();
        fs::create_dir(path.join("b")).unwrap();
        fs::write(path.join("b/one"), "1").unwrap();
        fs::hard_link(path.join("b/one"), path.join("two")).unwrap();
        symlink(secret.path(), path.join("out")).unwrap();
        let walk = walked(path);
        let told: Vec<_> = walk
            .items
            .iter()
            .map(|item| (item.path.to_str().unwrap(), &item.kind))
            .collect();
        assert_eq!((told[0].0, told[1].0, told[2].0), ("", "b", "b/one"));
        let target = secret.path().to_owned();
        assert_eq!(told[3], ("out", &Kind::Symlink { target }));
        let first = "b/one".into();
        assert_eq!(told[4], ("two", &Kind::SameAs { first }));
        let root = Root::open(path).unwrap();
        assert!(root.file(Path::new("out/key")).is_err());
        assert!(root.file(Path::new("out")).is_err());
        assert!(root.file(Path::new("b/one")).is_ok());
    }

    #[test]
    fn whatever_happens_between_two_walks_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("a"), "1").unwrap();
        let before = walked(path);
        assert!(walked(path).unchanged_since(&before).is_ok());
        let told = |walk: Walk| walk.unchanged_since(&before).unwrap_err().message;
        // Same length, and the time set back: the change itself has a time that nobody sets.
        fs::write(path.join("a"), "2").unwrap();
        let file = fs::File::options()
            .write(true)
            .open(path.join("a"))
            .unwrap();
        let (seconds, nanoseconds) = before.items[1].modified;
        let was =
            std::time::UNIX_EPOCH + std::time::Duration::new(seconds.cast_unsigned(), nanoseconds);
        file.set_modified(was).unwrap();
        assert!(told(walked(path)).contains("a in the volume was changed"));
        fs::remove_file(path.join("a")).unwrap();
        assert!(told(walked(path)).contains("while it was read"));
    }

    #[test]
    fn a_socket_is_left_out_by_name_and_cancelling_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s.sock");
        let _held = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let walk = walked(folder.path());
        assert_eq!(walk.left_out, ["s.sock"]);
        assert_eq!(walk.items.len(), 1);
        let cancel = CancellationToken::new();
        cancel.cancel();
        let root = Root::open(folder.path()).unwrap();
        assert!(root.walk(&cancel).is_err());
    }
}
