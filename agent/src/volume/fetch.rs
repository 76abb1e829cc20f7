//! A volume out of a repository: made in an empty one, read back, and compared with the list.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_proto::{
    image::Hash128,
    task::{FailureKind, RestoredVolume, TaskFailure, TaskPhase},
};
use holdfast_repository::{EntryStream, Folder, Reading, RepositoryError};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
        linkat, mkdirat, mknodat, openat, symlinkat, utimensat,
    },
    io::Errno,
};
use tokio::{runtime::Handle, task::JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use xxhash_rust::xxh3::Xxh3Default;

use super::{
    broken, cancelled,
    contents::{Contents, FOLDER, FORMAT, Item, Kind, LIST, difference, fingerprint, shown, split},
    failed,
    place::Place,
    tree::{Root, by_path},
};
use crate::engine::postgres::{failure::failure, keep as image, meter::Meter};

/// Files that are written, or read back, at the same time.
const AT_ONCE: usize = 4;
/// Nothing but zeros of this length becomes a hole.
const HOLE: usize = 4096;

/// A backup of a volume, opened.
pub struct Fetch {
    reading: Reading,
    contents: Arc<Contents>,
    meter: Arc<Meter>,
    cancel: CancellationToken,
    /// Ends its threads when it ends.
    _guard: DropGuard,
}

impl Fetch {
    /// # Errors
    /// When it is no backup of a volume, a newer agent made it, or it cannot be read.
    pub async fn open(
        reading: Reading,
        meter: Arc<Meter>,
        cancel: CancellationToken,
    ) -> Result<Self, TaskFailure> {
        let list = LIST.parse().map_err(|error| damaged(&error))?;
        let list = reading.whole(&list).await.map_err(|error| unread(&error))?;
        let contents: Contents = serde_json::from_slice(&list).map_err(|error| damaged(&error))?;
        if contents.image.format > FORMAT {
            let message = format!(
                "the backup has format {}, and this agent knows up to {FORMAT}",
                contents.image.format
            );
            return Err(failure(FailureKind::Refused, message, "upgrade the agent"));
        }
        let own = fingerprint(&contents.items).map_err(|error| damaged(&error))?;
        if own != contents.image.fingerprint {
            return Err(damaged(&"its list is not the one that it was stored with"));
        }
        if let Some(outside) = contents.items.iter().find(|item| !item.stays_inside()) {
            return Err(damaged(&format!(
                "{} leads out of it",
                shown(&outside.path)
            )));
        }
        let cancel = cancel.child_token();
        Ok(Self {
            reading,
            contents: Arc::new(contents),
            meter,
            _guard: cancel.clone().drop_guard(),
            cancel,
        })
    }

    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Into an empty volume, and back: what stands there is compared with the list, item by item.
    ///
    /// # Errors
    /// What is in the volume is worth nothing then.
    pub async fn into(self, place: &Place) -> Result<RestoredVolume, TaskFailure> {
        let root = Root::open(&place.path);
        let root = root.map_err(|error| failed("opening", Path::new(""), &error))?;
        let root = Arc::new(root);
        let count = self.contents.items.len() as u64;
        self.meter.phase(TaskPhase::Data, count);
        self.make(&root).await?;
        self.meter.phase(TaskPhase::ReadBack, count);
        let found = self.read_back(&root).await?;
        if let Some(difference) = difference(&self.contents.items, &found) {
            let message = format!("what was restored is not what was backed up: {difference}");
            return Err(failure(
                FailureKind::DataMismatch,
                message,
                "nothing was exchanged. Look at the disk of the host, and at ctl repository check --read-data 100%",
            ));
        }
        let stat = root.stat();
        let stat = stat.map_err(|error| failed("looking at", Path::new(""), &error))?;
        Ok(RestoredVolume {
            image: self.contents.image.clone(),
            fingerprint: fingerprint(&found).map_err(|error| damaged(&error))?,
            root: stat.st_ino,
        })
    }

    /// Folders and what is in them first; what says when and whose it is last, the deepest folder first.
    async fn make(&self, root: &Arc<Root>) -> Result<(), TaskFailure> {
        let top = FOLDER.parse().map_err(|error| damaged(&error))?;
        let top = self.reading.folder(&top).await;
        let mut folders: HashMap<PathBuf, Folder> =
            HashMap::from([(PathBuf::new(), top.map_err(|error| unread(&error))?)]);
        let mut writers: JoinSet<Result<(), TaskFailure>> = JoinSet::new();
        for (number, item) in self.contents.items.iter().enumerate() {
            if self.cancel.is_cancelled() {
                return Err(cancelled("the restore"));
            }
            let Some((parent, name)) = split(&item.path) else {
                continue;
            };
            let Some(folder) = folders.get(parent) else {
                return Err(damaged(&format!("{} is in no folder", shown(&item.path))));
            };
            match item.kind {
                Kind::Folder => {
                    let inside = folder.folder(name).await;
                    folders.insert(item.path.clone(), inside.map_err(|error| unread(&error))?);
                    place(root, item, |folder| Ok(mkdirat(folder, name, Mode::RWXU)?))?;
                }
                Kind::File { .. } => {
                    while writers.len() >= AT_ONCE {
                        finished(&mut writers, &self.cancel).await?;
                    }
                    let stream = folder.stream(name).map_err(|error| unread(&error))?;
                    self.spawn_write(&mut writers, root, number, stream);
                }
                _ => {}
            }
        }
        while !writers.is_empty() {
            finished(&mut writers, &self.cancel).await?;
        }
        let (root, contents) = (Arc::clone(root), Arc::clone(&self.contents));
        tokio::task::spawn_blocking(move || settle(&root, &contents))
            .await
            .map_err(|error| broken("the restore", &error))?
    }

    fn spawn_write(
        &self,
        writers: &mut JoinSet<Result<(), TaskFailure>>,
        root: &Arc<Root>,
        number: usize,
        mut stream: EntryStream,
    ) {
        let (root, contents) = (Arc::clone(root), Arc::clone(&self.contents));
        let (meter, handle) = (Arc::clone(&self.meter), Handle::current());
        let cancel = self.cancel.clone();
        writers.spawn_blocking(move || {
            let item = &contents.items[number];
            meter.current(&shown(&item.path));
            write(&root, item, &mut stream, (&meter, &cancel), &handle)?;
            meter.item_done();
            Ok(())
        });
    }

    async fn read_back(&self, root: &Arc<Root>) -> Result<Vec<Item>, TaskFailure> {
        let (walked, cancel) = (Arc::clone(root), self.cancel.clone());
        let walk = tokio::task::spawn_blocking(move || walked.walk(&cancel))
            .await
            .map_err(|error| broken("reading back", &error))??;
        let mut items = walk.items;
        let mut readers: JoinSet<Result<(usize, Hash128), TaskFailure>> = JoinSet::new();
        let mut hashed = Vec::new();
        for (number, item) in items.iter().enumerate() {
            if !matches!(item.kind, Kind::File { .. }) {
                continue;
            }
            while readers.len() >= AT_ONCE {
                hashed.push(finished(&mut readers, &self.cancel).await?);
            }
            let (root, path) = (Arc::clone(root), item.path.clone());
            let meter = Arc::clone(&self.meter);
            readers.spawn_blocking(move || {
                let hash = hash(&root, &path)?;
                meter.item_done();
                Ok((number, hash))
            });
        }
        while !readers.is_empty() {
            hashed.push(finished(&mut readers, &self.cancel).await?);
        }
        for (number, hash) in hashed {
            if let Kind::File { xxh3, .. } = &mut items[number].kind {
                *xxh3 = hash;
            }
        }
        Ok(items)
    }
}

async fn finished<T: 'static>(
    set: &mut JoinSet<Result<T, TaskFailure>>,
    cancel: &CancellationToken,
) -> Result<T, TaskFailure> {
    tokio::select! {
        () = cancel.cancelled() => Err(cancelled("the restore")),
        done = set.join_next() => match done {
            Some(Ok(done)) => done,
            Some(Err(error)) => Err(broken("the restore", &error)),
            None => Err(damaged(&"nothing was left to wait for")),
        },
    }
}

