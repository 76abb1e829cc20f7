//! The source side of an image: read under one snapshot, deliver stream by stream.
//!
//! A stream that gets lost on the way is read and sent again from the same snapshot. The source is only read.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use holdfast_proto::{
    image::{CloseStream, Hash128, ImageStream, Manifest, Part, Relation, SequenceState},
    task::{DatabaseTarget, FailureKind, Selection, SentImage, TaskFailure, TaskPhase},
};
use mysql_async::{Error, prelude::Queryable};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinSet,
};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::{
    document::Document,
    failure::failed,
    health, inventory,
    plan::{self, Cutting, Travelling},
    quote::{ident, qualified},
    rows::{self, Gatherer, Tally},
    session::Session,
    snapshot::Snapshot,
};
use crate::{
    engine::postgres::{
        failure::failure,
        image::{ImagePeer, Piece},
        meter::Meter,
        send::{
            MANIFEST_FORMAT, agrees,
            deliver::{Delivery, Produced},
            throttle::Throttle,
        },
    },
    observe::instances::Located,
};

/// Pieces of the document.
const PIECE: usize = 256 << 10;

/// What of which database is read, and how gently.
#[derive(Debug, Clone)]
pub struct Request {
    pub source: DatabaseTarget,
    pub selection: Selection,
    /// Connections that read.
    pub jobs: u32,
    /// Bytes a second; 0: no limit.
    pub bandwidth: u64,
}

/// What the sending works with.
pub struct Sender<'a> {
    pub request: &'a Request,
    pub located: &'a Located,
    pub peer: Arc<dyn ImagePeer>,
    pub meter: Arc<Meter>,
    pub cutting: Cutting,
}

