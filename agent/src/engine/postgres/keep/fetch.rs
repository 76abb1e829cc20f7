//! Out of a repository: the entries of a snapshot, as the streams that a receiver takes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use holdfast_proto::{
    fleet::Engine,
    image::{
        CloseStream, CopyFormat, Hash128, ImageStream, Manifest, OpenStream, Part, Receipt,
        RelationPlan,
    },
    task::{FailureKind, TableName, TaskFailure},
};
use holdfast_repository::{EntryStream, Reading};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3Default;

use super::{
    failed,
    layout::{self, Contents},
};
use crate::engine::postgres::{
    copy_sql::{BINARY_HEADER, BINARY_TRAILER},
    failure::failure,
    image::{ImageSink, Interrupted, PIECES_WAITING, Piece},
    receive::Refusal,
};

/// What to do about a backup whose bytes are not those that were stored.
const DAMAGED: &str = "this backup is damaged: run ctl repository check --read-data 100%, and restore an \
                       older one";

/// One image of a repository, ready to be received.
pub struct Fetch {
    reading: Reading,
    contents: Contents,
    no_tablespaces: bool,
    /// Few processors load a table faster in one piece than in many.
    whole_tables: bool,
}

/// One stream to come: a table, or a part of it.
#[derive(Clone)]
struct Load {
    plan: RelationPlan,
    /// As the receiver knows it.
    part: Part,
    /// As they were stored.
    parts: Vec<Part>,
}

type Pieces = mpsc::Sender<Result<Piece, Interrupted>>;

impl Fetch {
    /// Reads what the snapshot holds.
    ///
    /// # Errors
    /// When it is no whole image of a format that we know, or one of another engine's.
    pub async fn open(
        reading: Reading,
        engine: Engine,
        no_tablespaces: bool,
        cpus: u32,
    ) -> Result<Self, TaskFailure> {
        let name = entry(layout::MANIFEST)?;
        let bytes = reading
            .whole(&name)
            .await
            .map_err(|error| failed("reading the backup's manifest", &error))?;
        let contents = Contents::read(&bytes)
            .map_err(|error| damaged(format!("the backup cannot be read: {error}")))?;
        if !layout::fits(contents.engine, engine) {
            let (image, server) = (contents.engine.label(), engine.label());
            let message = format!("the backup is one of {image}, and the server is {server}");
            let advice = "name a server of the same kind: ctl instance list";
            return Err(failure(FailureKind::Invalid, message, advice));
        }
        Ok(Self {
            reading,
            contents,
            no_tablespaces,
            whole_tables: cpus <= 2,
        })
    }

    /// The whole schema, and the rows of these tables.
    ///
    /// # Errors
    /// When the backup does not hold the rows of one of them.
    pub fn only(mut self, tables: &[TableName]) -> Result<Self, TaskFailure> {
        let wanted = |schema: &str, name: &str| {
            let mut tables = tables.iter();
            tables.any(|table| table.schema == schema && table.name == name)
        };
        let contents = &mut self.contents;
        contents
            .relations
            .retain(|plan| wanted(&plan.schema, &plan.name));
        let relations = &mut contents.manifest.relations;
        relations.retain(|relation| wanted(&relation.schema, &relation.name));
        let missing = tables.iter().find(|table| {
            let mut plans = contents.relations.iter();
            !plans.any(|plan| plan.schema == table.schema && plan.name == table.name)
        });
        match missing {
            None => Ok(self),
            Some(table) => Err(failure(
                FailureKind::Invalid,
                format!(
                    "the backup holds no rows of {}.{}",
                    table.schema, table.name
                ),
                "ctl backup show names what it holds",
            )),
        }
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.contents.manifest
    }

    /// Hands everything to the receiver over so many streams at once, the manifest last.
    ///
    /// # Errors
    /// What could not be read, or what the receiver would not take.
    pub async fn deliver(
        self,
        reception: Arc<dyn ImageSink>,
        host: &str,
        jobs: u32,
    ) -> Result<(), TaskFailure> {
        let delivery = Arc::new(Delivery {
            fetch: self,
            reception,
            host: host.to_owned(),
            run: Uuid::now_v7().to_string(),
        });
        let manifest = delivery.fetch.manifest().clone();
        let bytes = manifest
            .relations
            .iter()
            .map(|relation| relation.bytes)
            .sum();
        let begin = ImageStream::Begin {
            estimated_bytes: bytes,
        };
        let receiver_run = delivery.plain(begin, "").await?.receiver_run;
        delivery.schema(&receiver_run).await?;
        let loads = Arc::new(Mutex::new(delivery.fetch.loads()?));
        let mut loading = JoinSet::new();
        for _ in 0..jobs.max(1) {
            let (delivery, loads, run) = (
                Arc::clone(&delivery),
                Arc::clone(&loads),
                receiver_run.clone(),
            );
            loading.spawn(async move {
                loop {
                    let next = loads
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    match next {
                        Some(load) => delivery.rows(load, &run).await?,
                        None => return Ok::<(), TaskFailure>(()),
                    }
                }
            });
        }
        while let Some(ended) = loading.join_next().await {
            ended.map_err(|error| {
                failure(
                    FailureKind::Internal,
                    format!("a reader of the backup died: {error}"),
                    "",
                )
            })??;
        }
        let finish = ImageStream::Finish { manifest };
        delivery.plain(finish, &receiver_run).await.map(drop)
    }

