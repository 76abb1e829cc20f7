//! What has been stored of an image so far: shared by the streams and by what works beside them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_proto::{
    image::{Hash128, Manifest, Part, ProofLevel, Relation, RelationPlan, SequenceState},
    task::{FailureKind, TaskFailure},
};
use tokio::{sync::watch, time::Instant};

use crate::engine::{
    mariadb::{
        document::{Document, Table},
        rows::Tally,
    },
    postgres::{databases::internal, failure::failure},
};

/// The schema as it came, with its tables made.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    pub(super) document: Document,
    pub(super) relations: Vec<RelationPlan>,
    pub(super) sequences: Vec<SequenceState>,
    pub(super) schema_hash: Hash128,
    pub(super) schema_bytes: u64,
}

#[derive(Debug, Default)]
struct Inner {
    sender_run: Option<String>,
    contents: Option<Contents>,
    stored: BTreeMap<u32, BTreeMap<u32, Part>>,
    read: BTreeMap<u32, Tally>,
    manifest: Option<Manifest>,
    failure: Option<TaskFailure>,
    notices: Vec<String>,
    streams: usize,
    last_stream: Option<Instant>,
}

/// The table, and a bell that rings at every change.
#[derive(Debug)]
pub(super) struct State {
    inner: Mutex<Inner>,
    bell: watch::Sender<u64>,
}

/// Counts a stream while it runs.
pub(super) struct StreamGuard<'a>(&'a State);

impl Drop for StreamGuard<'_> {
    fn drop(&mut self) {
        self.0.change(|inner| {
            inner.streams -= 1;
            inner.last_stream = Some(Instant::now());
        });
    }
}

impl State {
    pub(super) fn new() -> Self {
        let inner = Inner {
            last_stream: Some(Instant::now()),
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
            bell: watch::Sender::new(0),
        }
    }

