//! Getting one stream to the receiver, again when it got lost.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use holdfast_chassis::retry::Policy;
use holdfast_proto::{
    image::{ImageStream, Receipt},
    task::TaskFailure,
};
use tokio::{sync::mpsc, time::Instant};
use tracing::warn;

use super::{Throttle, empty_body};
use crate::engine::postgres::{
    image::{ImagePeer, PIECES_WAITING, Piece, SendError},
    meter::Meter,
};

/// How long a stream is tried again before the task gives up. Long enough for a network that
/// went away and came back, with room.
const PATIENCE: Duration = Duration::from_secs(600);
/// The same for the first stream: both tasks are started at about the same moment.
const FIRST_PATIENCE: Duration = Duration::from_secs(120);
const WAITS: Policy = Policy::forever(Duration::from_millis(250), Duration::from_secs(5));

/// What all streams of a sending share.
pub(crate) struct Delivery {
    peer: Arc<dyn ImagePeer>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) throttle: Throttle,
    receiver_run: Mutex<String>,
    resent: AtomicU32,
}

/// What a producer made of a stream, or why it could not.
pub(crate) enum Produced<T> {
    Whole(T),
    /// The receiver took no more before the end.
    Stopped,
    Failed(TaskFailure),
}

impl Delivery {
    pub(crate) fn new(peer: Arc<dyn ImagePeer>, meter: Arc<Meter>, throttle: Throttle) -> Self {
        Self {
            peer,
            meter,
            throttle,
            receiver_run: Mutex::new(String::new()),
            resent: AtomicU32::new(0),
        }
    }

    pub(crate) fn resent(&self) -> u32 {
        self.resent.load(Relaxed)
    }

    /// Opens the image; learns which run of the receiver it goes to.
    pub(crate) async fn begin(&self, estimated_bytes: u64) -> Result<(), TaskFailure> {
        let begin = ImageStream::Begin { estimated_bytes };
        let receipt = self.plain(begin, "opening the image").await?;
        *self.run() = receipt.receiver_run;
        Ok(())
    }

    /// A stream without data.
    pub(crate) async fn plain(
        &self,
        stream: ImageStream,
        doing: &str,
    ) -> Result<Receipt, TaskFailure> {
        let mut patience = match stream {
            ImageStream::Begin { .. } => Patience::new(FIRST_PATIENCE),
            _ => Patience::new(PATIENCE),
        };
        loop {
            match self.once(stream.clone(), empty_body()).await {
                Ok(receipt) => return Ok(receipt),
                Err(error) => patience.wait(doing, error).await?,
            }
        }
    }

    /// A stream of data: `produce` fills the channel, once for every attempt.
    ///
    /// Gives what each whole production said, and the receipt, which must be that of one of them:
    /// an attempt whose receipt was lost may be the one that is stored.
    pub(crate) async fn stream<T, Producing>(
        &self,
        stream: &ImageStream,
        doing: &str,
        mut produce: impl FnMut(mpsc::Sender<Piece>) -> Producing,
    ) -> Result<(Vec<T>, Receipt), TaskFailure>
    where
        Producing: Future<Output = Produced<T>>,
    {
        let mut patience = Patience::new(PATIENCE);
        let mut whole = Vec::new();
        loop {
            let (pieces, body) = mpsc::channel(PIECES_WAITING);
            let delivery = self.once(stream.clone(), body);
            let (produced, delivered) = Box::pin(both(produce(pieces), delivery)).await;
            match produced {
                Produced::Whole(made) => whole.push(made),
                Produced::Stopped => {}
                // An earlier attempt is stored: what became of this one does not matter.
                Produced::Failed(_) if delivered.is_ok() && !whole.is_empty() => {}
                Produced::Failed(failure) => return Err(failure),
            }
            match delivered {
                Ok(receipt) => return Ok((whole, receipt)),
                Err(error) => {
                    patience.wait(doing, error).await?;
                    self.resent.fetch_add(1, Relaxed);
                }
            }
        }
    }

    async fn once(
        &self,
        stream: ImageStream,
        body: mpsc::Receiver<Piece>,
    ) -> Result<Receipt, SendError> {
        let run = self.run().clone();
        let outcome = self.peer.send(stream, &run, body).await;
        self.meter.path(self.peer.path());
        outcome
    }

    fn run(&self) -> std::sync::MutexGuard<'_, String> {
        self.receiver_run
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt, from both its ends.
async fn both<T, D, E>(
    producing: impl Future<Output = Produced<T>>,
    delivering: impl Future<Output = Result<D, E>>,
) -> (Produced<T>, Result<D, E>) {
    let mut producing = std::pin::pin!(producing);
    let mut delivering = std::pin::pin!(delivering);
    tokio::select! {
        biased;
        produced = &mut producing => (produced, delivering.await),
        delivered = &mut delivering => match delivered {
            // The receipt of what has just been read may be here before the word of who has read it; of what an earlier
            // attempt has brought, nobody takes any more, and the reading ends with its next piece.
            Ok(receipt) => (producing.await, Ok(receipt)),
            // Nobody takes the rest.
            Err(error) => (Produced::Stopped, Err(error)),
        },
    }
}

/// How much longer a lost stream is worth another attempt.
struct Patience {
    until: Instant,
    waits: holdfast_chassis::retry::Backoff,
}

impl Patience {
    fn new(patience: Duration) -> Self {
        Self {
            until: Instant::now() + patience,
            waits: WAITS.backoff(),
        }
    }

    async fn wait(&mut self, doing: &str, error: SendError) -> Result<(), TaskFailure> {
        let lost = matches!(error, SendError::Lost(_));
        let wait = self.waits.next();
        match wait.filter(|_| lost && Instant::now() < self.until) {
            Some(wait) => {
                warn!(doing, %error, "the receiver was not reached; trying again");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => Err(error.into_failure(doing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader says a moment after its last piece was taken.
    async fn late(produced: Produced<u8>) -> Produced<u8> {
        tokio::task::yield_now().await;
        produced
    }

    #[tokio::test]
    async fn a_receipt_that_comes_first_waits_for_what_was_read() {
        let receipt = async { Ok::<_, ()>("receipt") };
        let (produced, delivered) = both(late(Produced::Whole(7)), receipt).await;
        assert!(matches!(produced, Produced::Whole(7)));
        assert_eq!(delivered, Ok("receipt"));
    }

    #[tokio::test]
    async fn a_refusal_waits_for_nobody() {
        let refusal = async { Err::<(), _>("refused") };
        let (produced, delivered) = both(std::future::pending::<Produced<u8>>(), refusal).await;
        assert!(matches!(produced, Produced::Stopped));
        assert_eq!(delivered, Err("refused"));
    }

    #[tokio::test]
    async fn what_was_read_waits_for_its_receipt() {
        let receipt = async {
            tokio::task::yield_now().await;
            Ok::<_, ()>("receipt")
        };
        let (produced, delivered) = both(std::future::ready(Produced::Whole(7)), receipt).await;
        assert!(matches!(produced, Produced::Whole(7)));
        assert_eq!(delivered, Ok("receipt"));
    }
}
