//! The source side of an image: read under one snapshot, deliver stream by stream.
//!
//! The snapshot lives as long as the sending, so a stream that gets lost on the way is read
//! and sent again, and what arrives is the same. The source is only read.

pub(crate) mod deliver;
mod part;
mod schema;
mod sequences;
pub(crate) mod throttle;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use holdfast_proto::{
    image::{Hash128, ImageStream, Manifest, Part, Receipt, Relation, SequenceState},
    task::{DatabaseTarget, Extension, FailureKind, Selection, SentImage, TaskFailure, TaskPhase},
};
use tokio::task::JoinSet;

use self::{deliver::Delivery, throttle::Throttle};
use super::{
    failure::{failed, failure},
    image::{ImagePeer, Piece},
    inventory,
    meter::Meter,
    plan::{self, Circumstances, Cutting, Plan, Travelling},
    snapshot::Snapshot,
    tools::Toolbox,
};
use crate::{container::ContainerEngine, observe::instances::Located};

/// Of [`Manifest`]; a reader refuses what it does not know.
pub const MANIFEST_FORMAT: u32 = 1;

/// Which image is made, and how.
#[derive(Debug, Clone)]
pub struct Request {
    pub source: DatabaseTarget,
    pub selection: Selection,
    /// Connections that read; at least 1.
    pub jobs: u32,
    /// Bytes a second over all connections; 0 = no limit.
    pub bandwidth: u64,
    pub purpose: Purpose,
}

/// What the image is for: decides the form of the rows and where tables are cut.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// A server that is known.
    Server {
        version_num: u32,
        extensions: Vec<Extension>,
        /// It lacks tablespaces of the source: placement is left out.
        no_tablespaces: bool,
        /// Of the source's host: with two or fewer, cutting tables only costs.
        cpus: u32,
    },
    /// To be kept, for a server of the same version or a newer one. Cut at the same pages every time, so
    /// that what did not change is the same bytes again.
    Keeping,
}

/// What the sending works with.
pub struct Sender<'a> {
    pub request: &'a Request,
    pub located: &'a Located,
    pub containers: &'a ContainerEngine,
    pub peer: Arc<dyn ImagePeer>,
    pub meter: Arc<Meter>,
    /// `application_name` of every session, so that they can be found.
    pub application: String,
}

impl Sender<'_> {
    /// Sends the whole image. The source is the same after as before, however it ends.
    ///
    /// # Errors
    /// In words for an operator; retryable when source, peer or network were away.
    pub async fn run(&self) -> Result<SentImage, TaskFailure> {
        let source = &self.request.source;
        self.meter.phase(TaskPhase::Prepare, 0);
        let snapshot = Snapshot::take(
            &self.located.route,
            &source.instance,
            &source.database,
            &self.application,
        )
        .await?;
        let plan = self.plan(&snapshot).await?;
        snapshot.lock(&plan.locks).await?;
        let states = sequences::read(snapshot.client(), &plan.sequences)
            .await
            .map_err(|error| failed("reading the sequences of the source", &error))?;
        self.meter
            .bytes_total
            .store(plan.estimated_bytes, std::sync::atomic::Ordering::Relaxed);

        let delivery = Arc::new(Delivery::new(
            Arc::clone(&self.peer),
            Arc::clone(&self.meter),
            Throttle::new(self.request.bandwidth),
        ));
        delivery.begin(plan.estimated_bytes).await?;
        let (schema_hash, schema_bytes) = self
            .send_schema(&snapshot, &plan, &states, &delivery)
            .await?;
        let snapshot = Arc::new(snapshot);
        let relations = self.send_data(&snapshot, plan.relations, &delivery).await?;
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            taken_at: snapshot.taken_at,
            lsn: snapshot.lsn.clone(),
            system_identifier: snapshot.system_identifier.clone(),
            server_version: snapshot.server_version.clone(),
            database: source.database.clone(),
            relations,
            sequences: states,
            schema_hash,
            schema_bytes,
        };
        let finish = ImageStream::Finish {
            manifest: manifest.clone(),
        };
        delivery.plain(finish, "sending the manifest").await?;
        Ok(SentImage {
            manifest,
            path: self.peer.path().ok_or_else(|| {
                failure(FailureKind::Internal, "an image was sent on no path", "")
            })?,
            resent_parts: delivery.resent(),
        })
    }

    async fn plan(&self, snapshot: &Snapshot) -> Result<Plan, TaskFailure> {
        let inventory = inventory::read(snapshot.client())
            .await
            .map_err(|error| failed("reading the catalog of the source", &error))?;
        let about = match &self.request.purpose {
            Purpose::Server {
                version_num,
                extensions,
                cpus,
                ..
            } => Circumstances {
                source_version_num: snapshot.version_num,
                target_version_num: *version_num,
                target_extensions: extensions.clone(),
                cutting: Cutting::for_speed(*cpus),
            },
            // What the server has of extensions when it is restored is not known: their types travel as text.
            Purpose::Keeping => Circumstances {
                source_version_num: snapshot.version_num,
                target_version_num: snapshot.version_num,
                target_extensions: Vec::new(),
                cutting: Cutting::for_keeping(snapshot.version_num),
            },
        };
        Ok(plan::make(&inventory, &self.request.selection, &about))
    }

    async fn send_schema(
        &self,
        snapshot: &Snapshot,
        plan: &Plan,
        states: &[SequenceState],
        delivery: &Delivery,
    ) -> Result<(Hash128, u64), TaskFailure> {
        self.meter.phase(TaskPhase::Schema, 0);
        let toolbox = Toolbox {
            located: self.located,
            containers: self.containers,
            version_num: snapshot.version_num,
            application: &self.application,
        };
        let stream = ImageStream::Schema {
            relations: plan.relations.iter().map(|r| r.plan.clone()).collect(),
            sequences: states.to_vec(),
            no_tablespaces: self.request.no_tablespaces(),
        };
        let arguments = schema::arguments(&snapshot.name, plan);
        schema::send(
            &toolbox,
            &self.request.source.database,
            &arguments,
            stream,
            delivery,
        )
        .await
    }

    async fn send_data(
        &self,
        snapshot: &Arc<Snapshot>,
        relations: Vec<Travelling>,
        delivery: &Arc<Delivery>,
    ) -> Result<Vec<Relation>, TaskFailure> {
        let parts: usize = relations.iter().map(|r| r.parts.len()).sum();
        self.meter.phase(TaskPhase::Data, parts as u64);
        let work = Arc::new(Work::new(relations));
        let mut readers = JoinSet::new();
        for _ in 0..self.request.jobs.max(1) {
            readers.spawn(part::reader(
                Arc::clone(snapshot),
                Arc::clone(&work),
                Arc::clone(delivery),
            ));
        }
        // The first failure ends them all: dropping the set aborts the others.
        while let Some(ended) = readers.join_next().await {
            ended.map_err(|error| {
                failure(FailureKind::Internal, format!("a reader died: {error}"), "")
            })??;
        }
        Ok(work.manifest())
    }
}

