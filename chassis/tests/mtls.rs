//! mTLS over real sockets on loopback: rotation, revocation, and the words of every refusal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use holdfast_chassis::{
    clock::{Clock, SystemClock},
    identity::{
        Authority, CONTROLLER_NAME, Credentials, EnrolmentToken, Identity, NewKey, Secret,
        Validity, host_server_name,
    },
    tls::{
        ConnectError, PeerInfo, Problem, Refusal, RefusalReason, Revoked, Roots, RotatingIdentity,
        ServerTls, client_channel, enrolment_channel, serve_incoming, server,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
};
use tonic::{
    body::Body,
    codegen::{Bytes, http},
    transport::Channel,
};
use tower::{Service, ServiceExt};

/// Longer than a handshake may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One authority with its controller's server, which echoes bodies and names the caller.
struct Fleet {
    authority: Authority,
    roots: Roots,
    address: String,
    revoked: Revoked,
    refusals: Mutex<mpsc::UnboundedReceiver<Refusal>>,
}

#[derive(Debug)]
struct FixedClock(DateTime<Utc>);

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// Answers every call: 200, the caller's name in a header, the request's body as body.
#[derive(Clone)]
struct Echo;

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<PeerInfo>().unwrap();
        let serial = peer.serial.clone().unwrap_or_default();
        let response = http::Response::builder()
            .header("caller", peer.actor())
            .header("serial", serial)
            .body(request.into_body())
            .unwrap();
        std::future::ready(Ok(response))
    }
}

impl Fleet {
    async fn start() -> Self {
        Self::start_as(Identity::Controller, Arc::new(SystemClock)).await
    }

