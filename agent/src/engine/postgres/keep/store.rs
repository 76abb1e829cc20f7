//! Into a repository: the streams of a sender, each an entry.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_proto::{
    fleet::Engine,
    image::{
        CloseStream, CopyFormat, DataPath, Hash128, ImageStream, Manifest, Part, Receipt,
        RelationPlan, SequenceState,
    },
    task::{FailureKind, TaskFailure},
};
use holdfast_repository::{About, EntryWriter, Plan, Repository, RepositoryError, Stored, Writing};
use tokio::sync::{mpsc, oneshot};
use xxhash_rust::xxh3::Xxh3Default;

use super::{
    ByHand, failed,
    layout::{self, Contents, FORMAT},
};
use crate::engine::postgres::{
    copy_sql::{BINARY_HEADER, BINARY_TRAILER},
    failure::failure,
    image::{ImagePeer, Piece, SendError},
};

/// Takes an image and makes one snapshot of it, or none.
pub struct Store {
    repository: Repository,
    about: About,
    engine: Engine,
    by_hand: Box<dyn ByHand>,
    jobs: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    relations: Vec<RelationPlan>,
    sequences: Vec<SequenceState>,
    /// Entries that the repository has not been ready for yet, or whose stream has not come yet.
    turns: HashMap<String, oneshot::Receiver<EntryWriter>>,
    /// What the snapshot was, or why there is none.
    ended: Option<oneshot::Receiver<Result<Stored, RepositoryError>>>,
    manifest: Option<oneshot::Sender<String>>,
    stored: Option<Stored>,
    cause: Option<TaskFailure>,
}

/// What a stream came to.
struct Kept {
    bytes: u64,
    hash: Hash128,
    rows: u64,
}

impl Store {
    #[must_use]
    pub fn new(
        repository: Repository,
        about: About,
        engine: Engine,
        by_hand: Box<dyn ByHand>,
        jobs: u32,
    ) -> Self {
        Self {
            repository,
            about,
            engine,
            by_hand,
            jobs: jobs.max(1) as usize,
            state: Mutex::default(),
        }
    }