    /// As the receiver is told of them.
    fn plans(&self) -> Vec<RelationPlan> {
        let mut plans = self.contents.relations.clone();
        if self.whole_tables {
            plans.iter_mut().for_each(|plan| plan.parts = 1);
        }
        plans
    }

    fn loads(&self) -> Result<VecDeque<Load>, TaskFailure> {
        let mut loads = VecDeque::new();
        for plan in &self.contents.relations {
            let stored = self
                .contents
                .stored(plan)
                .map_err(|error| damaged(error.to_string()))?;
            let parts = stored.parts.clone();
            if self.whole_tables {
                loads.push_back(Load {
                    plan: plan.clone(),
                    part: whole(),
                    parts,
                });
            } else {
                loads.extend(parts.into_iter().map(|part| Load {
                    plan: plan.clone(),
                    part,
                    parts: vec![part],
                }));
            }
        }
        Ok(loads)
    }
}

/// One delivery under way.
struct Delivery {
    fetch: Fetch,
    reception: Arc<dyn ImageSink>,
    host: String,
    run: String,
}

impl Delivery {
    async fn plain(&self, stream: ImageStream, receiver_run: &str) -> Result<Receipt, TaskFailure> {
        let nothing = Box::pin(futures::stream::empty());
        let open = self.open(stream, receiver_run);
        let accepted = Arc::clone(&self.reception).take(&self.host, open, nothing);
        accepted
            .await
            .map_err(|refusal| refused("the image", refusal, None))
    }

    async fn schema(&self, receiver_run: &str) -> Result<(), TaskFailure> {
        let stream = ImageStream::Schema {
            relations: self.fetch.plans(),
            sequences: self.fetch.contents.sequences.clone(),
            no_tablespaces: self.fetch.no_tablespaces,
        };
        let manifest = self.fetch.manifest();
        let close = CloseStream {
            rows: 0,
            bytes: manifest.schema_bytes,
            bytes_hash: manifest.schema_hash,
        };
        let name = layout::schema(self.fetch.contents.engine);
        let entry = self.stream(name)?;
        let pump = async |pieces: Pieces| {
            let mut entry = entry;
            while let Some(bytes) = next(&mut entry, name).await? {
                if pieces.send(Ok(Piece::Data(bytes))).await.is_err() {
                    return Ok(());
                }
            }
            // The receiver compares.
            let _ = pieces.send(Ok(Piece::Close(close))).await;
            Ok(())
        };
        self.carry(stream, receiver_run, "the schema", pump).await
    }

    async fn rows(&self, load: Load, receiver_run: &str) -> Result<(), TaskFailure> {
        let stream = ImageStream::Data {
            relation: load.plan.id,
            part: load.part,
        };
        let name = format!("{}.{}", load.plan.schema, load.plan.name);
        let pump = async |pieces: Pieces| self.pump_rows(&load, pieces).await;
        self.carry(stream, receiver_run, &name, pump).await
    }

    /// One stream: what `pump` reads goes to the receiver, and the first to fail says why.
    async fn carry(
        &self,
        stream: ImageStream,
        receiver_run: &str,
        what: &str,
        pump: impl AsyncFnOnce(Pieces) -> Result<(), TaskFailure>,
    ) -> Result<(), TaskFailure> {
        let (pieces, body) = mpsc::channel(PIECES_WAITING);
        let body = Box::pin(ReceiverStream::new(body));
        let open = self.open(stream, receiver_run);
        let accepting = Arc::clone(&self.reception).take(&self.host, open, body);
        let (pumped, accepted) = tokio::join!(pump(pieces), accepting);
        match (pumped, accepted) {
            (Ok(()), Ok(_)) => Ok(()),
            (pumped, Err(refusal)) => Err(refused(what, refusal, pumped.err())),
            (Err(failure), Ok(_)) => Err(failure),
        }
    }