/// Does something with the item's name in the folder that holds it.
fn place<T>(
    root: &Root,
    item: &Item,
    work: impl FnOnce(&OwnedFd) -> io::Result<T>,
) -> Result<T, TaskFailure> {
    let parent = item.path.parent().unwrap_or(Path::new(""));
    root.folder(parent)
        .and_then(|folder| work(&folder))
        .map_err(|error| failed("making", &item.path, &error))
}

fn write(
    root: &Root,
    item: &Item,
    stream: &mut EntryStream,
    (meter, cancel): (&Meter, &CancellationToken),
    handle: &Handle,
) -> Result<(), TaskFailure> {
    let name = item.path.file_name().unwrap_or_default();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = place(root, item, |folder| {
        Ok(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?)
    })?;
    let mut file = File::from(file);
    let wrong = |error: io::Error| failed("writing", &item.path, &error);
    let mut total = 0;
    while let Some(piece) = handle
        .block_on(stream.next())
        .map_err(|error| unread(&error))?
    {
        if cancel.is_cancelled() {
            return Err(cancelled("the restore"));
        }
        meter.flowed(piece.len() as u64, 0);
        total += piece.len() as u64;
        for block in piece.chunks(HOLE) {
            if block.len() == HOLE && block.iter().all(|byte| *byte == 0) {
                file.seek(SeekFrom::Current(HOLE as i64)).map_err(wrong)?;
            } else {
                file.write_all(block).map_err(wrong)?;
            }
        }
    }
    // A hole at the end is not written by anything else.
    file.set_len(total).map_err(wrong)
}

