//! A controller with its services on loopback, and clients that come to it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chrono::Utc;
use futures::{Stream, StreamExt};
use holdfast_chassis::{
    clock::{SharedClock, SystemClock},
    identity::{CONTROLLER_NAME, EnrolmentToken, NewKey},
    tls::{
        Enrolled, PeerInfo, RotatingIdentity, accept_answer, client_channel, enrolment_channel,
        server,
    },
};
use holdfast_proto::wire::{
    self, agent_link_client::AgentLinkClient, agent_link_server,
    agent_link_server::AgentLinkServer, enrolment_client::EnrolmentClient,
    enrolment_server::EnrolmentServer, session_request::Message as Said,
    session_response::Message as Heard,
};
use sqlx::postgres::PgListener;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use crate::{
    audit::{NewEntry, Outcome},
    catalog::testing::TestCatalog,
    fleet::Fleet,
    identity::{Registrar, Settings},
    rpc::enrolment::EnrolmentService,
};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);
/// Rung by the catalog of a house for each line of its audit log.
const WRITTEN: &str = "audit_written";
const TELL_OF_AUDIT_LINES: &str = "
    create function tell_of_audit_line() returns trigger language plpgsql as
        $$ begin notify audit_written; return null; end $$;
    create trigger tell_of_audit_line after insert on audit
        for each statement execute function tell_of_audit_line();";

pub struct House {
    pub registrar: Registrar,
    pub catalog: TestCatalog,
    pub address: String,
    pub state_dir: tempfile::TempDir,
    pub fleet: Fleet,
    _running: DropGuard,
}

/// The session loop in small: it answers heartbeats until its host is no longer let in.
struct Link(Registrar);

type Outgoing<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub struct Session {
    say: mpsc::Sender<wire::SessionRequest>,
    hear: Streaming<wire::SessionResponse>,
}

impl House {
    pub async fn open() -> Self {
        Self::with(Arc::new(SystemClock), Duration::from_secs(86_400)).await
    }

    pub async fn with(clock: SharedClock, certificate_life: Duration) -> Self {
        let catalog = TestCatalog::with_clock(clock).await;
        let state_dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let settings = Settings {
            state_dir: state_dir.path().to_owned(),
            certificate_life,
            token_life: Duration::from_secs(3600),
            address: address.clone(),
        };
        sqlx::raw_sql(TELL_OF_AUDIT_LINES)
            .execute(&catalog.pool)
            .await
            .unwrap();
        let registrar = Registrar::open(settings, catalog.clone()).await.unwrap();
        registrar.leave_bootstrap_token().await.unwrap();
        let fleet = Fleet::default();
        let enrolment = EnrolmentService::new(registrar.clone(), fleet.clone());
        let link = AgentLinkServer::new(Link(registrar.clone()));
        let router = server()
            .add_service(EnrolmentServer::new(enrolment))
            .add_service(registrar.guard(link));
        tokio::spawn(router.serve_with_incoming(registrar.incoming(listener).unwrap()));
        let cancel = CancellationToken::new();
        let (running, stop) = (registrar.clone(), cancel.clone());
        tokio::spawn(async move { running.run(stop).await });
        Self {
            registrar,
            catalog,
            address,
            state_dir,
            fleet,
            _running: cancel.drop_guard(),
        }
    }

    pub async fn host_token(&self, name: &str) -> EnrolmentToken {
        let name = name.parse().unwrap();
        let invitation = self.registrar.enrol_host(&name, None, "operator/alice");
        invitation.await.unwrap().token
    }

    pub async fn enrol(&self, token: &EnrolmentToken) -> Result<Enrolled, Status> {
        enrol_at(&self.address, token).await
    }

    pub async fn host(&self, name: &str) -> Enrolled {
        let token = self.host_token(name).await;
        self.enrol(&token).await.unwrap()
    }

