//! A volume into a repository: read once, looked at twice, and stored only if nothing moved.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    image::Hash128,
    task::{BackedUpVolume, FailureKind, TaskFailure, TaskPhase, VolumeImage},
};
use holdfast_repository::{
    About, Attributes, EntryName, EntryWriter, Layout, Placed, Plan, Repository, RepositoryError,
    What, Writing, Written,
};
use rustix::fs::fstat;
use tokio::{runtime::Handle, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    broken, cancelled, changed,
    contents::{Contents, FOLDER, FORMAT, Item, Kind, LIST, fingerprint},
    data, failed,
    place::Place,
    tree::{Root, Seen, Walk},
};
use crate::engine::postgres::{failure::failure, keep as image, meter::Meter};

/// Files that are read at the same time.
const AT_ONCE: usize = 4;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// A volume that is being read.
pub struct Keep<'a> {
    pub place: &'a Place,
    pub repository: &'a Repository,
    pub about: About,
    pub meter: Arc<Meter>,
    pub cancel: CancellationToken,
}

/// Of every file, by the number that names its entry.
type Hashes = BTreeMap<usize, Hash128>;

impl Keep<'_> {
    /// `at_the_end` is asked when everything was read, and ends it.
    ///
    /// # Errors
    /// Nothing is stored then: something could not be read, or moved while it was.
    pub async fn run(
        self,
        at_the_end: impl Future<Output = Result<(), TaskFailure>>,
    ) -> Result<BackedUpVolume, TaskFailure> {
        let taken_at = self.about.time;
        let root = Root::open(&self.place.path);
        let root = root.map_err(|error| failed("opening", Path::new(""), &error))?;
        let root = Arc::new(root);
        let walk = Arc::new(self.walk(&root).await?);
        let files: Vec<usize> = numbers(&walk);
        self.meter.phase(TaskPhase::Data, files.len() as u64);
        let mut entries = Vec::with_capacity(files.len());
        for number in &files {
            entries.push(entry(*number)?);
        }
        let mut writing = self.repository.write(Plan {
            about: self.about.clone(),
            entries,
            last: name(LIST)?,
            at_once: AT_ONCE,
        });
        let read = self.read(&mut writing, &root, &walk).await;
        let read = match read {
            Ok(hashes) => self
                .unmoved(&root, &walk, at_the_end)
                .await
                .map(|()| hashes),
            Err(failure) => Err(failure),
        };
        let hashes = match read {
            Ok(hashes) => hashes,
            Err(own) => return Err(cause(writing.give_up().await, own)),
        };
        let contents = self.contents(&walk, &hashes, taken_at)?;
        let layout = layout(&walk, &contents.items)?;
        let list = serde_json::to_vec(&contents).map_err(|error| defect(&error))?;
        let stored = writing.finish_in_folders(list, layout).await;
        let stored = stored.map_err(|error| image::failed("storing the backup", &error))?;
        Ok(BackedUpVolume {
            image: contents.image,
            snapshot: stored.snapshot.to_string(),
            added_bytes: stored.added_bytes,
        })
    }

    async fn walk(&self, root: &Arc<Root>) -> Result<Walk, TaskFailure> {
        let (root, cancel) = (Arc::clone(root), self.cancel.clone());
        tokio::task::spawn_blocking(move || root.walk(&cancel))
            .await
            .map_err(|error| broken("reading the volume", &error))?
    }

    /// All contents, a few at a time. The first failure ends it.
    async fn read(
        &self,
        writing: &mut Writing,
        root: &Arc<Root>,
        walk: &Arc<Walk>,
    ) -> Result<Hashes, TaskFailure> {
        let mut readers: JoinSet<Result<(usize, Written), TaskFailure>> = JoinSet::new();
        let mut hashes = Hashes::new();
        let mut handed_out = false;
        while !handed_out || !readers.is_empty() {
            tokio::select! {
                () = self.cancel.cancelled() => return Err(cancelled("the backup")),
                opened = writing.next(), if !handed_out => match opened {
                    None => handed_out = true,
                    Some(writer) => {
                        let (root, walk) = (Arc::clone(root), Arc::clone(walk));
                        let (meter, handle) = (Arc::clone(&self.meter), Handle::current());
                        readers.spawn_blocking(move || pour(writer, &root, &walk, &meter, &handle));
                    }
                },
                Some(read) = readers.join_next(), if !readers.is_empty() => match joined(read) {
                    Ok((number, written)) => {
                        hashes.insert(number, Hash128(written.xxh3));
                        self.meter.item_done();
                    }
                    Err(first) => return Err(reason(first, readers).await),
                },
            }
        }
        Ok(hashes)
    }

    /// A second look at everything, and at who runs.
    async fn unmoved(
        &self,
        root: &Arc<Root>,
        before: &Walk,
        at_the_end: impl Future<Output = Result<(), TaskFailure>>,
    ) -> Result<(), TaskFailure> {
        at_the_end.await?;
        self.walk(root).await?.unchanged_since(before)
    }

    fn contents(
        &self,
        walk: &Walk,
        hashes: &Hashes,
        taken_at: DateTime<Utc>,
    ) -> Result<Contents, TaskFailure> {
        let mut items = walk.items.clone();
        let (mut files, mut folders, mut others, mut bytes) = (0, 0, 0, 0);
        for (number, item) in items.iter_mut().enumerate() {
            match &mut item.kind {
                Kind::File { bytes: own, xxh3 } => {
                    let hash = hashes.get(&number);
                    *xxh3 = *hash.ok_or_else(|| defect(&"a file that was not read"))?;
                    files += 1;
                    bytes += *own;
                }
                Kind::SameAs { .. } => files += 1,
                Kind::Folder => folders += 1,
                _ => others += 1,
            }
        }
        let image = VolumeImage {
            format: FORMAT,
            taken_at,
            volume: self.place.name.clone(),
            driver: self.place.driver.clone(),
            labels: self.place.labels.clone(),
            files,
            // The uppermost one is the volume.
            folders: folders - 1,
            others,
            bytes,
            fingerprint: fingerprint(&items).map_err(|error| defect(&error))?,
            left_out: walk.left_out.clone(),
            databases: data::directories(&self.place.path),
        };
        Ok(Contents { image, items })
    }
}