impl Sender<'_> {
    /// Sends the whole image. The source is the same after as before, however it ends.
    ///
    /// # Errors
    /// In words for an operator; retryable when source, peer or network were away.
    pub async fn run(&self) -> Result<SentImage, TaskFailure> {
        let source = &self.request.source;
        self.meter.phase(TaskPhase::Prepare, 0);
        let jobs = self.request.jobs.max(1) as usize;
        let route = &self.located.route;
        let mut snapshot = Snapshot::take(route, &source.instance, &source.database, jobs).await?;
        let (document, relations) = self.plan(&mut snapshot).await?;
        let sequences = self.sequences(&mut snapshot, &document).await?;
        let estimated = relations.iter().map(|r| r.plan.estimated_bytes).sum();
        self.meter.bytes_total.store(estimated, Relaxed);
        let delivery = Arc::new(Delivery::new(
            Arc::clone(&self.peer),
            Arc::clone(&self.meter),
            Throttle::new(self.request.bandwidth),
        ));
        delivery.begin(estimated).await?;
        let schema = ImageStream::Schema {
            relations: relations.iter().map(|r| r.plan.clone()).collect(),
            sequences: sequences.clone(),
            no_tablespaces: false,
        };
        let (schema_hash, schema_bytes) = self.send_document(&document, schema, &delivery).await?;
        let identifier = self.identifier(&mut snapshot).await?;
        let server_version = snapshot.control.version.clone();
        let sent = self
            .send_rows(snapshot.readers, relations, &delivery)
            .await?;
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            taken_at: snapshot.taken_at,
            lsn: snapshot.position,
            system_identifier: identifier,
            server_version,
            database: source.database.clone(),
            relations: sent,
            sequences,
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

    async fn plan(
        &self,
        snapshot: &mut Snapshot,
    ) -> Result<(Document, Vec<Travelling>), TaskFailure> {
        let database = &self.request.source.database;
        let explain = |error: Error| failed("reading the catalog of the source", &error);
        let (mut document, limits) = inventory::read(&mut snapshot.control, database)
            .await
            .map_err(explain)?;
        if let Some(obstacle) = limits.obstacles.first() {
            return Err(failure(
                FailureKind::Invalid,
                format!("{database} cannot be copied: {obstacle}"),
                "",
            ));
        }
        plan::select(&mut document, &self.request.selection);
        let names: Vec<String> = document
            .tables
            .iter()
            .map(|table| table.name.clone())
            .collect();
        snapshot.keep(database, &names).await?;
        let mut relations = Vec::new();
        for table in &document.tables {
            if !plan::with_rows(&document, &self.request.selection, &table.name) {
                continue;
            }
            let range = if plan::may_be_cut(table, self.cutting) {
                let column = ident(&table.key[0]);
                let sql = format!(
                    "SELECT MIN({column}), MAX({column}) FROM {}",
                    qualified(database, &table.name)
                );
                // A key that is no whole number is not cut.
                match snapshot
                    .control
                    .conn
                    .query_first::<(Option<i64>, Option<i64>), _>(sql)
                    .await
                {
                    Ok(found) => found.and_then(|(first, last)| first.zip(last)),
                    Err(error @ Error::Io(_)) => return Err(explain(error)),
                    Err(_) => None,
                }
            } else {
                None
            };
            let id = u32::try_from(relations.len()).unwrap_or(u32::MAX);
            relations.push(plan::travelling(id, database, table, range, self.cutting));
        }
        Ok((document, relations))
    }

    async fn sequences(
        &self,
        snapshot: &mut Snapshot,
        document: &Document,
    ) -> Result<Vec<SequenceState>, TaskFailure> {
        if self.request.selection.schema_only {
            return Ok(Vec::new());
        }
        let names = document
            .sequences
            .iter()
            .map(|sequence| sequence.name.as_str());
        read_sequences(
            &mut snapshot.control,
            &document.database,
            &document.database,
            names,
        )
        .await
    }

    async fn identifier(&self, snapshot: &mut Snapshot) -> Result<String, TaskFailure> {
        let root = self
            .located
            .server_pid
            .map(|pid| PathBuf::from(format!("/proc/{pid}/root")));
        let directory = &self.located.data_directory;
        health::identifier(&mut snapshot.control, root.as_deref(), directory)
            .await
            .map_err(|error| failed("asking the source who it is", &error))
    }

    async fn send_document(
        &self,
        document: &Document,
        stream: ImageStream,
        delivery: &Delivery,
    ) -> Result<(Hash128, u64), TaskFailure> {
        self.meter.phase(TaskPhase::Schema, 0);
        let bytes = serde_json::to_vec(document).map_err(|error| {
            failure(
                FailureKind::Internal,
                format!("writing the schema down: {error}"),
                "",
            )
        })?;
        let bytes = bytes::Bytes::from(bytes);
        let close = CloseStream {
            rows: 0,
            bytes: bytes.len() as u64,
            bytes_hash: Hash128(xxh3_128(&bytes)),
        };
        let produce = |pieces: mpsc::Sender<Piece>| {
            let mut rest = bytes.clone();
            async move {
                while !rest.is_empty() {
                    let piece = rest.split_to(rest.len().min(PIECE));
                    delivery.throttle.pass(piece.len() as u64).await;
                    if pieces.send(Piece::Data(piece)).await.is_err() {
                        return Produced::Stopped;
                    }
                }
                match pieces.send(Piece::Close(close)).await {
                    Ok(()) => Produced::Whole(()),
                    Err(_) => Produced::Stopped,
                }
            }
        };
        let (_, receipt) = delivery
            .stream(&stream, "sending the schema", produce)
            .await?;
        if !agrees(&receipt, 0, close.bytes, close.bytes_hash) {
            let message = "the schema arrived as something else than was sent";
            return Err(failure(FailureKind::DataMismatch, message, ""));
        }
        Ok((close.bytes_hash, close.bytes))
    }

    async fn send_rows(
        &self,
        sessions: Vec<Session>,
        relations: Vec<Travelling>,
        delivery: &Arc<Delivery>,
    ) -> Result<Vec<Relation>, TaskFailure> {
        let parts: usize = relations.iter().map(|r| r.parts.len()).sum();
        self.meter.phase(TaskPhase::Data, parts as u64);
        let work = Arc::new(Work::new(relations));
        let mut readers = JoinSet::new();
        for session in sessions {
            let seat = Seat {
                session,
                counted: (0, 0),
            };
            let database = self.request.source.database.clone();
            readers.spawn(read_parts(
                seat,
                database,
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
        Ok(work.sent())
    }
}

/// Where the sequences of a database stand now; `schema` is the name that the states carry.
///
/// # Errors
/// What the server says.
pub async fn read_sequences(
    session: &mut Session,
    database: &str,
    schema: &str,
    names: impl Iterator<Item = &str>,
) -> Result<Vec<SequenceState>, TaskFailure> {
    let mut states = Vec::new();
    for name in names {
        let sql = format!(
            "SELECT next_not_cached_value FROM {}",
            qualified(database, name)
        );
        let next: Option<i64> = session
            .conn
            .query_first(sql)
            .await
            .map_err(|error| failed(format!("reading the sequence {name}"), &error))?;
        states.push(SequenceState {
            schema: schema.to_owned(),
            name: name.to_owned(),
            last_value: next.unwrap_or_default(),
            is_called: false,
        });
    }
    Ok(states)
}

/// Where a reader sits.
struct Seat {
    session: Session,
    /// Bytes and rows that the last attempt added to the meter.
    counted: (u64, u64),
}

async fn read_parts(
    seat: Seat,
    database: String,
    work: Arc<Work>,
    delivery: Arc<Delivery>,
) -> Result<(), TaskFailure> {
    let seat = Arc::new(AsyncMutex::new(seat));
    while let Some((travelling, part)) = work.next() {
        seat.lock().await.counted = (0, 0);
        let name = format!("{}.{}", travelling.plan.schema, travelling.plan.name);
        delivery.meter.current(&name);
        let doing = format!("sending {name} (part {})", part.index);
        let stream = ImageStream::Data {
            relation: travelling.plan.id,
            part,
        };
        let sql = rows::select(&database, &travelling.table, &part, travelling.plan.parts);
        let produce = |pieces| produce(&seat, &delivery, &name, &sql, pieces);
        let (reads, receipt) = delivery.stream(&stream, &doing, produce).await?;
        let stored = reads
            .iter()
            .find(|(tally, hash)| agrees(&receipt, tally.rows, tally.bytes, *hash));
        let Some((tally, bytes_hash)) = stored else {
            let message = format!(
                "{doing}: the receiver stored {} rows ({} bytes), which is not what was read",
                receipt.rows, receipt.bytes
            );
            return Err(failure(FailureKind::DataMismatch, message, ""));
        };
        let part = Part {
            rows: tally.rows,
            bytes: tally.bytes,
            bytes_hash: *bytes_hash,
            ..part
        };
        work.done(travelling.plan.id, part, tally.fingerprint);
        delivery.meter.item_done();
    }
    Ok(())
}

/// The reading is a task of its own and always goes to its end: whoever gives it up in the middle would leave the
/// answer of one question on the session, for the next question to take as its own.
async fn produce(
    seat: &Arc<AsyncMutex<Seat>>,
    delivery: &Arc<Delivery>,
    name: &str,
    sql: &str,
    pieces: mpsc::Sender<Piece>,
) -> Produced<(Tally, Hash128)> {
    let mut seat = Arc::clone(seat).lock_owned().await;
    let (delivery, name, sql) = (Arc::clone(delivery), name.to_owned(), sql.to_owned());
    let reading = tokio::spawn(async move {
        let (bytes, rows) = std::mem::take(&mut seat.counted);
        delivery.meter.unflowed(bytes, rows);
        let Seat { session, counted } = &mut *seat;
        match copy(session, &sql, &delivery, &pieces, counted).await {
            Ok(Some((tally, bytes_hash))) => {
                let close = CloseStream {
                    rows: tally.rows,
                    bytes: tally.bytes,
                    bytes_hash,
                };
                // Read whole also when nobody takes the close: the receipt will tell.
                let _ = pieces.send(Piece::Close(close)).await;
                Produced::Whole((tally, bytes_hash))
            }
            Ok(None) => Produced::Stopped,
            Err(error) => {
                Produced::Failed(failed(format!("reading {name} from the source"), &error))
            }
        }
    });
    match reading.await {
        Ok(produced) => produced,
        Err(error) => Produced::Failed(failure(
            FailureKind::Internal,
            format!("a reader died: {error}"),
            "",
        )),
    }
}

/// None when nobody takes the pieces any more; the rest is read all the same.
async fn copy(
    session: &mut Session,
    sql: &str,
    delivery: &Delivery,
    pieces: &mpsc::Sender<Piece>,
    counted: &mut (u64, u64),
) -> Result<Option<(Tally, Hash128)>, Error> {
    let mut result = session.conn.query_iter(sql).await?;
    let mut gatherer = Gatherer::default();
    let mut hash = Xxh3Default::new();
    loop {
        let row = result.next().await?;
        let ended = row.is_none();
        if let Some(row) = row {
            gatherer.take(row);
        }
        if !(ended || gatherer.is_full()) {
            continue;
        }
        for piece in gatherer.pieces() {
            let length = piece.len() as u64;
            hash.update(&piece);
            delivery.throttle.pass(length).await;
            if pieces.send(Piece::Data(piece)).await.is_err() {
                result.drop_result().await?;
                return Ok(None);
            }
            delivery.meter.flowed(length, 0);
            counted.0 += length;
        }
        delivery.meter.flowed(0, gatherer.tally.rows - counted.1);
        counted.1 = gatherer.tally.rows;
        if ended {
            return Ok(Some((gatherer.tally, Hash128(hash.digest128()))));
        }
    }
}

/// Parts to send, biggest tables first, and what became of them.
struct Work {
    relations: Vec<Travelling>,
    queue: Mutex<VecDeque<(usize, usize)>>,
    sent: Mutex<BTreeMap<u32, Relation>>,
}

impl Work {
    fn new(relations: Vec<Travelling>) -> Self {
        let mut queue = VecDeque::new();
        let mut sent = BTreeMap::new();
        for (at, travelling) in relations.iter().enumerate() {
            queue.extend((0..travelling.parts.len()).map(|part| (at, part)));
            let relation = Relation {
                schema: travelling.plan.schema.clone(),
                name: travelling.plan.name.clone(),
                kind: travelling.plan.kind,
                rows: 0,
                fingerprint: Hash128::default(),
                bytes: 0,
                parts: Vec::new(),
                server_rows: 0,
            };
            sent.insert(travelling.plan.id, relation);
        }
        Self {
            relations,
            queue: Mutex::new(queue),
            sent: Mutex::new(sent),
        }
    }

    fn next(&self) -> Option<(&Travelling, Part)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, part) = queue.pop_front()?;
        let travelling = self.relations.get(at)?;
        Some((travelling, *travelling.parts.get(part)?))
    }

    fn done(&self, id: u32, part: Part, fingerprint: Hash128) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(relation) = sent.get_mut(&id) {
            relation.rows += part.rows;
            relation.bytes += part.bytes;
            // The server ends a result only after its last row.
            relation.server_rows += part.rows;
            relation.fingerprint = relation.fingerprint.plus(fingerprint);
            relation.parts.push(part);
        }
    }

    fn sent(&self) -> Vec<Relation> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut relations: Vec<Relation> = std::mem::take(&mut *sent).into_values().collect();
        for relation in &mut relations {
            relation.parts.sort_by_key(|part| part.index);
        }
        relations
    }
}
