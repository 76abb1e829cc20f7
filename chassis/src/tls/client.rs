//! The client's side: a channel that shows the current certificate on every new connection.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::ServerName,
};
use tokio::{io::AsyncBufReadExt, net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::{
    ALPN, CONNECTION_WINDOW, ConnectError, FRAME, HANDSHAKE_TIMEOUT, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT, Problem, Roots, RotatingIdentity, STREAM_WINDOW, connect_error, provider,
};

/// Connects to `address` (`host:port`), where the server must prove to be `server_name`.
///
/// When it returns, the server has accepted our certificate. The channel reconnects by itself
/// when a call finds the connection broken, with the certificate that `identity` has by then;
/// such a call fails with `Unavailable` and the same words. Gives up after 10 s; for less, drop
/// the future.
///
/// # Errors
/// When nobody answers, when it is not the server asked for, or when it refuses us.
pub async fn client_channel(
    address: &str,
    server_name: &str,
    identity: &RotatingIdentity,
    roots: &Roots,
) -> Result<Channel, ConnectError> {
    let other = |error: String| ConnectError::new(address, server_name, Problem::Other(error));
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.store(), provider())
        .build()
        .map_err(|error| other(error.to_string()))?;
    let config = config(verifier)
        .map_err(|error| other(error.to_string()))?
        .with_client_cert_resolver(Arc::new(identity.clone()));
    channel(address, server_name, config).await
}

pub(super) fn config(
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

pub(super) async fn channel(
    address: &str,
    server_name: &str,
    mut config: ClientConfig,
) -> Result<Channel, ConnectError> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Each connection shows the certificate of its moment.
    config.resumption = Resumption::disabled();
    let dial = Arc::new(Dial {
        address: address.to_owned(),
        server_name: server_name.to_owned(),
        connector: TlsConnector::from(Arc::new(config)),
    });
    let connector = service_fn(move |_: Uri| {
        let dial = dial.clone();
        async move { dial.connect().await.map(TokioIo::new) }
    });
    let failed = |error: &tonic::transport::Error| {
        connect_error(error).cloned().unwrap_or_else(|| {
            ConnectError::new(address, server_name, Problem::Other(error.to_string()))
        })
    };
    // The connector makes it TLS; to tonic the scheme only says that it need not.
    endpoint(&format!("http://{server_name}"))
        .map_err(|error| failed(&error))?
        .connect_with_connector(connector)
        .await
        .map_err(|error| failed(&error))
}

fn endpoint(uri: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(uri.to_owned())?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

struct Dial {
    address: String,
    server_name: String,
    connector: TlsConnector,
}

impl Dial {
    async fn connect(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let problem = match timeout(HANDSHAKE_TIMEOUT, self.handshake()).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(problem)) => problem,
            Err(_) => Problem::TimedOut,
        };
        Err(ConnectError::new(&self.address, &self.server_name, problem))
    }

    /// In TLS 1.3 a client is done before the server has judged its certificate. So the server's
    /// first bytes (its HTTP/2 settings) are waited for: then a refusal is an error of the
    /// connecting, with the alert that says why, and not of some later call.
    async fn handshake(&self) -> Result<TlsStream<TcpStream>, Problem> {
        let name = ServerName::try_from(self.server_name.clone())
            .map_err(|_| Problem::Other(format!("{:?} is not a DNS name", self.server_name)))?;
        let stream = TcpStream::connect(&self.address)
            .await
            .map_err(|error| Problem::Unreachable(error.to_string()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| Problem::Other(error.to_string()))?;
        let mut stream = self
            .connector
            .connect(name, stream)
            .await
            .map_err(|error| Problem::of(&error))?;
        match stream.fill_buf().await {
            Ok([]) => Err(Problem::Closed),
            Ok(_) => Ok(stream),
            Err(error) => Err(Problem::of(&error)),
        }
    }
}
