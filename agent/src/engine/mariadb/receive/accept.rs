//! Streams as they arrive: who may send, what may come when, and what is stored already.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::StreamExt as _;
use holdfast_proto::{
    image::{
        CloseStream, Hash128, ImageStream, OpenStream, Part, Receipt, RelationPlan, SequenceState,
    },
    task::{FailureKind, ReceiveImage, TaskFailure},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Target, build, load,
    state::{Contents, State},
};
use crate::engine::{
    mariadb::document::{Document, FORMAT},
    postgres::{
        databases::internal,
        failure::failure,
        image::{Body, ImageSink, Interrupted, Piece},
        receive::Refusal,
        sessions::cancelled,
    },
};

/// The largest document that is taken: it is held in memory.
const LARGEST_DOCUMENT: usize = 256 << 20;

/// How storing a stream went wrong.
pub(super) enum Trouble {
    Interrupted(Interrupted),
    /// The whole receiving is over.
    Fatal(TaskFailure),
}

impl From<TaskFailure> for Trouble {
    fn from(failure: TaskFailure) -> Self {
        Self::Fatal(failure)
    }
}

impl From<Interrupted> for Trouble {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

/// One image's end of the streams, from the first to the last.
pub struct Reception {
    run: String,
    peer_host: String,
    pub(super) target: Target,
    pub(super) state: State,
    /// One stream at a time goes into a table, and the schema comes alone.
    turns: Mutex<HashMap<Option<u32>, Arc<tokio::sync::Mutex<()>>>>,
    /// The newest of streams that are the same stream: the one before it is dead, noticed or not.
    newest: Mutex<HashMap<(Option<u32>, u32), CancellationToken>>,
    closed: CancellationToken,
}

#[async_trait]
impl ImageSink for Reception {
    fn check_sender(&self, host: &str) -> Result<(), Refusal> {
        if host == self.peer_host {
            return Ok(());
        }
        let expected = &self.peer_host;
        let message = format!("this image is expected from {expected}, not from {host}");
        Err(no(FailureKind::Refused, message))
    }

    async fn take(
        self: Arc<Self>,
        sender_host: &str,
        open: OpenStream,
        body: Body,
    ) -> Result<Receipt, Refusal> {
        self.check(sender_host, &open)?;
        let _counted = self.state.stream();
        let taken = match open.stream {
            ImageStream::Begin { .. } => Ok(self.receipt(&nothing(), false)),
            ImageStream::Schema {
                relations,
                sequences,
                ..
            } => {
                let key = (None, 0);
                let superseded = self.supersede(key);
                let work = self.take_schema(relations, sequences, body);
                tokio::select! {
                    taken = work => taken,
                    () = superseded.cancelled() => Err(Interrupted("it was sent again".to_owned()).into()),
                    () = self.closed.cancelled() => Err(cancelled("the receiving").into()),
                }
            }
            ImageStream::Data { relation, part } => {
                let superseded = self.supersede((Some(relation), part.index));
                // Whoever waits for this stream may be gone at any moment; what the server stores must be noted
                // all the same, before the part can come again.
                let reception = Arc::clone(&self);
                let storing = tokio::spawn(async move {
                    reception.take_part(relation, part, body, superseded).await
                });
                match storing.await {
                    Ok(taken) => taken,
                    Err(_) => Err(Interrupted("the agent is ending".to_owned()).into()),
                }
            }
            ImageStream::Finish { manifest } => self
                .state
                .finish(manifest)
                .map(|()| self.receipt(&nothing(), false))
                .map_err(Trouble::Fatal),
        };
        taken.map_err(|trouble| match trouble {
            Trouble::Interrupted(interrupted) => Refusal::Interrupted(interrupted),
            Trouble::Fatal(failure) => {
                self.state.fail(failure.clone());
                Refusal::No {
                    kind: failure.kind,
                    message: failure.message,
                    retryable: failure.retryable,
                }
            }
        })
    }
}

impl Reception {
    pub(super) fn new(spec: &ReceiveImage, target: Target) -> Self {
        Self {
            run: Uuid::now_v7().to_string(),
            peer_host: spec.peer_host.clone(),
            target,
            state: State::new(),
            turns: Mutex::default(),
            newest: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }

    /// Takes no more, and gives up what it is taking.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    fn check(&self, sender_host: &str, open: &OpenStream) -> Result<(), Refusal> {
        self.check_sender(sender_host)?;
        if let Some(failure) = self.state.failure() {
            return Err(no(
                failure.kind,
                format!("the receiving has failed: {failure}"),
            ));
        }
        let known = match open.stream {
            ImageStream::Begin { .. } => self.state.bind(&open.sender_run),
            _ => self.state.is_bound_to(&open.sender_run) && open.receiver_run == self.run,
        };
        if known {
            return Ok(());
        }
        let message = "this image is being received from another run of the sender";
        Err(no(FailureKind::Refused, message.to_owned()))
    }

