//! Streams as they arrive: who may send, what may come when, and what is stored already.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use holdfast_proto::{
    image::{CloseStream, ImageStream, Manifest, OpenStream, Part, Receipt},
    task::{FailureKind, ReceiveImage, TaskFailure},
};
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

use super::{Target, load, pool::Pool, schema, state::State};
use crate::engine::postgres::{
    image::{Body, ImageSink, Interrupted},
    sessions,
};

/// Why a stream was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It broke off; the sender may send it again.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error("{message}")]
    No {
        kind: FailureKind,
        message: String,
        /// Of the whole work, not of this stream.
        retryable: bool,
    },
}

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
    pub(super) pool: Pool,
    pub(super) state: State,
    running: Mutex<HashMap<Key, Running>>,
    closed: CancellationToken,
}

/// Streams that are the same stream when they come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Schema,
    Data { relation: u32, part: u32 },
}

#[derive(Clone, Default)]
struct Running {
    superseded: CancellationToken,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// One of the same streams is stored at a time.
type Turn = tokio::sync::OwnedMutexGuard<()>;

#[async_trait]
impl ImageSink for Reception {
    fn check_sender(&self, host: &str) -> Result<(), Refusal> {
        Self::check_sender(self, host)
    }

    async fn take(
        self: Arc<Self>,
        sender_host: &str,
        open: OpenStream,
        body: Body,
    ) -> Result<Receipt, Refusal> {
        self.accept(sender_host, open, body).await
    }
}

impl Reception {
    pub(super) fn new(spec: &ReceiveImage, target: Target, pool: Pool) -> Self {
        Self {
            run: Uuid::now_v7().to_string(),
            peer_host: spec.peer_host.clone(),
            target,
            pool,
            state: State::new(),
            running: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }

    /// Whether the image may come from this host.
    ///
    /// # Errors
    /// `Refused` when the job names another.
    pub fn check_sender(&self, host: &str) -> Result<(), Refusal> {
        if host == self.peer_host {
            return Ok(());
        }
        let expected = &self.peer_host;
        Err(no(
            FailureKind::Refused,
            format!("this image is expected from {expected}, not from {host}"),
        ))
    }

    /// Takes one stream from the host that its certificate names.
    ///
    /// # Errors
    /// [`Refusal`]: not from this sender, not in this order, broken off, or not storable.
    pub async fn accept(
        self: &Arc<Self>,
        sender_host: &str,
        open: OpenStream,
        body: Body,
    ) -> Result<Receipt, Refusal> {
        self.check_sender(sender_host)?;
        if let Some(failure) = self.state.failure() {
            return Err(no(
                failure.kind,
                format!("the receiving has failed: {failure}"),
            ));
        }
        let begins = matches!(open.stream, ImageStream::Begin { .. });
        let known = if begins {
            self.state.bind(&open.sender_run)
        } else {
            self.state.is_bound_to(&open.sender_run) && open.receiver_run == self.run
        };
        if !known {
            return Err(no(
                FailureKind::Refused,
                "this image is being received from another run of the sender".to_owned(),
            ));
        }
        let _counted = self.state.stream();
        let taken = match open.stream {
            ImageStream::Begin { .. } => Ok(self.receipt(&nothing(), false)),
            ImageStream::Schema {
                relations,
                sequences,
                no_tablespaces,
            } => {
                let announced = schema::Announced {
                    relations,
                    sequences,
                    no_tablespaces,
                };
                let work = async |turn| {
                    let _turn: Turn = turn;
                    self.take_schema(announced, body).await
                };
                self.one_at_a_time(Key::Schema, work).await
            }
            ImageStream::Data { relation, part } => {
                let key = Key::Data {
                    relation,
                    part: part.index,
                };
                let work = async |turn| self.take_part(turn, relation, part, body).await;
                self.one_at_a_time(key, work).await
            }
            ImageStream::Finish { manifest } => self.take_manifest(manifest),
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

    /// Takes no more, and gives up what it is taking.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// The same stream sent again means that the one before is dead, whether we have noticed or not. The work
    /// has its turn as long as it keeps what it is given.
    async fn one_at_a_time(
        &self,
        key: Key,
        work: impl AsyncFnOnce(Turn) -> Result<Receipt, Trouble>,
    ) -> Result<Receipt, Trouble> {
        let (mine, turn) = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = running.entry(key).or_default();
            slot.superseded.cancel();
            slot.superseded = CancellationToken::new();
            (slot.superseded.clone(), Arc::clone(&slot.turn))
        };
        let turn = turn.lock_owned().await;
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Trouble::Fatal(sessions::cancelled("the receiving"))),
            () = mine.cancelled() => Err(Interrupted("it was sent again".to_owned()).into()),
            outcome = work(turn) => outcome,
        }
    }