    pub(super) fn stream(&self) -> StreamGuard<'_> {
        self.change(|inner| inner.streams += 1);
        StreamGuard(self)
    }

    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// The first sender to begin is the only one served.
    pub(super) fn bind(&self, sender_run: &str) -> bool {
        self.change(|inner| {
            inner
                .sender_run
                .get_or_insert_with(|| sender_run.to_owned())
                == sender_run
        })
    }

    pub(super) fn is_bound_to(&self, sender_run: &str) -> bool {
        self.lock().sender_run.as_deref() == Some(sender_run)
    }

    pub(super) fn fail(&self, failure: TaskFailure) {
        self.change(|inner| {
            inner.failure.get_or_insert(failure);
        });
    }

    pub(super) fn failure(&self) -> Option<TaskFailure> {
        self.lock().failure.clone()
    }

    pub(super) fn schema_made(&self, contents: Contents) {
        self.change(|inner| inner.contents = Some(contents));
    }

    /// Hash and length of the schema, when it has been made.
    pub(super) fn schema(&self) -> Option<(Hash128, u64)> {
        let inner = self.lock();
        let contents = inner.contents.as_ref()?;
        Some((contents.schema_hash, contents.schema_bytes))
    }

    pub(super) fn relation(&self, id: u32) -> Option<(RelationPlan, Table)> {
        let inner = self.lock();
        let contents = inner.contents.as_ref()?;
        let plan = contents
            .relations
            .iter()
            .find(|relation| relation.id == id)?;
        let table = contents
            .document
            .tables
            .iter()
            .find(|table| table.name == plan.name)?;
        Some((plan.clone(), table.clone()))
    }

    pub(super) fn part(&self, relation: u32, part: u32) -> Option<Part> {
        self.lock().stored.get(&relation)?.get(&part).copied()
    }

    pub(super) fn store(&self, relation: u32, part: Part, notice: Option<String>) {
        self.change(|inner| {
            inner
                .stored
                .entry(relation)
                .or_default()
                .insert(part.index, part);
            inner.notices.extend(notice);
        });
    }

    pub(super) fn read(&self, relation: u32, tally: Tally) {
        self.change(|inner| inner.read.insert(relation, tally));
    }

    pub(super) fn notices(&self) -> Vec<String> {
        self.lock().notices.clone()
    }

    /// Tables whose every part is stored.
    pub(super) fn loaded(&self) -> Vec<(RelationPlan, Table)> {
        let whole: Vec<u32> = {
            let inner = self.lock();
            let relations = inner
                .contents
                .iter()
                .flat_map(|contents| &contents.relations);
            relations
                .filter(|plan| {
                    inner.stored.get(&plan.id).map_or(0, BTreeMap::len) >= plan.parts as usize
                })
                .map(|plan| plan.id)
                .collect()
        };
        whole
            .into_iter()
            .filter_map(|id| self.relation(id))
            .collect()
    }

    pub(super) fn all_read(&self) -> bool {
        let inner = self.lock();
        let relations = inner
            .contents
            .as_ref()
            .map(|contents| contents.relations.len());
        relations.is_some_and(|relations| inner.read.len() >= relations)
    }

    /// # Errors
    /// `Internal` when a part is missing: the sender closed the image too early.
    pub(super) fn finish(&self, manifest: Manifest) -> Result<(), TaskFailure> {
        {
            let inner = self.lock();
            let contents = inner.contents.as_ref();
            let contents =
                contents.ok_or_else(|| internal("an image was closed before its schema"))?;
            for plan in &contents.relations {
                let stored = inner.stored.get(&plan.id).map_or(0, BTreeMap::len);
                if stored != plan.parts as usize {
                    let RelationPlan { name, parts, .. } = plan;
                    return Err(internal(&format!(
                        "the image was closed with {stored} of {parts} parts of {name}"
                    )));
                }
            }
        }
        self.change(|inner| inner.manifest = Some(manifest));
        Ok(())
    }

    pub(super) fn is_finished(&self) -> bool {
        self.lock().manifest.is_some()
    }

    pub(super) async fn wait_for_schema(&self, silence: Duration) -> Result<Contents, TaskFailure> {
        let mut bell = self.bell();
        loop {
            self.check(silence)?;
            let contents = self.lock().contents.clone();
            if let Some(contents) = contents {
                return Ok(contents);
            }
            self.wait(&mut bell).await;
        }
    }

    /// # Errors
    /// The failure of a stream, or a sender that has been silent for too long.
    pub(super) fn check(&self, silence: Duration) -> Result<(), TaskFailure> {
        let inner = self.lock();
        if let Some(failure) = &inner.failure {
            return Err(failure.clone());
        }
        let quiet = inner.streams == 0
            && inner.manifest.is_none()
            && inner.last_stream.is_some_and(|at| at.elapsed() > silence);
        if quiet {
            return Err(failure(
                FailureKind::Unavailable,
                format!("nothing came from the sender for {} s", silence.as_secs()),
                "see that the source's agent runs and reaches this host or the controller",
            ));
        }
        Ok(())
    }

    /// Until something changes, or it is time to look whether something should have.
    pub(super) async fn wait(&self, bell: &mut watch::Receiver<u64>) {
        let _ = tokio::time::timeout(Duration::from_secs(5), bell.changed()).await;
    }

    /// What the target holds, as the proof asked for says it.
    pub(super) fn relations(&self, proof: ProofLevel) -> Result<Vec<Relation>, TaskFailure> {
        let inner = self.lock();
        let contents = inner.contents.as_ref();
        let contents = contents.ok_or_else(|| internal("an image ended before its schema"))?;
        let relation = |plan: &RelationPlan| {
            let parts: Vec<Part> = inner
                .stored
                .get(&plan.id)
                .into_iter()
                .flat_map(BTreeMap::values)
                .copied()
                .collect();
            let counted = parts.iter().map(|part| part.rows).sum();
            let tally = match proof {
                ProofLevel::Transit => Tally {
                    rows: counted,
                    bytes: parts.iter().map(|part| part.bytes).sum(),
                    fingerprint: Hash128::default(),
                },
                ProofLevel::Full => *inner
                    .read
                    .get(&plan.id)
                    .ok_or_else(|| internal(&format!("{} was not read back", plan.name)))?,
            };
            Ok(Relation {
                schema: plan.schema.clone(),
                name: plan.name.clone(),
                kind: plan.kind,
                rows: tally.rows,
                fingerprint: tally.fingerprint,
                bytes: tally.bytes,
                parts,
                server_rows: counted,
            })
        };
        contents.relations.iter().map(relation).collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let out = change(&mut self.lock());
        self.bell.send_modify(|count| *count += 1);
        out
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