    /// The snapshot, when the sender has delivered its manifest.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn stored(&self) -> Result<Stored, TaskFailure> {
        if let Some(stored) = self.lock().stored.clone() {
            return Ok(stored);
        }
        Err(self.cause().await.unwrap_or_else(|| {
            failure(
                FailureKind::Internal,
                "a backup ended without its manifest",
                "",
            )
        }))
    }

    /// Why the repository took no more; none when it was not the repository.
    pub async fn cause(&self) -> Option<TaskFailure> {
        let ended = self.lock().ended.take();
        if let Some(ended) = ended {
            // The manifest will not come any more.
            self.lock().manifest = None;
            // An image that is not whole is what the sender's failure came to, not its cause.
            if let Ok(Err(error)) = ended.await
                && !matches!(error, RepositoryError::Incomplete { .. })
            {
                self.lock().cause = Some(failed("storing the backup", &error));
            }
        }
        self.lock().cause.clone()
    }

    fn begin(
        &self,
        relations: Vec<RelationPlan>,
        sequences: Vec<SequenceState>,
    ) -> Result<(), SendError> {
        let names = layout::entries(self.engine, self.by_hand.names(), &relations);
        let mut entries = Vec::with_capacity(names.len());
        for name in &names {
            entries.push(layout::entry(name).map_err(defect)?);
        }
        let writing = self.repository.write(Plan {
            about: self.about.clone(),
            entries,
            last: layout::entry(layout::MANIFEST).map_err(defect)?,
            at_once: self.jobs,
        });
        let mut state = self.lock();
        if state.ended.is_some() || state.stored.is_some() {
            return Err(defect("a backup was begun twice".to_owned()));
        }
        let mut givers = HashMap::new();
        for name in names {
            let (give, take) = oneshot::channel();
            givers.insert(name.clone(), give);
            state.turns.insert(name, take);
        }
        let (manifest, awaited) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        state.relations = relations;
        state.sequences = sequences;
        state.manifest = Some(manifest);
        state.ended = Some(ended);
        tokio::spawn(hand_out(writing, givers, awaited, end));
        Ok(())
    }

    async fn schema(&self, body: mpsc::Receiver<Piece>) -> Result<Kept, SendError> {
        let mut schema = Vec::new();
        let seen = self.by_hand.reads_schema().then_some(&mut schema);
        let entry = layout::schema(self.engine);
        let kept = self.keep(entry, None, body, seen).await?;
        let texts = {
            let state = self.lock();
            let (relations, sequences) = (&state.relations, &state.sequences);
            self.by_hand
                .texts(&schema, relations, sequences, &layout::rows)
                .map_err(defect)?
        };
        for (name, text) in self.by_hand.names().iter().zip(texts) {
            self.small(name, text).await?;
        }
        Ok(kept)
    }

    async fn rows(
        &self,
        relation: u32,
        part: Part,
        body: mpsc::Receiver<Piece>,
    ) -> Result<Kept, SendError> {
        let plan = {
            let state = self.lock();
            let mut relations = state.relations.iter();
            relations.find(|plan| plan.id == relation).cloned()
        };
        let plan = plan.ok_or_else(|| {
            defect(format!(
                "rows came of relation {relation}, which was not announced"
            ))
        })?;
        let entry = layout::rows(&plan, part.index);
        self.keep(&entry, Some(plan.format), body, None).await
    }

    async fn finish(&self, manifest: Manifest) -> Result<(), SendError> {
        let (contents, give, ended) = {
            let mut state = self.lock();
            let contents = Contents {
                format: FORMAT,
                engine: self.engine,
                manifest,
                relations: state.relations.clone(),
                sequences: state.sequences.clone(),
            };
            (contents, state.manifest.take(), state.ended.take())
        };
        let text = serde_json::to_string(&contents)
            .map_err(|error| defect(format!("the manifest cannot be written: {error}")))?;
        let (Some(give), Some(ended)) = (give, ended) else {
            return Err(defect("a backup was closed before it began".to_owned()));
        };
        // When nobody takes it, the end tells why.
        let _ = give.send(text);
        match ended.await {
            Ok(Ok(stored)) => {
                self.lock().stored = Some(stored);
                Ok(())
            }
            Ok(Err(error)) => {
                let cause = failed("storing the backup", &error);
                self.lock().cause = Some(cause.clone());
                Err(refused(cause))
            }
            Err(_) => Err(defect("the writer of the backup died".to_owned())),
        }
    }

    /// Rows become a file of COPY; anything else goes as it comes. `seen` gets what passes, too.
    async fn keep(
        &self,
        name: &str,
        format: Option<CopyFormat>,
        mut body: mpsc::Receiver<Piece>,
        mut seen: Option<&mut Vec<u8>>,
    ) -> Result<Kept, SendError> {
        let mut writer = self.turn(name).await?;
        let binary = format == Some(CopyFormat::Binary);
        let (mut hash, mut bytes, mut length) = (Xxh3Default::new(), 0, 0);
        let around = |length: &mut u64, edge: &'static [u8]| {
            *length += edge.len() as u64;
            Bytes::from_static(edge)
        };
        if binary {
            let header = around(&mut length, BINARY_HEADER);
            self.sent(writer.send(header).await)?;
        }
        let close: CloseStream = loop {
            match body.recv().await {
                Some(Piece::Data(piece)) => {
                    hash.update(&piece);
                    if let Some(seen) = &mut seen {
                        seen.extend_from_slice(&piece);
                    }
                    bytes += piece.len() as u64;
                    length += piece.len() as u64;
                    self.sent(writer.send(piece).await)?;
                }
                Some(Piece::Close(close)) => break close,
                None => {
                    writer.fail("its source ended before its end");
                    return Err(defect(format!("{name} ended before its close")));
                }
            }
        };
        if binary {
            let trailer = around(&mut length, BINARY_TRAILER);
            self.sent(writer.send(trailer).await)?;
        }
        self.sent(writer.whole(length).await.map(drop))?;
        Ok(Kept {
            bytes,
            hash: Hash128(hash.digest128()),
            rows: close.rows,
        })
    }

    async fn small(&self, name: &str, text: String) -> Result<(), SendError> {
        let mut writer = self.turn(name).await?;
        let length = text.len() as u64;
        self.sent(writer.send(Bytes::from(text)).await)?;
        self.sent(writer.whole(length).await.map(drop))
    }

    /// Waits until the repository is ready for the entry.
    async fn turn(&self, name: &str) -> Result<EntryWriter, SendError> {
        let turn = self.lock().turns.remove(name);
        let turn =
            turn.ok_or_else(|| defect(format!("{name} came twice, or was not announced")))?;
        turn.await.map_err(|_| stopped())
    }

    /// The repository's own account of the end says why; this only stops the stream.
    fn sent(&self, outcome: Result<(), holdfast_repository::Incomplete>) -> Result<(), SendError> {
        outcome.map_err(|_| stopped())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ImagePeer for Store {
    async fn send(
        &self,
        stream: ImageStream,
        _: &str,
        body: mpsc::Receiver<Piece>,
    ) -> Result<Receipt, SendError> {
        let nothing = || Kept {
            bytes: 0,
            hash: Hash128::default(),
            rows: 0,
        };
        let kept = match stream {
            ImageStream::Begin { .. } => nothing(),
            ImageStream::Schema {
                relations,
                sequences,
                ..
            } => {
                self.begin(relations, sequences)?;
                self.schema(body).await?
            }
            ImageStream::Data { relation, part } => self.rows(relation, part, body).await?,
            ImageStream::Finish { manifest } => {
                self.finish(manifest).await?;
                nothing()
            }
        };
        Ok(Receipt {
            receiver_run: String::new(),
            rows: kept.rows,
            bytes: kept.bytes,
            bytes_hash: kept.hash,
            already_stored: false,
        })
    }

    fn path(&self) -> Option<DataPath> {
        Some(DataPath::Repository)
    }
}

/// Gives each entry to the stream that waits for it, then writes the manifest when it comes.
async fn hand_out(
    mut writing: Writing,
    mut givers: HashMap<String, oneshot::Sender<EntryWriter>>,
    manifest: oneshot::Receiver<String>,
    end: oneshot::Sender<Result<Stored, RepositoryError>>,
) {
    while let Some(writer) = writing.next().await {
        let giver = givers.remove(&writer.name().to_string());
        match giver {
            Some(giver) => {
                // Nobody waits any more when the sending was given up: dropping the writer ends the backup.
                let _ = giver.send(writer);
            }
            None => writer.fail("nobody asked for it"),
        }
    }
    // Whoever still waits will wait in vain.
    drop(givers);
    // Without a manifest there is a failure to ask for: an empty one is never written as a backup.
    let finished = match manifest.await {
        Ok(text) => writing.finish(text).await,
        Err(_) => Err(writing.give_up().await),
    };
    let _ = end.send(finished);
}

fn stopped() -> SendError {
    SendError::Refused {
        kind: FailureKind::Unavailable,
        message: "the repository took no more".to_owned(),
    }
}

fn refused(cause: TaskFailure) -> SendError {
    SendError::Refused {
        kind: cause.kind,
        message: cause.message,
    }
}

fn defect(message: String) -> SendError {
    SendError::Refused {
        kind: FailureKind::Internal,
        message,
    }
}
