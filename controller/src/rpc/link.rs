//! The agents' service: one session a host, renewal of its certificate, and the relay.

mod outbound;
mod relaying;
mod session;

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt};
use holdfast_chassis::{clock::SharedClock, tls::PeerInfo};
use holdfast_proto::{
    link::{AgentMessage, ControllerMessage, Hello},
    names::HostName,
    wire::{
        self, RelayReceiveRequest, RelayReceiveResponse, RenewRequest, RenewResponse, SendRequest,
        SendResponse, SessionRequest, SessionResponse,
        agent_link_server::{AgentLink, AgentLinkServer},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{status::RpcError, stopping};
use crate::{
    catalog::Catalog,
    dispatch::sessions::Sessions,
    fleet::Fleet,
    identity::Registrar,
    reconcile::push::Push,
    relay::{End, Relay, awaited_grant, presented_grant},
};

/// Messages that wait for an agent at most; one that leaves more unread loses its session.
const OUTBOX: usize = 256;
/// How long an agent may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Of one message; the manifest of a database with very many tables is the largest.
const LARGEST_MESSAGE: usize = 64 << 20;

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the service works with.
#[derive(Debug, Clone)]
pub struct LinkService {
    pub registrar: Registrar,
    pub catalog: Catalog,
    pub fleet: Fleet,
    pub sessions: Sessions,
    pub push: Push,
    pub relay: Relay,
    pub clock: SharedClock,
    pub heartbeat_interval: Duration,
    /// Ends every session when cancelled.
    pub stop: CancellationToken,
}

impl LinkService {
    /// As tonic serves it.
    #[must_use]
    pub fn into_server(self) -> AgentLinkServer<Self> {
        AgentLinkServer::new(self)
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE)
    }

    /// The host that calls, as its certificate says.
    fn caller<T>(&self, call: &str, request: &Request<T>) -> Result<(PeerInfo, HostName), Status> {
        let peer = PeerInfo::of(request)?.clone();
        let name = match peer.host() {
            Ok(name) => name.to_owned(),
            Err(wrong) => return Err(self.registrar.refuse(&peer, call, wrong)),
        };
        let host = name.parse().map_err(RpcError::from)?;
        Ok((peer, host))
    }

    /// What every agent hears first, in this order.
    async fn greet(
        &self,
        host: &HostName,
    ) -> Result<(crate::dispatch::sessions::Lists, Vec<ControllerMessage>), RpcError> {
        let lists = self.push.lists(host).await?;
        let welcome = ControllerMessage::Welcome {
            heartbeat_interval: self.heartbeat_interval,
            controller_version: env!("CARGO_PKG_VERSION").to_owned(),
            now: self.clock.now(),
        };
        let registered = ControllerMessage::Registered(lists.registered.clone());
        let checks = ControllerMessage::Checks(lists.checks.clone());
        Ok((lists, vec![welcome, registered, checks]))
    }

    async fn open(
        &self,
        peer: PeerInfo,
        host: HostName,
        hello: Hello,
        inbound: Streaming<SessionRequest>,
    ) -> Result<Answer<SessionResponse>, RpcError> {
        let (lists, greeting) = self.greet(&host).await?;
        self.catalog.add_host(&host, self.clock.now()).await?;
        let (outbox, inbox) = mpsc::channel(OUTBOX);
        for message in greeting {
            // The queue is new and longer than the greeting.
            let _ = outbox.try_send(message);
        }
        let session = self.sessions.attach(&host, &hello, outbox, lists, || {
            self.fleet.connected(&host, &hello, self.clock.now());
        });
        tracing::info!(%host, version = hello.agent_version, run = hello.run_id, "agent connected");
        let service = self.clone();
        tokio::spawn(session::run(service, peer, session.clone(), inbound));
        Ok(outbound::stream(session, inbox))
    }
}

#[tonic::async_trait]
impl AgentLink for LinkService {
    type SessionStream = Answer<SessionResponse>;
    type RelayReceiveStream = Answer<RelayReceiveResponse>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (peer, host) = self.caller("AgentLink/Session", &request)?;
        let mut inbound = request.into_inner();
        let hello = hello(&mut inbound).await?;
        if let Err(wrong) = peer.host_named(&hello.host) {
            return Err(self.registrar.refuse(&peer, "AgentLink/Session", wrong));
        }
        let answer = self.open(peer, host, hello, inbound).await?;
        Ok(Response::new(answer))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let (peer, _) = self.caller("AgentLink/Renew", &request)?;
        let RenewRequest { csr } = request.into_inner();
        let renewed = self.registrar.renew(&peer, &csr).await;
        let certificate_chain = renewed.map_err(RpcError::from)?;
        Ok(Response::new(RenewResponse { certificate_chain }))
    }

    async fn relay_send(
        &self,
        request: Request<Streaming<SendRequest>>,
    ) -> Result<Response<SendResponse>, Status> {
        const CALL: &str = "AgentLink/RelaySend";
        let (peer, host) = self.caller(CALL, &request)?;
        let inbound = request.into_inner().boxed();
        let inbound = self
            .vouched(
                (&peer, &host),
                (CALL, End::Sender),
                inbound,
                presented_grant,
            )
            .await?;
        tokio::select! {
            receipt = self.relay.send(&host, inbound) => receipt.map(Response::new),
            () = self.stop.cancelled() => Err(stopping::status()),
        }
    }

    async fn relay_receive(
        &self,
        request: Request<Streaming<RelayReceiveRequest>>,
    ) -> Result<Response<Self::RelayReceiveStream>, Status> {
        const CALL: &str = "AgentLink/RelayReceive";
        let (peer, host) = self.caller(CALL, &request)?;
        let inbound = request.into_inner().boxed();
        let inbound = self
            .vouched(
                (&peer, &host),
                (CALL, End::Receiver),
                inbound,
                awaited_grant,
            )
            .await?;
        let answer = self.relay.receive(host, inbound).await?;
        let answer = stopping::until_stopped(answer, self.stop.clone());
        Ok(Response::new(answer))
    }
}

/// The first message of a session.
async fn hello(inbound: &mut Streaming<SessionRequest>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_WITHIN, inbound.message()).await;
    let first: Option<wire::SessionRequest> = match first {
        Ok(message) => message?,
        Err(_) => return Err(Status::deadline_exceeded("no hello within 10 s")),
    };
    let first =
        first.ok_or_else(|| Status::invalid_argument("the session ended before it began"))?;
    match AgentMessage::try_from(first).map_err(RpcError::from)? {
        AgentMessage::Hello(hello) => Ok(hello),
        _ => Err(Status::invalid_argument("a session begins with a hello")),
    }
}