/// What a reader came to.
fn joined(
    read: Result<Result<(usize, Written), TaskFailure>, tokio::task::JoinError>,
) -> Result<(usize, Written), TaskFailure> {
    read.map_err(|error| broken("reading a file", &error))?
}

/// The one that failed by itself ends all others, and may not be the first that is heard of.
async fn reason(
    first: TaskFailure,
    mut readers: JoinSet<Result<(usize, Written), TaskFailure>>,
) -> TaskFailure {
    let mut reason = first;
    while let Some(read) = readers.join_next().await {
        if let Err(other) = joined(read)
            && reason.kind == FailureKind::Unavailable
        {
            reason = other;
        }
    }
    reason
}

/// Which items have a content of their own.
fn numbers(walk: &Walk) -> Vec<usize> {
    let items = walk.items.iter().enumerate();
    let files = items.filter(|(_, item)| matches!(item.kind, Kind::File { .. }));
    files.map(|(number, _)| number).collect()
}

/// One file into its entry, on a thread that may block.
fn pour(
    mut writer: EntryWriter,
    root: &Root,
    walk: &Walk,
    meter: &Meter,
    handle: &Handle,
) -> Result<(usize, Written), TaskFailure> {
    let number = writer.name().as_str().parse::<usize>();
    let number = number.map_err(|error| defect(&error))?;
    let item = walk
        .items
        .get(number)
        .ok_or_else(|| defect(&"an entry that is no item"))?;
    let path = &item.path;
    let read = |error: std::io::Error| failed("reading", path, &error);
    let opened = root.file(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => changed(path, "went away"),
        _ => read(error),
    })?;
    let same = |file: &File| -> Result<(), TaskFailure> {
        let now = fstat(file).map_err(|error| read(error.into()))?;
        match walk.seen.get(path) {
            Some(seen) if *seen == Seen::of(&now) => Ok(()),
            _ => Err(changed(path, "was changed")),
        }
    };
    let mut file = File::from(opened);
    same(&file)?;
    meter.current(&super::contents::shown(path));
    let mut total = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let length = (&mut file)
            .take(PIECE as u64)
            .read_to_end(&mut piece)
            .map_err(read)?;
        if length == 0 {
            break;
        }
        total += length as u64;
        meter.flowed(length as u64, 0);
        let sent = handle.block_on(writer.send(Bytes::from(piece)));
        sent.map_err(|error| ended(&error))?;
    }
    same(&file)?;
    let written = handle.block_on(writer.whole(total));
    Ok((number, written.map_err(|error| ended(&error))?))
}

