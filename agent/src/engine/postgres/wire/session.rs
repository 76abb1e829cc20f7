//! A session on a bare socket: startup, simple statements, and the door to COPY.

use std::io;

use bytes::{BufMut, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::{
    backend::{CommandCompleteBody, ErrorResponseBody, Message},
    frontend,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};

use super::auth;
use crate::engine::postgres::{
    route::{ConnectError, Route, Target},
    tls,
};
use holdfast_proto::link::TlsMode;

/// Room that a read finds.
const READ_BYTES: usize = 256 << 10;

/// Why a statement or a COPY on a bare socket did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server's own words.
    #[error("{message} (SQLSTATE {code})")]
    Server {
        code: String,
        /// With the detail, when there is one.
        message: String,
        hint: String,
    },
    #[error("the connection to the server broke")]
    Broken(#[source] io::Error),
    #[error("the server said it sent {said} rows and {seen} arrived")]
    Miscounted { said: u64, seen: u64 },
    #[error("unexpected answer of the server: {0}")]
    Protocol(String),
}

impl RawError {
    /// Whether the connection or the server went away, so that the same may succeed later.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Broken(_) => true,
            Self::Server { code, .. } => code.starts_with("57P") || code.starts_with("08"),
            Self::Miscounted { .. } | Self::Protocol(_) => false,
        }
    }
}

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// One session. Dropping it closes the socket, which ends whatever the server does for it at
/// its next write.
pub struct RawSession {
    pub(super) stream: Box<dyn Duplex>,
    pub(super) inbox: BytesMut,
    outbox: BytesMut,
}

impl std::fmt::Debug for RawSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawSession").finish_non_exhaustive()
    }
}

impl RawSession {
    /// Connects, authenticates, and runs `settings`.
    ///
    /// # Errors
    /// [`RawError`]: not reached, not let in, or `settings` refused.
    pub async fn open(
        route: &Route,
        database: &str,
        application: &str,
        settings: &str,
    ) -> Result<Self, RawError> {
        let stream = dial(route).await?;
        let mut session = Self {
            stream,
            inbox: BytesMut::with_capacity(READ_BYTES),
            outbox: BytesMut::new(),
        };
        let parameters = [
            ("user", route.user.as_str()),
            ("database", database),
            ("application_name", application),
        ];
        frontend::startup_message(parameters, &mut session.outbox).map_err(RawError::Broken)?;
        session.flush().await?;
        auth::authenticate(&mut session, route).await?;
        session.wait_ready().await?;
        session.execute(settings).await?;
        Ok(session)
    }

    /// Runs statements whose rows nobody wants.
    ///
    /// # Errors
    /// The first error of the server, or the loss of the connection.
    pub async fn execute(&mut self, sql: &str) -> Result<(), RawError> {
        self.query(sql).await?;
        self.wait_ready().await
    }

    pub(super) async fn query(&mut self, sql: &str) -> Result<(), RawError> {
        frontend::query(sql, &mut self.outbox).map_err(RawError::Broken)?;
        self.flush().await
    }

    pub(super) fn outbox(&mut self) -> &mut BytesMut {
        &mut self.outbox
    }

    pub(super) async fn flush(&mut self) -> Result<(), RawError> {
        self.stream
            .write_all(&self.outbox)
            .await
            .map_err(RawError::Broken)?;
        self.outbox.clear();
        self.stream.flush().await.map_err(RawError::Broken)
    }

