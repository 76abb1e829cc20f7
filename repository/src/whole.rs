//! Reading everything that lies in a repository, and saying which snapshots are hit by what is wrong.
//!
//! Every object but the settings is named by the SHA-256 of its content: what reads as its name says is what was
//! written. Which pack holds what is asked of the index afterwards, so damage is told by snapshot.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use rustic_core::{
    IndexedFullStatus, PackedId, RusticError,
    repofile::{Node, SnapshotFile},
};
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::{BlobsError, Kind, Name, ObjectId},
    bridge::{Bridge, engine_id, object_id},
    error::{EngineError, RepositoryError},
    repository::{Failed, Repository},
    snapshot::SnapshotId,
};

/// Objects that are read at the same time; each is in memory whole.
const AT_ONCE: usize = 4;

type Indexed = rustic_core::Repository<IndexedFullStatus>;

/// How far the reading has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    pub objects_done: u64,
    pub objects: u64,
    pub bytes_done: u64,
    /// Of the objects that were listed when it began.
    pub bytes: u64,
}

/// Hears how far it is.
pub type Told = Arc<dyn Fn(Pace) + Send + Sync>;

/// What was found in a repository. `T` is what the caller made of an entry of each snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whole<T> {
    /// Those that are what was stored.
    pub objects: u64,
    pub bytes: u64,
    /// Objects that are missing or are not what was stored, each with what is wrong.
    pub damage: Vec<String>,
    /// Every snapshot that was there when the reading began.
    pub snapshots: BTreeMap<SnapshotId, Held<T>>,
}

/// One snapshot of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<T> {
    /// What it needs and is not there as it was stored; none: all of it is.
    pub damage: Option<String>,
    /// Of the first of the wanted entries that it has; none of a damaged one.
    pub entry: Option<T>,
}

/// Makes something of an entry's name and content.
pub type ReadEntry<T> = Box<dyn Fn(&str, &[u8]) -> T + Send>;

/// What to make of one entry of each snapshot.
pub struct Wanted<T> {
    /// The first of these that a snapshot has is read whole.
    pub entries: Vec<String>,
    pub read: ReadEntry<T>,
}

/// A folder's own pieces, and the folders in it.
struct Seen {
    damage: Option<String>,
    folders: Vec<rustic_core::TreeId>,
}

struct Walk {
    opened: Indexed,
    bridge: Arc<Bridge>,
    /// Packs that read as their names say.
    sound: BTreeSet<ObjectId>,
    seen: HashMap<rustic_core::TreeId, Seen>,
    stop: CancellationToken,
}

impl Repository {
    /// Reads every object once, and then says of each snapshot whether everything that it needs is among those that
    /// are what was stored. Whoever calls it sees to it that nothing is removed meanwhile; what is written
    /// meanwhile is not looked at.
    ///
    /// # Errors
    /// The storage did not answer, `stop` was cancelled (`Stopped`), or there is no repository. Damage is no error.
    pub async fn read_whole<T: Send + 'static>(
        &self,
        wanted: Wanted<T>,
        told: &Told,
        stop: &CancellationToken,
    ) -> Result<Whole<T>, RepositoryError> {
        // Snapshots first: whatever one of these needs is listed after it.
        let listed = self.list(Kind::Snapshot).await?;
        let snapshots: Vec<SnapshotId> = listed.iter().map(|one| one.id.into()).collect();
        let mut objects: Vec<_> = listed
            .iter()
            .map(|one| (Name::new(Kind::Snapshot, one.id), one.size))
            .collect();
        for kind in [Kind::Key, Kind::Index, Kind::Pack] {
            let listed = self.list(kind).await?;
            objects.extend(listed.iter().map(|one| (Name::new(kind, one.id), one.size)));
        }
        let mut whole = Whole {
            objects: 0,
            bytes: 0,
            damage: Vec::new(),
            snapshots: BTreeMap::new(),
        };
        let sound = self.read_objects(&objects, &mut whole, told, stop).await?;
        whole.snapshots = self.held(snapshots, sound, wanted, stop.clone()).await?;
        Ok(whole)
    }

    /// The packs that are what was stored.
    async fn read_objects<T>(
        &self,
        objects: &[(Name, u64)],
        whole: &mut Whole<T>,
        told: &Told,
        stop: &CancellationToken,
    ) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let mut pace = Pace {
            objects: objects.len() as u64,
            bytes: objects.iter().map(|(_, size)| size).sum(),
            ..Pace::default()
        };
        told(pace);
        let mut sound = BTreeSet::new();
        let mut reading = stream::iter(objects.to_vec())
            .map(|(name, size)| {
                let this = self.clone();
                async move { (name, size, this.read_object(name).await) }
            })
            .buffer_unordered(AT_ONCE);
        while let Some((name, size, found)) = stop
            .run_until_cancelled(reading.next())
            .await
            .ok_or_else(|| self.stopped())?
        {
            match found? {
                Ok(bytes) => {
                    whole.objects += 1;
                    whole.bytes += bytes;
                    if name.kind == Kind::Pack {
                        sound.insert(name.id);
                    }
                }
                Err(wrong) => whole.damage.push(wrong),
            }
            pace.objects_done += 1;
            pace.bytes_done += size;
            told(pace);
        }
        whole.damage.sort();
        Ok(sound)
    }

    /// Its size, or what is wrong with it.
    async fn read_object(&self, name: Name) -> Result<Result<u64, String>, RepositoryError> {
        let content = match self.blobs.get(name).await {
            Ok(content) => content,
            Err(BlobsError::NotFound { .. }) => {
                return Ok(Err(format!("{name} is gone")));
            }
            Err(source) => {
                return Err(RepositoryError::Storage {
                    doing: format!("read {name}"),
                    location: self.location(),
                    source: Arc::new(source),
                });
            }
        };
        let bytes = content.len() as u64;
        let own = tokio::task::spawn_blocking(move || ObjectId::of(&[content])).await;
        let own = own.map_err(|_| self.stopped())?;
        Ok(if own == name.id {
            Ok(bytes)
        } else {
            Err(format!(
                "{name} is not what was stored: its content is {own}"
            ))
        })
    }

    async fn held<T: Send + 'static>(
        &self,
        snapshots: Vec<SnapshotId>,
        sound: BTreeSet<ObjectId>,
        wanted: Wanted<T>,
        stop: CancellationToken,
    ) -> Result<BTreeMap<SnapshotId, Held<T>>, RepositoryError> {
        let stopped = self.stopped();
        self.work("look into every snapshot", move |bridge, opened| {
            let opened = match opened.to_indexed() {
                Ok(opened) => opened,
                Err(error) => {
                    let damage = told_by(bridge, error)?;
                    let damage = format!("the index cannot be read: {damage}");
                    let all = snapshots.into_iter().map(|id| {
                        let held = Held {
                            damage: Some(damage.clone()),
                            entry: None,
                        };
                        (id, held)
                    });
                    return Ok(all.collect());
                }
            };
            let mut walk = Walk {
                opened,
                bridge: bridge.clone(),
                sound,
                seen: HashMap::new(),
                stop,
            };
            let mut all = BTreeMap::new();
            for id in snapshots {
                let Some(held) = walk.snapshot(id, &wanted)? else {
                    return Err(Failed::Told(stopped));
                };
                all.insert(id, held);
            }
            Ok(all)
        })
        .await
    }

    fn stopped(&self) -> RepositoryError {
        RepositoryError::Stopped {
            location: self.location(),
        }
    }
}