/// Where everything belongs, for restic.
fn layout(walk: &Walk, items: &[Item]) -> Result<Layout, TaskFailure> {
    let numbers: BTreeMap<&Path, usize> = items
        .iter()
        .enumerate()
        .map(|(number, item)| (item.path.as_path(), number))
        .collect();
    let file = |path: &PathBuf| -> Result<What, TaskFailure> {
        let number = numbers.get(path.as_path());
        Ok(What::File(entry(
            *number.ok_or_else(|| defect(&"a name of no file"))?,
        )?))
    };
    let mut placed = Vec::with_capacity(items.len());
    for item in items {
        let what = match &item.kind {
            Kind::Folder => What::Folder,
            Kind::File { .. } => file(&item.path)?,
            Kind::SameAs { first } => file(first)?,
            Kind::Symlink { target } => What::Symlink(target.clone()),
            Kind::Fifo => What::Fifo,
            Kind::CharacterDevice { device } => What::CharacterDevice(*device),
            Kind::BlockDevice { device } => What::BlockDevice(*device),
        };
        placed.push(Placed {
            path: item.path.clone(),
            attributes: attributes(item, walk)?,
            what,
        });
    }
    Ok(Layout {
        folder: name(FOLDER)?,
        items: placed,
    })
}

fn attributes(item: &Item, walk: &Walk) -> Result<Attributes, TaskFailure> {
    let seen = walk.seen.get(&item.path);
    let seen = seen.ok_or_else(|| defect(&"an item that was not seen"))?;
    let mut extended = Vec::with_capacity(item.extended.len());
    for (attribute, value) in &item.extended {
        let value = hex::decode(value).map_err(|error| defect(&error))?;
        extended.push((attribute.clone(), value));
    }
    Ok(Attributes {
        mode: item.mode,
        uid: item.uid,
        gid: item.gid,
        modified: item.modified,
        // Those of a folder are not names.
        links: if item.kind == Kind::Folder {
            1
        } else {
            seen.links
        },
        inode: seen.inode,
        extended,
    })
}

/// When the repository was the cause, its words say more than those of a reader that it ended.
fn cause(ended: RepositoryError, own: TaskFailure) -> TaskFailure {
    match ended {
        RepositoryError::Incomplete { .. } | RepositoryError::Stopped { .. } => own,
        error => image::failed("storing the backup", &error),
    }
}

fn ended(error: &holdfast_repository::Incomplete) -> TaskFailure {
    TaskFailure {
        retryable: true,
        ..failure(
            FailureKind::Unavailable,
            format!("storing the backup: {error}"),
            "",
        )
    }
}

/// Names are numbers in the order of the paths: they sort as the files do.
fn entry(number: usize) -> Result<EntryName, TaskFailure> {
    name(&format!("{number:010}"))
}

fn name(text: &str) -> Result<EntryName, TaskFailure> {
    text.parse().map_err(|error| defect(&error))
}

fn defect(what: &dyn std::fmt::Display) -> TaskFailure {
    failure(
        FailureKind::Internal,
        format!("the backup of a volume went wrong: {what}"),
        "report this as a defect, with the agent's log",
    )
}