    /// Each part is compared with what its sender said of it when it was stored.
    async fn pump_rows(&self, load: &Load, pieces: Pieces) -> Result<(), TaskFailure> {
        let mut all = Xxh3Default::new();
        let mut close = CloseStream {
            rows: 0,
            bytes: 0,
            bytes_hash: Hash128::default(),
        };
        for part in &load.parts {
            let name = layout::rows(&load.plan, part.index);
            let mut rows = Rows::new(self.stream(&name)?, load.plan.format);
            let (mut hash, mut bytes) = (Xxh3Default::new(), 0);
            while let Some(piece) = rows.next(&name).await? {
                hash.update(&piece);
                all.update(&piece);
                bytes += piece.len() as u64;
                if pieces.send(Ok(Piece::Data(piece))).await.is_err() {
                    // The receiver says why.
                    return Ok(());
                }
            }
            if (bytes, Hash128(hash.digest128())) != (part.bytes, part.bytes_hash) {
                return Err(damaged(format!("{name} holds other rows than were stored")));
            }
            close.bytes += bytes;
            close.rows += part.rows;
        }
        close.bytes_hash = Hash128(all.digest128());
        let _ = pieces.send(Ok(Piece::Close(close))).await;
        Ok(())
    }

    fn stream(&self, name: &str) -> Result<EntryStream, TaskFailure> {
        self.fetch
            .reading
            .stream(&entry(name)?)
            .map_err(|error| failed("reading the backup", &error))
    }

    fn open(&self, stream: ImageStream, receiver_run: &str) -> OpenStream {
        OpenStream {
            grant: Vec::new(),
            sender_run: self.run.clone(),
            receiver_run: receiver_run.to_owned(),
            stream,
        }
    }
}

/// The rows of a file of COPY: what is around them is cut away.
struct Rows {
    entry: EntryStream,
    binary: bool,
    header: usize,
    /// The end of what came: the trailer, perhaps.
    held: Vec<u8>,
}

impl Rows {
    fn new(entry: EntryStream, format: CopyFormat) -> Self {
        let binary = format == CopyFormat::Binary;
        Self {
            entry,
            binary,
            header: if binary { BINARY_HEADER.len() } else { 0 },
            held: Vec::new(),
        }
    }

    async fn next(&mut self, name: &str) -> Result<Option<Bytes>, TaskFailure> {
        loop {
            let Some(mut bytes) = next(&mut self.entry, name).await? else {
                let ended = self.header == 0 && self.held == self.trailer();
                return if ended {
                    Ok(None)
                } else {
                    Err(damaged(format!(
                        "{name} does not end as a file of COPY does"
                    )))
                };
            };
            let header = self.header.min(bytes.len());
            bytes = bytes.split_off(header);
            self.header -= header;
            if bytes.is_empty() {
                continue;
            }
            if !self.binary {
                return Ok(Some(bytes));
            }
            if !self.held.is_empty() {
                bytes = Bytes::from([&self.held, &bytes[..]].concat());
            }
            let rows = bytes.len().saturating_sub(BINARY_TRAILER.len());
            self.held = bytes.split_off(rows).to_vec();
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    fn trailer(&self) -> &'static [u8] {
        if self.binary { BINARY_TRAILER } else { &[] }
    }
}

async fn next(entry: &mut EntryStream, name: &str) -> Result<Option<Bytes>, TaskFailure> {
    let doing = || format!("reading {name} of the backup");
    entry.next().await.map_err(|error| failed(&doing(), &error))
}

fn entry(name: &str) -> Result<holdfast_repository::EntryName, TaskFailure> {
    layout::entry(name).map_err(|error| failure(FailureKind::Internal, error, ""))
}

fn whole() -> Part {
    Part {
        index: 0,
        first_page: 0,
        end_page: 0,
        rows: 0,
        bytes: 0,
        bytes_hash: Hash128::default(),
    }
}

fn damaged(message: String) -> TaskFailure {
    failure(FailureKind::DataMismatch, message, DAMAGED)
}

/// A stream that broke off did so because its reading failed; that says more.
fn refused(what: &str, refusal: Refusal, read: Option<TaskFailure>) -> TaskFailure {
    match (refusal, read) {
        (_, Some(failure)) => failure,
        (Refusal::Interrupted(interrupted), None) => failure(
            FailureKind::Unavailable,
            format!("restoring {what}: {interrupted}"),
            "",
        ),
        // It may be told before the failure of the work itself: what another try helps, it helps either way.
        (
            Refusal::No {
                kind,
                message,
                retryable,
            },
            None,
        ) => TaskFailure {
            retryable,
            ..failure(kind, format!("restoring {what}: {message}"), "")
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_try_helps_is_said_so_by_whoever_tells_it_first() {
        for retryable in [true, false] {
            let refusal = Refusal::No {
                kind: FailureKind::Conflict,
                message: "Lock wait timeout exceeded".to_owned(),
                retryable,
            };
            let told = refused("wiki.users", refusal, None);
            assert_eq!(
                (told.kind, told.retryable),
                (FailureKind::Conflict, retryable)
            );
        }
    }
}
