//! What has been stored of an image so far: shared by the streams and by what works beside them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_proto::{
    image::{Hash128, Manifest, Part, ProofLevel, Relation, RelationPlan, SequenceState},
    task::{FailureKind, TaskFailure},
};
use tokio::{sync::watch, time::Instant};

use super::internal;
use crate::engine::postgres::{archive::Entry, failure::failure, wire::Tally};

/// The schema as it stands on the target after pre-data.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    pub(super) relations: Vec<RelationPlan>,
    pub(super) sequences: Vec<SequenceState>,
    /// Of the post-data section, in the archive's order.
    pub(super) entries: Vec<Entry>,
    /// Tables and materialised views by their number in the archive.
    pub(super) tables: BTreeMap<i64, (String, String)>,
    /// Relations that are partitioned tables, loaded by their root.
    pub(super) roots: BTreeSet<u32>,
    /// `relkind` of every relation on the target.
    pub(super) kinds: BTreeMap<(String, String), char>,
    /// Tables whose statistics are about their own rows only: no partitions, no parents.
    pub(super) alone: BTreeSet<(String, String)>,
    pub(super) no_tablespaces: bool,
    pub(super) schema_hash: Hash128,
    pub(super) schema_bytes: u64,
    pub(super) notices: Vec<String>,
}

#[derive(Debug, Default)]
struct Inner {
    sender_run: Option<String>,
    contents: Option<Contents>,
    stored: BTreeMap<u32, BTreeMap<u32, Part>>,
    manifest: Option<Manifest>,
    failure: Option<TaskFailure>,
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
        Self {
            inner: Mutex::new(Inner {
                last_stream: Some(Instant::now()),
                ..Inner::default()
            }),
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

    pub(super) fn relation(&self, id: u32) -> Option<RelationPlan> {
        let inner = self.lock();
        let relations = &inner.contents.as_ref()?.relations;
        relations.iter().find(|relation| relation.id == id).cloned()
    }

    /// Whether it is a partitioned table on the target.
    pub(super) fn is_root(&self, id: u32) -> bool {
        let inner = self.lock();
        let contents = inner.contents.as_ref();
        contents.is_some_and(|contents| contents.roots.contains(&id))
    }

    pub(super) fn contents(&self) -> Result<Contents, TaskFailure> {
        self.lock()
            .contents
            .clone()
            .ok_or_else(|| internal("the schema was looked at before it was made"))
    }

    pub(super) fn part(&self, relation: u32, part: u32) -> Option<Part> {
        self.lock().stored.get(&relation)?.get(&part).copied()
    }

    pub(super) fn store(&self, relation: u32, part: Part) {
        self.change(|inner| {
            inner
                .stored
                .entry(relation)
                .or_default()
                .insert(part.index, part);
        });
    }

    pub(super) fn finish(&self, manifest: Manifest) {
        self.change(|inner| inner.manifest = Some(manifest));
    }

    pub(super) fn has_manifest(&self) -> bool {
        self.lock().manifest.is_some()
    }

    /// Parts that have been stored of a relation.
    pub(super) fn parts_stored(&self, relation: u32) -> usize {
        self.lock().stored.get(&relation).map_or(0, BTreeMap::len)
    }

    pub(super) async fn wait_for_schema(&self, silence: Duration) -> Result<(), TaskFailure> {
        let mut bell = self.bell();
        loop {
            self.check(silence)?;
            if self.schema().is_some() {
                return Ok(());
            }
            self.wait(&mut bell).await?;
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
    pub(super) async fn wait(&self, bell: &mut watch::Receiver<u64>) -> Result<(), TaskFailure> {
        match tokio::time::timeout(Duration::from_secs(5), bell.changed()).await {
            Ok(Err(_)) => Err(internal("the table of what is stored is gone")),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// What the target holds, as the proof asked for says it.
    pub(super) fn relations(
        &self,
        proof: ProofLevel,
        read_back: &BTreeMap<u32, Tally>,
    ) -> Result<Vec<Relation>, TaskFailure> {
        let inner = self.lock();
        let contents = inner
            .contents
            .as_ref()
            .ok_or_else(|| internal("an image ended before its schema"))?;
        let mut relations = Vec::with_capacity(contents.relations.len());
        for plan in &contents.relations {
            let stored = inner.stored.get(&plan.id);
            let parts: Vec<Part> = stored
                .into_iter()
                .flat_map(BTreeMap::values)
                .copied()
                .collect();
            let counted = parts.iter().map(|part| part.rows).sum();
            let (rows, fingerprint, bytes) = match proof {
                ProofLevel::Transit => (
                    counted,
                    Hash128::default(),
                    parts.iter().map(|part| part.bytes).sum(),
                ),
                ProofLevel::Full => {
                    let tally = read_back.get(&plan.id).ok_or_else(|| {
                        internal(format!("{}.{} was not read back", plan.schema, plan.name))
                    })?;
                    (tally.rows, tally.fingerprint, tally.bytes)
                }
            };
            relations.push(Relation {
                schema: plan.schema.clone(),
                name: plan.name.clone(),
                kind: plan.kind,
                rows,
                fingerprint,
                bytes,
                parts,
                server_rows: counted,
            });
        }
        Ok(relations)
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
