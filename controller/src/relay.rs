//! Bytes between agents that do not reach each other: a sender's call is joined to a waiting receiver's.
//!
//! Who may be joined is decided by the grant, 32 random bytes that the controller gave to exactly two
//! agents: only who has it finds the other, and [`judge`] tells whether it is one of the two. The
//! receiver hears the sender's name as its certificate says it, and refuses a sender that it does not expect. At most two messages are held for a pair:
//! a slow receiver slows the sender down.

mod grant;
mod pipe;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::stream::BoxStream;
use holdfast_proto::{
    names::HostName,
    wire::{RelayReceiveRequest, RelayReceiveResponse, SendRequest, SendResponse},
};
use sha2::{Digest, Sha256};
use tokio::{sync::Notify, time::Instant};
use tonic::Status;

use self::pipe::{Receiver, receiver};
pub use self::{
    grant::{End, Ends, WrongGrant, judge},
    pipe::{awaited_grant, presented_grant},
};

/// How long a sender waits for a receiver.
const PAIRING: Duration = Duration::from_secs(30);
/// How long either side may take for its first message.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// Calls of one host that may wait at once; the copy engine keeps a few more than its connections.
const MOST_WAITING: usize = 256;
const GRANT_BYTES: usize = 32;

/// One message of either side at a time, as its call delivers them.
pub type Inbound<T> = BoxStream<'static, Result<T, Status>>;

/// Cheap to clone; all clones pair with each other.
#[derive(Debug, Clone)]
pub struct Relay {
    inner: Arc<Inner>,
    pairing: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    /// By the hash of the grant: the grant itself is not kept.
    waiting: Mutex<HashMap<GrantHash, VecDeque<Receiver>>>,
    arrival: Notify,
}

type GrantHash = [u8; 32];

impl Default for Relay {
    fn default() -> Self {
        Self::waiting_for(PAIRING)
    }
}

impl Relay {
    /// A relay whose senders wait so long for their receivers.
    #[must_use]
    pub fn waiting_for(pairing: Duration) -> Self {
        Self {
            inner: Arc::default(),
            pairing,
        }
    }

    /// The receiver's end: waits for one stream, gives its messages, takes the receipt.
    ///
    /// # Errors
    /// `InvalidArgument` when the call does not begin with a wait for a grant;
    /// `ResourceExhausted` when the host has too many calls waiting.
    pub async fn receive(
        &self,
        host: HostName,
        mut inbound: Inbound<RelayReceiveRequest>,
    ) -> Result<BoxStream<'static, Result<RelayReceiveResponse, Status>>, Status> {
        let wait = first(&mut inbound).await?;
        let grant = hash(awaited_grant(&wait)?)?;
        let (receiver, outbound) = receiver(host, inbound);
        self.enlist(grant, receiver)?;
        self.inner.arrival.notify_waiters();
        Ok(outbound)
    }

    /// The sender's end: finds the receiver of the same grant and hands everything on to it.
    ///
    /// # Errors
    /// What the receiver answered; `Unavailable` when none came in 30 s or it went away.
    pub async fn send(
        &self,
        host: &HostName,
        mut inbound: Inbound<SendRequest>,
    ) -> Result<SendResponse, Status> {
        let open = first(&mut inbound).await?;
        let grant = hash(presented_grant(&open)?)?;
        let receiver = self.find(grant).await?;
        tracing::debug!(sender = %host, receiver = %receiver.host(), "relaying a stream");
        receiver.serve(host, open, inbound).await
    }

    /// Receivers that wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock()
            .values()
            .flatten()
            .filter(|r| r.is_there())
            .count()
    }

    fn enlist(&self, grant: GrantHash, receiver: Receiver) -> Result<(), Status> {
        let mut waiting = self.lock();
        waiting.retain(|_, queue| {
            queue.retain(Receiver::is_there);
            !queue.is_empty()
        });
        let host = receiver.host();
        let of_host = waiting.values().flatten().filter(|r| r.host() == host);
        if of_host.count() >= MOST_WAITING {
            return Err(Status::resource_exhausted(format!(
                "host {host} has {MOST_WAITING} relay calls waiting already"
            )));
        }
        waiting.entry(grant).or_default().push_back(receiver);
        Ok(())
    }

    async fn find(&self, grant: GrantHash) -> Result<Receiver, Status> {
        let deadline = Instant::now() + self.pairing;
        loop {
            // Listening begins before the look, so that an arrival in between is not missed.
            let mut arrival = std::pin::pin!(self.inner.arrival.notified());
            arrival.as_mut().enable();
            if let Some(found) = self.take(grant) {
                return Ok(found);
            }
            if tokio::time::timeout_at(deadline, arrival).await.is_err() {
                return Err(Status::unavailable(format!(
                    "no receiver waited at the controller for this stream within {}",
                    humantime::format_duration(self.pairing)
                )));
            }
        }
    }

    fn take(&self, grant: GrantHash) -> Option<Receiver> {
        let mut waiting = self.lock();
        let queue = waiting.get_mut(&grant)?;
        let mut found = None;
        while found.is_none()
            && let Some(receiver) = queue.pop_front()
        {
            found = receiver.is_there().then_some(receiver);
        }
        if queue.is_empty() {
            waiting.remove(&grant);
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GrantHash, VecDeque<Receiver>>> {
        // Every change leaves the table whole, so a panic elsewhere does not spoil it.
        self.inner
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first message of a call.
///
/// # Errors
/// When none comes in 10 s, or the call breaks before.
pub async fn first<T>(inbound: &mut Inbound<T>) -> Result<T, Status> {
    use futures::StreamExt;
    match tokio::time::timeout(FIRST_MESSAGE, inbound.next()).await {
        Ok(Some(message)) => message,
        Ok(None) => Err(Status::invalid_argument("the call ended before it began")),
        Err(_) => Err(Status::deadline_exceeded("no first message within 10 s")),
    }
}

fn hash(grant: &[u8]) -> Result<GrantHash, Status> {
    if grant.len() != GRANT_BYTES {
        return Err(Status::invalid_argument(format!(
            "a grant has {GRANT_BYTES} bytes, not {}",
            grant.len()
        )));
    }
    Ok(Sha256::digest(grant).into())
}

#[cfg(test)]
mod tests;