impl Request {
    fn no_tablespaces(&self) -> bool {
        match self.purpose {
            Purpose::Server { no_tablespaces, .. } => no_tablespaces,
            Purpose::Keeping => false,
        }
    }
}

/// Parts to send, biggest tables first, and what became of them.
struct Work {
    relations: Vec<Travelling>,
    queue: Mutex<VecDeque<(usize, usize)>>,
    sent: Mutex<Vec<Relation>>,
}

impl Work {
    fn new(relations: Vec<Travelling>) -> Self {
        let mut queue = VecDeque::new();
        for (at, relation) in relations.iter().enumerate() {
            queue.extend((0..relation.parts.len()).map(|part| (at, part)));
        }
        let sent = relations
            .iter()
            .map(|travelling| Relation {
                schema: travelling.plan.schema.clone(),
                name: travelling.plan.name.clone(),
                kind: travelling.plan.kind,
                rows: 0,
                fingerprint: Hash128::default(),
                bytes: 0,
                parts: Vec::new(),
                server_rows: 0,
            })
            .collect();
        Self {
            relations,
            queue: Mutex::new(queue),
            sent: Mutex::new(sent),
        }
    }

    fn next(&self) -> Option<(usize, &Travelling, Part)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, part) = queue.pop_front()?;
        let travelling = self.relations.get(at)?;
        Some((at, travelling, *travelling.parts.get(part)?))
    }

    fn done(&self, at: usize, part: Part, fingerprint: Hash128) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(relation) = sent.get_mut(at) {
            relation.rows += part.rows;
            relation.bytes += part.bytes;
            // The reader has checked that the server counted as many.
            relation.server_rows += part.rows;
            relation.fingerprint = relation.fingerprint.plus(fingerprint);
            relation.parts.push(part);
        }
    }

    fn manifest(&self) -> Vec<Relation> {
        let mut sent =
            std::mem::take(&mut *self.sent.lock().unwrap_or_else(PoisonError::into_inner));
        for relation in &mut sent {
            relation.parts.sort_by_key(|part| part.index);
        }
        sent
    }
}

/// Whether the receiver's account of a stream is ours.
pub(crate) fn agrees(receipt: &Receipt, rows: u64, bytes: u64, hash: Hash128) -> bool {
    receipt.rows == rows && receipt.bytes == bytes && receipt.bytes_hash == hash
}

/// A channel whose other end sees nothing but the close of an empty stream.
fn empty_body() -> tokio::sync::mpsc::Receiver<Piece> {
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let close = holdfast_proto::image::CloseStream {
        rows: 0,
        bytes: 0,
        bytes_hash: Hash128(xxhash_rust::xxh3::xxh3_128(&[])),
    };
    // There is room for one, and nobody else sends.
    let _ = send.try_send(Piece::Close(close));
    receive
}
