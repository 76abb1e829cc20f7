//! The seam between an image and what carries it: one named stream at a time, to a peer.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use holdfast_proto::{
    image::{CloseStream, DataPath, ImageStream, OpenStream, Receipt},
    task::{FailureKind, TaskFailure},
};
use tokio::sync::mpsc;

use super::receive::Refusal;

/// Pieces that wait between the reader and the network, about 1 MiB each.
pub const PIECES_WAITING: usize = 2;

/// What follows the opening of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Data(Bytes),
    /// The stream is whole. One that ends without it is not.
    Close(CloseStream),
}

/// Pieces as they arrive.
pub type Body = Pin<Box<dyn Stream<Item = Result<Piece, Interrupted>> + Send>>;

/// The stream broke off before its close.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stream was interrupted: {0}")]
pub struct Interrupted(pub String);

/// Why a stream was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The way to the receiver broke: the same may succeed when it is back.
    #[error("{0}")]
    Lost(String),
    /// The receiver answered no.
    #[error("the receiver refused: {message}")]
    Refused { kind: FailureKind, message: String },
}

/// The receiver of an image, as the sender sees it.
#[async_trait]
pub trait ImagePeer: Send + Sync {
    /// Delivers one stream. What `body` yields ends with its close, or the stream is given up.
    ///
    /// # Errors
    /// [`SendError::Lost`] when trying again may help.
    async fn send(
        &self,
        stream: ImageStream,
        receiver_run: &str,
        body: mpsc::Receiver<Piece>,
    ) -> Result<Receipt, SendError>;

    /// How the last stream went.
    fn path(&self) -> Option<DataPath>;
}

/// What the streams of one image arrive at, whichever engine they go into.
#[async_trait]
pub trait ImageSink: Send + Sync {
    /// Whether the image may come from this host.
    ///
    /// # Errors
    /// `Refused` when the job names another.
    fn check_sender(&self, host: &str) -> Result<(), Refusal>;

    /// Takes one stream from the host that its certificate names.
    ///
    /// # Errors
    /// [`Refusal`]: not from this sender, not in this order, broken off, or not storable.
    async fn take(
        self: Arc<Self>,
        sender_host: &str,
        open: OpenStream,
        body: Body,
    ) -> Result<Receipt, Refusal>;
}

impl SendError {
    #[must_use]
    pub fn into_failure(self, doing: &str) -> TaskFailure {
        match self {
            Self::Lost(reason) => TaskFailure {
                kind: FailureKind::Unavailable,
                message: format!("{doing}: the receiver was not reached: {reason}"),
                advice: "see that both agents run and reach each other or the controller"
                    .to_owned(),
                retryable: true,
            },
            Self::Refused { kind, message } => TaskFailure {
                kind,
                message: format!("{doing}: the receiver refused: {message}"),
                advice: String::new(),
                retryable: kind == FailureKind::Unavailable,
            },
        }
    }
}
