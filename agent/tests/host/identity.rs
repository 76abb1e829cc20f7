//! Joining and renewing against a controller's authority on loopback.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::eventually::eventually;
use chrono::{TimeDelta, Utc};
use clap::Parser;
use futures::Stream;
use holdfast_agent::{
    identity::{Enrolment, keep_renewed},
    join::{Join, JoinError, Next},
};
use holdfast_chassis::{
    clock::SystemClock,
    identity::{
        Authority, CONTROLLER_NAME, Credentials, EnrolmentToken, Identity, NewKey, Secret, Validity,
    },
    tls::{
        PeerInfo, Revoked, Roots, RotatingIdentity, ServerTls, client_channel, serve_incoming,
        server,
    },
};
use holdfast_proto::wire::{
    self, agent_link_client::AgentLinkClient, agent_link_server, enrolment_server,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// An authority that lets in whoever brings its one token, and renews whoever is in.
#[derive(Clone)]
struct Controller {
    authority: Arc<Authority>,
    token: EnrolmentToken,
    life: TimeDelta,
    used: Arc<Mutex<bool>>,
    /// So many renewals are refused first.
    unwilling: Arc<AtomicU32>,
}

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    join: Join,
}

type Outgoing<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Controller {
    async fn start(life: TimeDelta) -> (Self, String) {
        let (authority, _) = Authority::make(Utc::now()).unwrap();
        let token = EnrolmentToken {
            secret: Secret::random(),
            authority: authority.fingerprint(),
        };
        let controller = Self {
            authority: Arc::new(authority),
            token,
            life,
            used: Arc::default(),
            unwilling: Arc::default(),
        };
        let key = NewKey::make().unwrap();
        let validity = Validity::starting(Utc::now(), TimeDelta::days(1));
        let (_, chain) = controller
            .authority
            .issue(&key.request().unwrap(), &Identity::Controller, validity)
            .unwrap();
        let own = RotatingIdentity::new(Credentials::from_answer(&key, &chain).unwrap());
        let roots = Roots::from_pem(controller.authority.certificate_pem()).unwrap();
        let tls = ServerTls::new(own, &roots, Revoked::default(), Arc::new(SystemClock)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = server()
            .add_service(enrolment_server::EnrolmentServer::new(controller.clone()))
            .add_service(agent_link_server::AgentLinkServer::new(controller.clone()));
        tokio::spawn(router.serve_with_incoming(serve_incoming(listener, tls, |_| {})));
        (controller, address)
    }

    fn sign(&self, csr: &[u8], identity: &Identity) -> String {
        let validity = Validity::starting(Utc::now(), self.life);
        self.authority.issue(csr, identity, validity).unwrap().1
    }
}

#[tonic::async_trait]
impl enrolment_server::Enrolment for Controller {
    async fn enrol(
        &self,
        request: Request<wire::EnrolRequest>,
    ) -> Result<Response<wire::EnrolResponse>, Status> {
        let request = request.into_inner();
        if request.token != self.token.secret.reveal() {
            return Err(Status::permission_denied("knows no such token"));
        }
        if std::mem::replace(&mut *self.used.lock().unwrap(), true) {
            return Err(Status::permission_denied("the token was used"));
        }
        let identity = Identity::Host("web-1".into());
        Ok(Response::new(wire::EnrolResponse {
            certificate_chain: self.sign(&request.csr, &identity),
            authorities: self.authority.certificate_pem().to_owned(),
            name: identity.to_string(),
        }))
    }
}

#[tonic::async_trait]
impl agent_link_server::AgentLink for Controller {
    type SessionStream = Outgoing<wire::SessionResponse>;
    type RelayReceiveStream = Outgoing<wire::RelayReceiveResponse>;

    /// Answers every message with an empty one.
    async fn session(
        &self,
        request: Request<Streaming<wire::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let said = request.into_inner();
        let answers = said.map(|said| said.map(|_| wire::SessionResponse::default()));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        let left = self
            .unwilling
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        if left.is_ok() {
            return Err(Status::unavailable("not now"));
        }
        let identity = PeerInfo::of(&request)?.identity.clone().unwrap();
        let certificate_chain = self.sign(&request.into_inner().csr, &identity);
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

async fn join(
    address: &str,
    token: &str,
    state_dir: &Path,
    more: &[&str],
) -> Result<Next, JoinError> {
    let words = [
        "join",
        "--no-start",
        "--controller",
        address,
        "--token",
        token,
    ];
    CommandLine::parse_from(words.iter().chain(more))
        .join
        .run(state_dir, false)
        .await
}

#[tokio::test]
async fn joining_makes_a_host_once() {
    let (controller, address) = Controller::start(TimeDelta::days(1)).await;
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("made/here");
    let token = controller.token.reveal();
    let next = join(&address, &token, &state_dir, &[]).await.unwrap();
    assert_eq!(next, Next::Nothing);
    let enrolment = Enrolment::load(&state_dir).unwrap();
    assert_eq!(enrolment.host, "web-1");
    assert_eq!(enrolment.controller, address);

    let error = join(&address, &token, &state_dir, &[]).await.unwrap_err();
    assert!(matches!(error, JoinError::AlreadyJoined { .. }));
    let text = error.to_string();
    assert!(text.contains("host web-1 of 127.0.0.1"), "{text}");
    assert!(text.contains("--force"), "{text}");

    let error = join(&address, &token, &state_dir, &["--force"]).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("the token was used"), "{text}");
    let kept = Enrolment::load(&state_dir).unwrap().identity.certificate();
    assert_eq!(kept, enrolment.identity.certificate());
}

#[tokio::test]
async fn what_fails_before_the_controller_is_asked_spends_no_token() {
    let (controller, address) = Controller::start(TimeDelta::days(1)).await;
    let token = controller.token.reveal();
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("file");
    std::fs::write(&in_the_way, b"x").unwrap();
    let error = join(&address, &token, &in_the_way, &[]).await.unwrap_err();
    assert!(error.to_string().contains("enrolment.toml"), "{error}");
    let error = join(&address, &token[..80], folder.path(), &[]).await;
    assert!(matches!(error, Err(JoinError::Token(_))));
    join(&address, &token, &folder.path().join("state"), &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_token_of_another_controller_is_refused_before_it_is_told() {
    let (_, address) = Controller::start(TimeDelta::days(1)).await;
    let (other, _) = Controller::start(TimeDelta::days(1)).await;
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("state");
    let error = join(&address, &other.token.reveal(), &state_dir, &[]).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("from another controller"), "{text}");
    assert!(matches!(
        Enrolment::load(&state_dir),
        Err(holdfast_agent::identity::EnrolmentError::NotJoined { .. })
    ));
}

#[tokio::test]
async fn certificates_renew_while_a_session_lives() {
    let (controller, address) = Controller::start(TimeDelta::seconds(4)).await;
    controller.unwilling.store(2, Ordering::Relaxed);
    let folder = tempfile::tempdir().unwrap();
    let token = controller.token.reveal();
    join(&address, &token, folder.path(), &[]).await.unwrap();
    let enrolment = Enrolment::load(folder.path()).unwrap();
    let first = enrolment.identity.certificate();
    // Keeps the first certificate, which nobody renews for it.
    let outdated = Enrolment::load(folder.path()).unwrap();

    let dial = || {
        let Enrolment {
            identity, roots, ..
        } = &enrolment;
        client_channel(&address, CONTROLLER_NAME, identity, roots)
    };
    let (say, said) = mpsc::channel(1);
    let mut hear = AgentLinkClient::new(dial().await.unwrap())
        .session(ReceiverStream::new(said))
        .await
        .unwrap()
        .into_inner();
    let shutdown = CancellationToken::new();
    let renewing = tokio::spawn(keep_renewed(
        enrolment.clone(),
        vec!["127.0.0.1:1".to_owned(), address.clone()],
        Arc::new(SystemClock),
        shutdown.clone(),
    ));

    let mut changes = enrolment.identity.changes();
    for _ in 0..2 {
        tokio::time::timeout(Duration::from_secs(20), changes.changed())
            .await
            .expect("a renewal in time")
            .unwrap();
    }
    eventually("the first certificate is refused", async || {
        let Enrolment {
            identity, roots, ..
        } = &outdated;
        client_channel(&address, CONTROLLER_NAME, identity, roots)
            .await
            .is_err()
    })
    .await;
    assert!(Utc::now() > first.expires_at);
    say.send(wire::SessionRequest::default()).await.unwrap();
    assert!(hear.message().await.unwrap().is_some());
    dial().await.unwrap();

    let on_disk = Enrolment::load(folder.path()).unwrap();
    let in_use = enrolment.identity.certificate();
    assert_eq!(on_disk.identity.certificate().identity, in_use.identity);
    assert_ne!(on_disk.identity.certificate().serial, first.serial);
    shutdown.cancel();
    renewing.await.unwrap();
}