    async fn start_as(server_identity: Identity, clock: Arc<dyn Clock>) -> Self {
        let (authority, _) = Authority::make(Utc::now()).unwrap();
        let roots = Roots::from_pem(authority.certificate_pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let identity = RotatingIdentity::new(credentials(&authority, &server_identity));
        let revoked = Revoked::default();
        let tls = ServerTls::new(identity, &roots, revoked.clone(), clock).unwrap();
        let (noted, refusals) = mpsc::unbounded_channel();
        let incoming = serve_incoming(listener, tls, move |refusal| {
            // A test that ended before does not listen any more.
            let _ = noted.send(refusal);
        });
        tokio::spawn(server().add_service(Echo).serve_with_incoming(incoming));
        Self {
            authority,
            roots,
            address,
            revoked,
            refusals: Mutex::new(refusals),
        }
    }

    fn host(&self, name: &str) -> RotatingIdentity {
        RotatingIdentity::new(credentials(&self.authority, &Identity::Host(name.into())))
    }

    async fn dial(&self, identity: &RotatingIdentity) -> Result<Channel, ConnectError> {
        client_channel(&self.address, CONTROLLER_NAME, identity, &self.roots).await
    }

    /// The next one, in their order.
    async fn refused(&self) -> Refusal {
        let mut refusals = self.refusals.lock().await;
        let next = tokio::time::timeout(PATIENCE, refusals.recv()).await;
        next.expect("nobody was refused").unwrap()
    }
}

fn credentials(authority: &Authority, identity: &Identity) -> Credentials {
    let validity = Validity::starting(Utc::now(), TimeDelta::days(1));
    credentials_for(authority, identity, validity)
}

fn credentials_for(authority: &Authority, identity: &Identity, validity: Validity) -> Credentials {
    let key = NewKey::make().unwrap();
    let (_, chain) = authority
        .issue(&key.request().unwrap(), identity, validity)
        .unwrap();
    Credentials::from_answer(&key, &chain).unwrap()
}

async fn call(channel: &mut Channel, body: Body) -> http::Response<Body> {
    let request = http::Request::builder()
        .method("POST")
        .uri("/echo/Call")
        .body(body)
        .unwrap();
    channel.ready().await.unwrap().call(request).await.unwrap()
}

async fn caller(channel: &mut Channel) -> String {
    let response = call(channel, Body::empty()).await;
    response.headers()["caller"].to_str().unwrap().to_owned()
}

/// A body fed through a channel, and the next piece of an echoed one.
fn fed() -> (mpsc::Sender<Bytes>, Body) {
    let (feed, pieces) = mpsc::channel::<Bytes>(4);
    let pieces = tokio_stream::wrappers::ReceiverStream::new(pieces).map(Ok::<_, Infallible>);
    let body = Body::new(http_body_util::StreamBody::new(
        pieces.map(|piece| piece.map(http_body::Frame::data)),
    ));
    (feed, body)
}

#[tokio::test]
async fn the_caller_is_who_its_certificate_says() {
    let fleet = Fleet::start().await;
    let mut channel = fleet.dial(&fleet.host("web-1")).await.unwrap();
    assert_eq!(caller(&mut channel).await, "host/web-1");
}

#[tokio::test]
async fn a_stream_lives_through_a_rotation() {
    let fleet = Fleet::start().await;
    let identity = fleet.host("web-1");
    let mut channel = fleet.dial(&identity).await.unwrap();
    let (feed, body) = fed();
    let response = call(&mut channel, body).await;
    let first = response.headers()["serial"].clone();
    assert_eq!(first.to_str().unwrap(), identity.certificate().serial);
    let mut echoed = http_body_util::BodyDataStream::new(response.into_body());

    feed.send(Bytes::from_static(b"before")).await.unwrap();
    assert_eq!(echoed.next().await.unwrap().unwrap(), "before");
    let changes = identity.changes();
    identity.replace(credentials(&fleet.authority, &identity.identity()));
    assert!(changes.has_changed().unwrap());
    feed.send(Bytes::from_static(b"after")).await.unwrap();
    assert_eq!(echoed.next().await.unwrap().unwrap(), "after");

    let mut fresh = fleet.dial(&identity).await.unwrap();
    let response = call(&mut fresh, Body::empty()).await;
    let second = response.headers()["serial"].clone();
    assert_ne!(first, second);
    assert_eq!(second.to_str().unwrap(), identity.certificate().serial);
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_by_name_from_then_on() {
    let fleet = Fleet::start().await;
    let identity = fleet.host("web-1");
    fleet.dial(&identity).await.unwrap();
    fleet.revoked.add([identity.certificate().serial]);

    let error = fleet.dial(&identity).await.unwrap_err();
    assert_eq!(error.problem, Problem::OurCertificateRevoked);
    assert!(error.to_string().contains("has been revoked"), "{error}");
    let refusal = fleet.refused().await;
    assert_eq!(refusal.reason, RefusalReason::Revoked);
    assert!(refusal.to_string().contains("it says host/web-1"));
    assert!(fleet.dial(&fleet.host("web-1")).await.is_ok());
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_on_both_sides() {
    let fleet = Fleet::start().await;
    let other = Fleet::start().await;

    let error = fleet.dial(&other.host("web-1")).await.unwrap_err();
    assert_eq!(error.problem, Problem::OurAuthorityUnknown);
    assert!(
        error
            .to_string()
            .contains("the controller does not know the authority that signed our certificate"),
        "{error}"
    );
    let reason = fleet.refused().await.reason;
    assert_eq!(reason, RefusalReason::UnknownAuthority);

    let identity = fleet.host("web-1");
    let error = client_channel(&fleet.address, CONTROLLER_NAME, &identity, &other.roots)
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::TheirAuthorityUnknown);
    assert!(matches!(
        fleet.refused().await.reason,
        RefusalReason::RefusedByClient(_)
    ));
}

#[tokio::test]
async fn an_expired_certificate_is_refused_by_name() {
    let fleet = Fleet::start().await;
    let validity = Validity::starting(Utc::now() - TimeDelta::days(3), TimeDelta::days(1));
    let identity = RotatingIdentity::new(credentials_for(
        &fleet.authority,
        &Identity::Host("web-1".into()),
        validity,
    ));
    let error = fleet.dial(&identity).await.unwrap_err();
    assert_eq!(error.problem, Problem::OurCertificateExpired);
    assert_eq!(fleet.refused().await.reason, RefusalReason::Expired);
}

#[tokio::test]
async fn the_servers_clock_judges() {
    let clock = Arc::new(FixedClock(Utc::now() - TimeDelta::days(2)));
    let fleet = Fleet::start_as(Identity::Controller, clock).await;
    assert!(fleet.dial(&fleet.host("web-1")).await.is_err());
    assert_eq!(fleet.refused().await.reason, RefusalReason::NotYetValid);
}

#[tokio::test]
async fn a_server_of_another_name_is_not_trusted() {
    let fleet = Fleet::start_as(Identity::Host("web-2".into()), Arc::new(SystemClock)).await;
    let identity = fleet.host("web-1");
    let wanted = host_server_name("web-3");
    let error = client_channel(&fleet.address, &wanted, &identity, &fleet.roots)
        .await
        .unwrap_err();
    assert!(matches!(error.problem, Problem::TheirNameDiffers { .. }));
    let text = error.to_string();
    assert!(text.contains("the agent of web-3"), "{text}");
    assert!(text.contains("web-2.host.holdfast.internal"), "{text}");
    let right = host_server_name("web-2");
    client_channel(&fleet.address, &right, &identity, &fleet.roots)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_operators_certificate_is_no_server() {
    let operator = Identity::Operator {
        name: "alice".into(),
        role: holdfast_chassis::identity::Role::Admin,
    };
    let fleet = Fleet::start_as(operator, Arc::new(SystemClock)).await;
    let error = fleet.dial(&fleet.host("web-1")).await.unwrap_err();
    assert_eq!(error.problem, Problem::NotAServersCertificate);
    assert!(!error.may_pass());
}

#[tokio::test]
async fn nobody_comes_in_as_nobody() {
    let fleet = Fleet::start().await;
    let token = EnrolmentToken {
        secret: Secret::random(),
        authority: fleet.authority.fingerprint(),
    };
    let mut channel = enrolment_channel(&fleet.address, &token).await.unwrap();
    assert!(caller(&mut channel).await.starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn a_token_of_another_fleet_finds_no_trust() {
    let fleet = Fleet::start().await;
    let other = Fleet::start().await;
    let token = EnrolmentToken {
        secret: Secret::random(),
        authority: other.authority.fingerprint(),
    };
    let error = enrolment_channel(&fleet.address, &token).await.unwrap_err();
    assert!(matches!(
        error.problem,
        Problem::NotTheTokensAuthority { .. }
    ));
    assert!(
        error
            .to_string()
            .contains("the token is from another controller"),
        "{error}"
    );
}

#[tokio::test]
async fn plaintext_is_told_what_is_spoken_here() {
    let fleet = Fleet::start().await;
    let mut stream = TcpStream::connect(&fleet.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("TLS 1.3"), "{answer}");
    assert_eq!(fleet.refused().await.reason, RefusalReason::Plaintext);
}

#[tokio::test]
async fn tls_1_2_is_refused_by_name() {
    let fleet = Fleet::start().await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = fleet.roots.pem().to_owned();
    for certificate in
        <rustls_pki_types::CertificateDer<'_> as rustls_pki_types::pem::PemObject>::pem_slice_iter(
            pem.as_bytes(),
        )
    {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(&fleet.address).await.unwrap();
    let error = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(CONTROLLER_NAME.try_into().unwrap(), stream)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    assert_eq!(fleet.refused().await.reason, RefusalReason::OldTls);
}

#[tokio::test]
async fn a_server_without_tls_is_named_so() {
    let fleet = Fleet::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP ready\r\n").await;
        }
    });
    let identity = fleet.host("web-1");
    let error = client_channel(&address, CONTROLLER_NAME, &identity, &fleet.roots)
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::NotTls, "{error}");
}

#[tokio::test]
async fn a_dead_port_is_named_so() {
    let fleet = Fleet::start().await;
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let identity = fleet.host("web-1");
    let error = client_channel(&address, CONTROLLER_NAME, &identity, &fleet.roots)
        .await
        .unwrap_err();
    assert!(error.may_pass());
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn silent_connections_do_not_hold_up_others_and_are_ended() {
    let fleet = Fleet::start().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(&fleet.address).await.unwrap());
    }
    let mut channel = fleet.dial(&fleet.host("web-1")).await.unwrap();
    assert_eq!(caller(&mut channel).await, "host/web-1");
    let address: SocketAddr = silent[0].local_addr().unwrap();
    let given_up = loop {
        let refusal = fleet.refused().await;
        if refusal.address == address {
            break refusal;
        }
    };
    assert_eq!(given_up.reason, RefusalReason::TooSlow);
}