    async fn take_schema(
        &self,
        announced: schema::Announced,
        body: Body,
    ) -> Result<Receipt, Trouble> {
        if let Some((bytes_hash, bytes)) = self.state.schema() {
            let stored = CloseStream {
                rows: 0,
                bytes,
                bytes_hash,
            };
            return Ok(self.receipt(&stored, true));
        }
        let (contents, close) = schema::make(&self.target, &self.pool, announced, body).await?;
        info!(
            database = %self.target.database,
            relations = contents.relations.len(),
            entries = contents.entries.len(),
            "the schema stands"
        );
        self.state.schema_made(contents);
        Ok(self.receipt(&close, false))
    }

    async fn take_part(
        self: &Arc<Self>,
        turn: Turn,
        relation: u32,
        part: Part,
        body: Body,
    ) -> Result<Receipt, Trouble> {
        let Some(plan) = self.state.relation(relation) else {
            return Err(Trouble::Fatal(super::internal(format!(
                "rows came for relation {relation}, which was not announced"
            ))));
        };
        if part.index >= plan.parts {
            return Err(Trouble::Fatal(super::internal(format!(
                "part {} came of {}.{}, which has {}",
                part.index, plan.schema, plan.name, plan.parts
            ))));
        }
        if let Some(stored) = self.state.part(relation, part.index) {
            return Ok(self.receipt(&closing(&stored), true));
        }
        let by_root = self.state.is_root(relation);
        let meter = &self.target.meter;
        let loaded = load::part(&self.pool, meter, &plan, by_root, part, body).await?;
        // Whoever waits for this stream may be gone at any moment; what the server stores must be noted all
        // the same, before the part can come again.
        let reception = Arc::clone(self);
        let storing = tokio::spawn(async move {
            let _turn = turn;
            let stored = loaded.commit(&reception.pool).await;
            match &stored {
                Ok(part) => {
                    reception.state.store(relation, *part);
                    reception.target.meter.item_done();
                }
                Err(Trouble::Fatal(failure)) => reception.state.fail(failure.clone()),
                Err(Trouble::Interrupted(_)) => {}
            }
            stored
        });
        let stored = storing
            .await
            .map_err(|_| Interrupted("the agent is ending".to_owned()))??;
        Ok(self.receipt(&closing(&stored), false))
    }

    fn take_manifest(&self, manifest: Manifest) -> Result<Receipt, Trouble> {
        let contents = self.state.contents().map_err(Trouble::Fatal)?;
        for plan in &contents.relations {
            let stored = self.state.parts_stored(plan.id);
            if stored != plan.parts as usize {
                return Err(Trouble::Fatal(super::internal(format!(
                    "the image was closed with {stored} of {} parts of {}.{}",
                    plan.parts, plan.schema, plan.name
                ))));
            }
        }
        self.state.finish(manifest);
        Ok(self.receipt(&nothing(), false))
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
        bytes_hash: holdfast_proto::image::Hash128::default(),
    }
}

fn no(kind: FailureKind, message: String) -> Refusal {
    Refusal::No {
        kind,
        message,
        retryable: false,
    }
}
