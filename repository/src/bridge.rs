//! The engine's view of a [`Blobs`]: its blocking calls, made on the runtime's asynchronous storage.
//!
//! Two things are done here that the engine does not do. Packs are written several at a time, and
//! everything else waits until they are all there: an index never names a pack that is not stored.
//! And a snapshot that the engine writes is withheld until [`Bridge::let_snapshots_through`]: the
//! engine stores one also when it has swallowed a read error, so what it thinks is whole is looked at first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend,
};
use tokio::{runtime::Handle, sync::Semaphore};

use crate::blobs::{Blobs, BlobsError, Kind, Name, ObjectId};

/// Packs on their way at once. With packs of 16 MiB it bounds the memory of a backup.
const IN_FLIGHT: u32 = 3;

#[derive(Debug)]
pub(crate) struct Bridge {
    blobs: Arc<dyn Blobs>,
    runtime: Handle,
    slots: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Packs handed to the storage, and those of them that it has.
    begun: u64,
    stored: u64,
    /// The first failure is the one that explains what the engine says afterwards.
    failure: Option<Arc<BlobsError>>,
    snapshots_pass: bool,
    snapshots: Vec<ObjectId>,
}

impl Bridge {
    /// Must be called on the runtime; used on threads that may block.
    pub(crate) fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self {
            blobs,
            runtime: Handle::current(),
            slots: Arc::new(Semaphore::new(IN_FLIGHT as usize)),
            state: Arc::default(),
        }
    }

    /// From now on a snapshot that is written counts.
    pub(crate) fn let_snapshots_through(&self) {
        self.lock().snapshots_pass = true;
    }

    /// Those that were written since.
    pub(crate) fn snapshots(&self) -> Vec<ObjectId> {
        self.lock().snapshots.clone()
    }

    /// The storage's first failure.
    pub(crate) fn failure(&self) -> Option<Arc<BlobsError>> {
        self.lock().failure.clone()
    }

    pub(crate) fn location(&self) -> String {
        self.blobs.location()
    }

    /// Writes an object that was made here, after all packs before it.
    pub(crate) fn put(&self, kind: Kind, content: Vec<Bytes>) -> Result<ObjectId, Arc<BlobsError>> {
        self.flush()?;
        let id = ObjectId::of(&content);
        self.wait(self.blobs.put_new(Name::new(kind, id), content))?;
        Ok(id)
    }

    /// Waits until every pack is stored.
    fn flush(&self) -> Result<(), Arc<BlobsError>> {
        let settled = self.runtime.block_on(self.slots.acquire_many(IN_FLIGHT));
        let state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        if settled.is_err() || state.stored != state.begun {
            return Err(Arc::new(self.interrupted()));
        }
        Ok(())
    }

    fn begin_pack(&self, name: Name, content: Vec<Bytes>) -> Result<(), Arc<BlobsError>> {
        let slot = self
            .runtime
            .block_on(self.slots.clone().acquire_owned())
            .map_err(|_| Arc::new(self.interrupted()))?;
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.begun += 1;
        drop(state);
        let (blobs, state) = (self.blobs.clone(), self.state.clone());
        self.runtime.spawn(async move {
            let put = blobs.put_new(name, content).await;
            let mut state = lock(&state);
            match put {
                Ok(()) => state.stored += 1,
                Err(error) => {
                    state.failure.get_or_insert_with(|| Arc::new(error));
                }
            }
            drop(state);
            drop(slot);
        });
        Ok(())
    }

    fn write(&self, name: Name, content: Vec<Bytes>) -> Result<(), Arc<BlobsError>> {
        if name.kind == Kind::Pack {
            return self.begin_pack(name, content);
        }
        self.flush()?;
        if name.kind == Kind::Snapshot {
            let mut state = self.lock();
            if !state.snapshots_pass {
                return Ok(());
            }
            state.snapshots.push(name.id);
        }
        self.wait(self.blobs.put_new(name, content))
    }

    /// A pack that is on its way cannot be read yet.
    fn settle(&self, kind: Kind) -> Result<(), Arc<BlobsError>> {
        let busy = {
            let state = self.lock();
            state.begun != state.stored
        };
        if busy && kind == Kind::Pack {
            self.flush()?;
        }
        Ok(())
    }

    fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, BlobsError>>,
    ) -> Result<T, Arc<BlobsError>> {
        self.runtime.block_on(work).map_err(|error| {
            let error = Arc::new(error);
            self.lock().failure.get_or_insert_with(|| error.clone());
            error
        })
    }

    fn interrupted(&self) -> BlobsError {
        BlobsError::Failed {
            doing: "write a pack".to_owned(),
            location: self.blobs.location(),
            again: true,
            source: "the process is stopping".into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl ReadBackend for Bridge {
    fn location(&self) -> String {
        self.blobs.location()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let kind = kind(tpe);
        self.settle(kind).map_err(foreign)?;
        let listed = self.wait(self.blobs.list(kind)).map_err(foreign)?;
        let sized = |size| u32::try_from(size).map_err(|_| too_large(size));
        listed
            .into_iter()
            .map(|object| Ok((engine_id(object.id)?, sized(object.size)?)))
            .collect()
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        let name = name(tpe, id)?;
        self.settle(name.kind).map_err(foreign)?;
        self.wait(self.blobs.get(name)).map_err(foreign)
    }

    fn read_partial(
        &self,
        tpe: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        let name = name(tpe, id)?;
        self.settle(name.kind).map_err(foreign)?;
        let start = u64::from(offset);
        let range = start..start + u64::from(length);
        self.wait(self.blobs.get_range(name, range))
            .map_err(foreign)
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        name(tpe, id).map_or_else(|_| String::new(), |name| name.path())
    }
}

impl WriteBackend for Bridge {
    fn write_bytes(
        &self,
        tpe: FileType,
        id: &Id,
        _cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        self.write(name(tpe, id)?, content.into_vec())
            .map_err(foreign)
    }

    fn remove(&self, tpe: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        let name = name(tpe, id)?;
        self.flush().map_err(foreign)?;
        self.wait(self.blobs.remove(name)).map_err(foreign)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Counters and flags: every change leaves them whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kind(tpe: FileType) -> Kind {
    match tpe {
        FileType::Config => Kind::Config,
        FileType::Key => Kind::Key,
        FileType::Snapshot => Kind::Snapshot,
        FileType::Index => Kind::Index,
        FileType::Pack => Kind::Pack,
    }
}

fn name(tpe: FileType, id: &Id) -> RusticResult<Name> {
    match kind(tpe) {
        Kind::Config => Ok(Name::CONFIG),
        kind => Ok(Name::new(kind, object_id(id)?)),
    }
}

/// The engine's id as ours.
pub(crate) fn object_id(id: &Id) -> RusticResult<ObjectId> {
    id.to_hex().as_str().parse().map_err(|error| {
        RusticError::with_source(ErrorKind::Internal, "An id is no SHA-256.", error)
    })
}

/// Ours as the engine's.
pub(crate) fn engine_id(id: ObjectId) -> RusticResult<Id> {
    id.to_string().parse()
}

fn foreign(error: Arc<BlobsError>) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, "The storage failed.", error)
}

fn too_large(size: u64) -> Box<RusticError> {
    RusticError::new(
        ErrorKind::Backend,
        format!("An object of {size} bytes is no part of a repository: they end at 4 GiB."),
    )
}