    /// Reads once; at least one byte more stands in the inbox after it.
    pub(super) async fn fill(&mut self) -> Result<(), RawError> {
        self.inbox.reserve(READ_BYTES);
        let mut room = (&mut self.inbox).limit(READ_BYTES);
        match self.stream.read_buf(&mut room).await {
            Ok(0) => Err(RawError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(source) => Err(RawError::Broken(source)),
        }
    }

    /// The next message that is not a notice, a parameter or a notification.
    pub(super) async fn message(&mut self) -> Result<Message, RawError> {
        loop {
            let message = self.any_message().await?;
            if !is_aside(&message) {
                return Ok(message);
            }
        }
    }

    pub(super) async fn any_message(&mut self) -> Result<Message, RawError> {
        loop {
            match self.parsed()? {
                Some(message) => return Ok(message),
                None => self.fill().await?,
            }
        }
    }

    /// The message that stands whole in the inbox.
    pub(super) fn parsed(&mut self) -> Result<Option<Message>, RawError> {
        match Message::parse(&mut self.inbox).map_err(RawError::Broken)? {
            Some(Message::ErrorResponse(body)) => Err(server_error(&body)),
            message => Ok(message),
        }
    }

    /// Why the server hung up, if it said so before; else `source`.
    pub(super) async fn last_words(&mut self, source: io::Error) -> RawError {
        loop {
            match self.message().await {
                Ok(_) => {}
                Err(RawError::Broken(_)) => return RawError::Broken(source),
                Err(said) => return said,
            }
        }
    }

    pub(super) async fn wait_ready(&mut self) -> Result<(), RawError> {
        loop {
            match self.message().await {
                Ok(Message::ReadyForQuery(_)) => return Ok(()),
                Ok(Message::CopyInResponse(_) | Message::CopyOutResponse(_)) => {
                    return Err(RawError::Protocol(
                        "a COPY that nobody asked for".to_owned(),
                    ));
                }
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether the server may send it at any moment.
pub(super) fn is_aside(message: &Message) -> bool {
    matches!(
        message,
        Message::NoticeResponse(_) | Message::ParameterStatus(_) | Message::NotificationResponse(_)
    )
}

async fn dial(route: &Route) -> Result<Box<dyn Duplex>, RawError> {
    match &route.target {
        Target::Unix(socket) => {
            let stream = socket.connect(route.port).await.map_err(RawError::Broken)?;
            Ok(Box::new(stream))
        }
        Target::Tcp(address) => {
            let stream = TcpStream::connect((address.as_str(), route.port))
                .await
                .map_err(RawError::Broken)?;
            stream.set_nodelay(true).map_err(RawError::Broken)?;
            match route.tls {
                TlsMode::Disable => Ok(Box::new(stream)),
                TlsMode::Prefer => encrypt(stream, address, false).await,
                TlsMode::Require => encrypt(stream, address, true).await,
            }
        }
    }
}

async fn encrypt(
    mut stream: TcpStream,
    address: &str,
    required: bool,
) -> Result<Box<dyn Duplex>, RawError> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(RawError::Broken)?;
    match stream.read_u8().await.map_err(RawError::Broken)? {
        b'S' => {}
        _ if required => {
            return Err(RawError::Protocol(
                "the server does not offer TLS".to_owned(),
            ));
        }
        _ => return Ok(Box::new(stream)),
    }
    let mut connector = tls::connector().map_err(|e| RawError::Broken(io::Error::other(e)))?;
    let connect = <_ as MakeTlsConnect<TcpStream>>::make_tls_connect(&mut connector, address)
        .map_err(|e| RawError::Broken(io::Error::other(e)))?;
    let stream = connect
        .connect(stream)
        .await
        .map_err(|e| RawError::Broken(io::Error::other(e)))?;
    Ok(Box::new(stream))
}

/// How many rows the server says that a COPY had.
pub(super) fn copied(ended: &CommandCompleteBody) -> Result<u64, RawError> {
    let tag = ended.tag().map_err(RawError::Broken)?;
    tag.strip_prefix("COPY ")
        .and_then(|rows| rows.parse().ok())
        .ok_or_else(|| RawError::Protocol(format!("a COPY that ended with {tag:?}")))
}

fn server_error(body: &ErrorResponseBody) -> RawError {
    let (mut code, mut message) = (String::new(), String::new());
    let (mut detail, mut hint) = (String::new(), String::new());
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => code = text,
            b'M' => message = text,
            b'D' => detail = text.replace('\n', " "),
            b'H' => hint = text,
            _ => {}
        }
    }
    if !detail.is_empty() {
        message = format!("{message} ({detail})");
    }
    RawError::Server {
        code,
        message,
        hint,
    }
}