/// Other names, links, pipes and devices; then whose each is, and from when.
fn settle(root: &Root, contents: &Contents) -> Result<(), TaskFailure> {
    for item in &contents.items {
        let name = item.path.file_name().unwrap_or_default();
        let mode = Mode::from_raw_mode(0o600);
        match &item.kind {
            Kind::Folder | Kind::File { .. } => {}
            Kind::SameAs { first } => {
                let Some((parent, first)) = split(first) else {
                    return Err(damaged(&"a name of the uppermost folder"));
                };
                place(root, item, |folder| {
                    let from = root.folder(parent)?;
                    Ok(linkat(&from, first, folder, name, AtFlags::empty())?)
                })?;
            }
            Kind::Symlink { target } => {
                place(root, item, |folder| Ok(symlinkat(target, folder, name)?))?;
            }
            Kind::Fifo => {
                place(root, item, |folder| {
                    Ok(mknodat(folder, name, FileType::Fifo, mode, 0)?)
                })?;
            }
            Kind::CharacterDevice { device } => place(root, item, |folder| {
                Ok(mknodat(
                    folder,
                    name,
                    FileType::CharacterDevice,
                    mode,
                    *device,
                )?)
            })?,
            Kind::BlockDevice { device } => place(root, item, |folder| {
                Ok(mknodat(folder, name, FileType::BlockDevice, mode, *device)?)
            })?,
        }
    }
    // Backwards: a folder's time is set when nothing is made in it any more.
    for item in contents.items.iter().rev() {
        match item.path.file_name() {
            Some(name) => place(root, item, |folder| dress(folder, name, item))?,
            None => place(root, item, |folder| {
                dress(folder, std::ffi::OsStr::new("."), item)
            })?,
        }
    }
    root.sync()
        .map_err(|error| failed("writing to the disk what is under", Path::new(""), &error))
}

/// The owner first: changing it takes some bits of the mode away.
fn dress(folder: &OwnedFd, name: &std::ffi::OsStr, item: &Item) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(item.uid), Gid::from_raw(item.gid));
    chownat(
        folder,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    let path = by_path(folder, name);
    for (attribute, value) in &item.extended {
        let value = hex::decode(value).map_err(io::Error::other)?;
        rustix::fs::lsetxattr(&path, attribute, &value, XattrFlags::empty())?;
    }
    if !matches!(item.kind, Kind::Symlink { .. }) {
        // It is what we have made, and no link.
        let mode = Mode::from_raw_mode(item.mode);
        rustix::fs::chmodat(folder, name, mode, AtFlags::empty())?;
    }
    let time = Timespec {
        tv_sec: item.modified.0,
        tv_nsec: item.modified.1.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    match utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
        other => Ok(other?),
    }
}

fn hash(root: &Root, path: &Path) -> Result<Hash128, TaskFailure> {
    let wrong = |error: io::Error| failed("reading back", path, &error);
    let mut file = File::from(root.file(path).map_err(wrong)?);
    let mut hash = Hasher(Xxh3Default::new());
    io::copy(&mut file, &mut hash).map_err(wrong)?;
    Ok(Hash128(hash.0.digest128()))
}

struct Hasher(Xxh3Default);

impl Write for Hasher {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.update(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unread(error: &RepositoryError) -> TaskFailure {
    image::failed("reading the backup", error)
}

fn damaged(what: &dyn std::fmt::Display) -> TaskFailure {
    failure(
        FailureKind::DataMismatch,
        format!("the backup of a volume is damaged: {what}"),
        "look at the repository: ctl repository check --read-data 100%",
    )
}
