//! The server's side: TCP connections in, TLS connections with a known peer out.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::{Server, server::Connected};

use super::{
    ALPN, CONNECTION_WINDOW, ClockTime, FRAME, HANDSHAKE_TIMEOUT, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT, PeerInfo, Refusal, RefusalReason, Revoked, Roots, RootsError,
    RotatingIdentity, STREAM_WINDOW, provider, verify::NotingVerifier,
};
use crate::{clock::SharedClock, identity::Certificate};

/// Handshakes under way at once; a flood beyond it is turned away at the door.
const HANDSHAKES: usize = 512;
/// How long a refused peer is listened to, so that it can read why.
const LINGER: Duration = Duration::from_secs(1);
/// First byte of every TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a server needs to take connections.
#[derive(Debug, Clone)]
pub struct ServerTls {
    identity: RotatingIdentity,
    signatures: Arc<dyn ClientCertVerifier>,
    revoked: Revoked,
    clock: SharedClock,
}

/// One accepted connection.
#[derive(Debug)]
pub struct ServerIo {
    stream: TlsStream<TcpStream>,
    peer: PeerInfo,
}

/// Connections as tonic's `serve_with_incoming` takes them. Dropping it stops the accepting.
#[derive(Debug)]
pub struct Incoming(mpsc::Receiver<io::Result<ServerIo>>);

type OnRefusal = Arc<dyn Fn(Refusal) + Send + Sync>;

impl ServerTls {
    /// `revoked` may change while the server runs; each handshake asks it anew.
    ///
    /// # Errors
    /// When the authorities cannot verify client certificates.
    pub fn new(
        identity: RotatingIdentity,
        roots: &Roots,
        revoked: Revoked,
        clock: SharedClock,
    ) -> Result<Self, RootsError> {
        let signatures = WebPkiClientVerifier::builder_with_provider(roots.store(), provider())
            .build()
            .map_err(|_| RootsError::Empty)?;
        Ok(Self {
            identity,
            signatures,
            revoked,
            clock,
        })
    }

    /// Made for each connection: its verifier notes what the certificate said.
    fn config(&self, noted: Arc<OnceLock<Certificate>>) -> Result<ServerConfig, rustls::Error> {
        let verifier = NotingVerifier {
            signatures: self.signatures.clone(),
            revoked: self.revoked.clone(),
            noted,
        };
        let time = Arc::new(ClockTime(self.clock.clone()));
        let mut config = ServerConfig::builder_with_details(provider(), time)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(self.identity.clone()));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would skip the judgement of the certificate, and so the revocation.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }
}

/// tonic's server with this project's windows, frame size and keepalive.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// Accepts from `listener` until the returned stream is dropped. Handshakes run beside each
/// other, each at most 10 s; `on_refusal` is told of every one that failed and must not block.
pub fn serve_incoming(
    listener: TcpListener,
    tls: ServerTls,
    on_refusal: impl Fn(Refusal) + Send + Sync + 'static,
) -> Incoming {
    let (ready, incoming) = mpsc::channel(64);
    tokio::spawn(accept(listener, tls, Arc::new(on_refusal), ready));
    Incoming(incoming)
}

async fn accept(
    listener: TcpListener,
    tls: ServerTls,
    on_refusal: OnRefusal,
    ready: mpsc::Sender<io::Result<ServerIo>>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer has gone already: neither ends the server.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            on_refusal(refusal(address, RefusalReason::TooMany));
            continue;
        };
        let (tls, on_refusal, ready) = (tls.clone(), on_refusal.clone(), ready.clone());
        tokio::spawn(async move {
            match timeout(HANDSHAKE_TIMEOUT, handshake(stream, address, &tls)).await {
                // The server has stopped taking connections when the other end is gone.
                Ok(Ok(io)) => drop(ready.send(Ok(io)).await),
                Ok(Err(refusal)) => on_refusal(refusal),
                Err(_) => on_refusal(refusal(address, RefusalReason::TooSlow)),
            }
            drop(place);
        });
    }
}

async fn handshake(
    mut stream: TcpStream,
    address: SocketAddr,
    tls: &ServerTls,
) -> Result<ServerIo, Refusal> {
    let broken =
        |error: &dyn std::fmt::Display| refusal(address, RefusalReason::Broken(error.to_string()));
    stream.set_nodelay(true).map_err(|e| broken(&e))?;
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => return Err(refusal(address, RefusalReason::HungUp)),
        Ok(_) if first[0] != TLS_HANDSHAKE => {
            turn_away_plaintext(&mut stream).await;
            return Err(refusal(address, RefusalReason::Plaintext));
        }
        Ok(_) => {}
    }
    let noted = Arc::new(OnceLock::new());
    let config = tls.config(noted.clone()).map_err(|e| broken(&e))?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => {
            let shown = stream.get_ref().1.peer_certificates().is_some();
            let certificate = noted.get().filter(|_| shown).cloned();
            Ok(ServerIo {
                stream,
                peer: PeerInfo::new(address, certificate),
            })
        }
        Err((error, mut stream)) => {
            linger(&mut stream).await;
            Err(Refusal {
                address,
                reason: reason_of(&error),
                claimed: noted.get().cloned(),
            })
        }
    }
}

fn refusal(address: SocketAddr, reason: RefusalReason) -> Refusal {
    Refusal {
        address,
        reason,
        claimed: None,
    }
}

fn reason_of(error: &io::Error) -> RefusalReason {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => RefusalReason::of(tls),
        None if error.kind() == io::ErrorKind::UnexpectedEof => RefusalReason::HungUp,
        None => RefusalReason::Broken(error.to_string()),
    }
}

/// Said in HTTP/1.1, which whoever sits behind a plaintext client most likely can read.
async fn turn_away_plaintext(stream: &mut TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
        connection: close\r\n\r\nThis port speaks TLS 1.3 with client certificates only.\n";
    if stream.write_all(ANSWER).await.is_ok() {
        linger(stream).await;
    }
}

/// Closing a socket with unread bytes in it makes the kernel throw away what was sent last,
/// here the alert that says why.
async fn linger(stream: &mut TcpStream) {
    let drained = async {
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // The peer is refused either way.
    let _ = timeout(LINGER, drained).await;
}

impl Connected for ServerIo {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl Stream for Incoming {
    type Item = io::Result<ServerIo>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

impl AsyncRead for ServerIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ServerIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