    fn supersede(&self, key: (Option<u32>, u32)) -> CancellationToken {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = self.closed.child_token();
        if let Some(before) = newest.insert(key, mine.clone()) {
            before.cancel();
        }
        mine
    }

    fn turn(&self, key: Option<u32>) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(key).or_default())
    }

    async fn take_schema(
        &self,
        relations: Vec<RelationPlan>,
        sequences: Vec<SequenceState>,
        body: Body,
    ) -> Result<Receipt, Trouble> {
        let turn = self.turn(None);
        let _turn = turn.lock().await;
        if let Some((bytes_hash, bytes)) = self.state.schema() {
            return Ok(self.receipt(
                &CloseStream {
                    rows: 0,
                    bytes,
                    bytes_hash,
                },
                true,
            ));
        }
        let (bytes, close) = gather(body).await?;
        let document: Document = serde_json::from_slice(&bytes)
            .map_err(|error| internal(&format!("the schema cannot be read: {error}")))?;
        if document.format != FORMAT {
            let message = format!(
                "the schema is of form {}, this agent knows {FORMAT}",
                document.format
            );
            return Err(
                failure(FailureKind::Invalid, message, "upgrade the target's agent").into(),
            );
        }
        let contents = Contents {
            document,
            relations,
            sequences,
            schema_hash: close.bytes_hash,
            schema_bytes: close.bytes,
        };
        build::tables(&self.target, &contents).await?;
        self.state.schema_made(contents);
        Ok(self.receipt(&close, false))
    }

    async fn take_part(
        &self,
        relation: u32,
        part: Part,
        body: Body,
        superseded: CancellationToken,
    ) -> Result<Receipt, Trouble> {
        let Some((plan, table)) = self.state.relation(relation) else {
            return Err(internal(&format!(
                "rows came for relation {relation}, which was not announced"
            ))
            .into());
        };
        if part.index >= plan.parts {
            let (name, parts) = (&plan.name, plan.parts);
            return Err(internal(&format!(
                "part {} came of {name}, which has {parts}",
                part.index
            ))
            .into());
        }
        let turn = self.turn(Some(relation));
        let _turn = turn.lock().await;
        if let Some(stored) = self.state.part(relation, part.index) {
            return Ok(self.receipt(&closing(&stored), true));
        }
        let loading = load::part(&self.target, &plan, &table, part, body, &superseded);
        let (stored, notice) = loading.await?;
        self.state.store(relation, stored, notice);
        self.target.meter.item_done();
        Ok(self.receipt(&closing(&stored), false))
    }

    fn receipt(&self, stored: &CloseStream, already_stored: bool) -> Receipt {
        Receipt {
            receiver_run: self.run.clone(),
            rows: stored.rows,
            bytes: stored.bytes,
            bytes_hash: stored.bytes_hash,
            already_stored,
        }
    }
}

/// A whole stream, checked against its close.
async fn gather(mut body: Body) -> Result<(Vec<u8>, CloseStream), Trouble> {
    let mut bytes = Vec::new();
    loop {
        match body.next().await {
            Some(Ok(Piece::Data(piece))) => {
                bytes.extend_from_slice(&piece);
                if bytes.len() > LARGEST_DOCUMENT {
                    return Err(internal("the schema is larger than any schema").into());
                }
            }
            Some(Ok(Piece::Close(close))) => {
                let seen = (bytes.len() as u64, Hash128(xxh3_128(&bytes)));
                if seen != (close.bytes, close.bytes_hash) {
                    let message = "the schema arrived as something else than was sent";
                    return Err(failure(FailureKind::DataMismatch, message, "").into());
                }
                return Ok((bytes, close));
            }
            Some(Err(interrupted)) => return Err(interrupted.into()),
            None => return Err(Interrupted("it ended before its close".to_owned()).into()),
        }
    }
}

fn closing(part: &Part) -> CloseStream {
    CloseStream {
        rows: part.rows,
        bytes: part.bytes,
        bytes_hash: part.bytes_hash,
    }
}

fn nothing() -> CloseStream {
    CloseStream {
        rows: 0,
        bytes: 0,
        bytes_hash: Hash128::default(),
    }
}

fn no(kind: FailureKind, message: String) -> Refusal {
    Refusal::No {
        kind,
        message,
        retryable: false,
    }
}