    /// Newest first; waits for a line with this action whose detail holds these words.
    pub async fn audited(&self, action: &str, words: &str) -> NewEntry {
        // Before the first look, so that no line falls in between.
        let mut written = PgListener::connect_with(&self.catalog.pool).await.unwrap();
        written.listen(WRITTEN).await.unwrap();
        let found = async {
            loop {
                let entries = self.catalog.list_audit(1000).await.unwrap();
                let mut lines = entries.into_iter().map(|entry| entry.content);
                let found =
                    lines.find(|entry| entry.action == action && entry.detail.contains(words));
                if let Some(found) = found {
                    return found;
                }
                written.recv().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("no audit line {action} with {words:?}"),
        }
    }

    pub async fn refused(&self, action: &str, words: &str) -> NewEntry {
        let entry = self.audited(action, words).await;
        assert_eq!(entry.outcome, Outcome::Refused);
        entry
    }

    pub async fn dial(&self, identity: &RotatingIdentity) -> Channel {
        client_channel(
            &self.address,
            CONTROLLER_NAME,
            identity,
            self.registrar.roots(),
        )
        .await
        .unwrap()
    }
}

impl Session {
    pub async fn open(channel: Channel) -> Result<Self, Status> {
        let (say, said) = mpsc::channel(4);
        let response = AgentLinkClient::new(channel)
            .session(ReceiverStream::new(said))
            .await?;
        let hear = response.into_inner();
        Ok(Self { say, hear })
    }

    /// A heartbeat there and back.
    pub async fn beat(&mut self, sequence: u64) -> Result<(), Status> {
        let heartbeat = wire::Heartbeat {
            sequence,
            ..Default::default()
        };
        let message = Some(Said::Heartbeat(heartbeat));
        // When the session is over, its end says why.
        let _ = self.say.send(wire::SessionRequest { message }).await;
        match self.hear.message().await?.and_then(|heard| heard.message) {
            Some(Heard::Heartbeat(ack)) if ack.sequence == sequence => Ok(()),
            other => Err(Status::internal(format!("{other:?}"))),
        }
    }

    pub async fn end(&mut self) -> Status {
        self.hear.message().await.unwrap_err()
    }
}

pub async fn enrol_at(address: &str, token: &EnrolmentToken) -> Result<Enrolled, Status> {
    let channel = enrolment_channel(address, token).await.unwrap();
    let key = NewKey::make().unwrap();
    let request = wire::EnrolRequest {
        token: token.secret.reveal(),
        csr: key.request().unwrap(),
    };
    let answer = EnrolmentClient::new(channel)
        .enrol(request)
        .await?
        .into_inner();
    Ok(accept_answer(&key, &answer.certificate_chain, &answer.authorities, token).unwrap())
}

pub fn peer(identity: &RotatingIdentity) -> PeerInfo {
    let certificate = identity.certificate();
    PeerInfo {
        identity: Some(certificate.identity),
        serial: Some(certificate.serial),
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
    }
}

/// For the clocks of tests that set them.
pub fn now() -> chrono::DateTime<Utc> {
    Utc::now()
}

#[tonic::async_trait]
impl agent_link_server::AgentLink for Link {
    type SessionStream = Outgoing<wire::SessionResponse>;
    type RelayReceiveStream = Outgoing<wire::RelayReceiveResponse>;

    async fn session(
        &self,
        request: Request<Streaming<wire::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (registrar, peer) = (self.0.clone(), PeerInfo::of(&request)?.clone());
        let mut said = request.into_inner();
        let (answer, answers) = mpsc::channel(4);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    refused = registrar.until_not_admitted(&peer) => {
                        let status = Status::unauthenticated(refused.to_string());
                        let _ = answer.send(Err(status)).await;
                        return;
                    }
                    message = said.next() => match message {
                        Some(Ok(wire::SessionRequest { message: Some(Said::Heartbeat(beat)) })) => {
                            let sequence = beat.sequence;
                            let ack = Heard::Heartbeat(wire::HeartbeatAck { sequence });
                            let message = Some(ack);
                            let _ = answer.send(Ok(wire::SessionResponse { message })).await;
                        }
                        _ => return,
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        let peer = PeerInfo::of(&request)?.clone();
        let csr = request.into_inner().csr;
        let certificate_chain = self.0.renew(&peer, &csr).await?;
        Ok(Response::new(wire::RenewResponse { certificate_chain }))
    }

    async fn relay_send(
        &self,
        _: Request<Streaming<wire::SendRequest>>,
    ) -> Result<Response<wire::SendResponse>, Status> {
        Err(Status::unimplemented("no relay here"))
    }

    async fn relay_receive(
        &self,
        _: Request<Streaming<wire::RelayReceiveRequest>>,
    ) -> Result<Response<Self::RelayReceiveStream>, Status> {
        Err(Status::unimplemented("no relay here"))
    }
}