impl Walk {
    /// None: it was stopped.
    fn snapshot<T>(
        &mut self,
        id: SnapshotId,
        wanted: &Wanted<T>,
    ) -> Result<Option<Held<T>>, Failed> {
        let damaged = |damage| {
            Ok(Some(Held {
                damage: Some(damage),
                entry: None,
            }))
        };
        let file: SnapshotFile = match self.opened.get_file(&engine_id(id.object())?.into()) {
            Ok(file) => file,
            Err(error) => {
                let wrong = told_by(&self.bridge, error)?;
                return damaged(format!("the snapshot cannot be read: {wrong}"));
            }
        };
        let mut waiting = vec![file.tree];
        while let Some(tree) = waiting.pop() {
            if self.stop.is_cancelled() {
                return Ok(None);
            }
            if !self.seen.contains_key(&tree) {
                let seen = self.folder(tree)?;
                self.seen.insert(tree, seen);
            }
            if let Some(seen) = self.seen.get(&tree) {
                if let Some(damage) = &seen.damage {
                    return damaged(damage.clone());
                }
                waiting.extend(&seen.folders);
            }
        }
        match self.entry(&file, wanted) {
            Ok(entry) => Ok(Some(Held {
                damage: None,
                entry,
            })),
            Err(error) => damaged(told_by(&self.bridge, error)?),
        }
    }

    fn folder(&self, tree: rustic_core::TreeId) -> Result<Seen, Failed> {
        let broken = |damage| Seen {
            damage: Some(damage),
            folders: Vec::new(),
        };
        if let Some(damage) = self.lacks(&tree, "a folder")? {
            return Ok(broken(damage));
        }
        let nodes = match self.opened.get_tree(&tree) {
            Ok(tree) => tree.nodes,
            Err(error) => {
                let wrong = told_by(&self.bridge, error)?;
                return Ok(broken(format!("a folder cannot be read: {wrong}")));
            }
        };
        let mut folders = Vec::new();
        for node in nodes {
            let name = node.name().to_string_lossy().into_owned();
            for piece in node.content.iter().flatten() {
                if let Some(damage) = self.lacks(piece, &name)? {
                    return Ok(broken(damage));
                }
            }
            folders.extend(node.subtree);
        }
        Ok(Seen {
            damage: None,
            folders,
        })
    }

    /// Why a piece of what is so named cannot be read; none: its pack is sound.
    fn lacks<I: PackedId>(&self, piece: &I, of: &str) -> Result<Option<String>, Failed> {
        let Ok(entry) = self.opened.get_index_entry(piece) else {
            return Ok(Some(format!("{of}: the index does not know a piece of it")));
        };
        let pack = object_id(&entry.pack)?;
        let name = Name::new(Kind::Pack, pack);
        Ok((!self.sound.contains(&pack))
            .then(|| format!("{of}: {name} is missing or not what was stored")))
    }

    fn entry<T>(
        &self,
        file: &SnapshotFile,
        wanted: &Wanted<T>,
    ) -> Result<Option<T>, Box<RusticError>> {
        let nodes = self.opened.get_tree(&file.tree)?.nodes;
        let named = |name: &String| -> Option<(&Node, String)> {
            let mut nodes = nodes.iter().filter(|node| node.is_file());
            let node = nodes.find(|node| node.name().to_string_lossy() == name.as_str())?;
            Some((node, name.clone()))
        };
        let Some((node, name)) = wanted.entries.iter().find_map(named) else {
            return Ok(None);
        };
        let mut content = Vec::new();
        self.opened.dump(node, &mut content)?;
        Ok(Some((wanted.read)(&name, &content)))
    }
}

/// What the engine says of damage; a storage that failed is none.
fn told_by(bridge: &Bridge, error: Box<RusticError>) -> Result<String, Failed> {
    if bridge.failure().is_some() {
        return Err(Failed::Engine(error));
    }
    let text = EngineError(error).to_string();
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
