//! A way to a PostgreSQL server, and connecting over it.

use std::{error::Error as _, io, time::Duration};

use holdfast_proto::{
    link::TlsMode,
    task::{FailureKind, TaskFailure},
};
use tokio_postgres::{CancelToken, Client, Config, NoTls, config::SslMode, error::SqlState};
use tracing::debug;

use super::{socket::UnixSocket, tls};
use crate::secret::Secret;

/// Each attempt to connect, from the first byte to a session that answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Limits that a role or database may carry and that must not cut our work.
const SESSION_DEFAULTS: &str = "\
    SET client_min_messages = warning; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; \
    SET IntervalStyle = 'postgres'; SET extra_float_digits = 3; SET standard_conforming_strings = on; \
    SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN \
    ('statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_session_timeout', \
    'idle_in_transaction_session_timeout')";

/// How one server is reached.
#[derive(Debug, Clone)]
pub struct Route {
    /// For people: "socket /run/postgresql", "tcp 172.17.0.2:5432".
    pub how: String,
    pub target: Target,
    pub port: u16,
    pub user: String,
    pub password: Option<Secret>,
    pub tls: TlsMode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Unix(UnixSocket),
    /// Name or address.
    Tcp(String),
}

/// Why there is no connection. The text is the reason alone, such as an instance shows it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no socket at {how}")]
    NoSocket {
        how: String,
        #[source]
        source: io::Error,
    },
    #[error("connection refused ({how})")]
    Refused {
        how: String,
        #[source]
        source: io::Error,
    },
    #[error("the server takes no more connections ({how}): it hangs or is overrun")]
    QueueFull {
        how: String,
        #[source]
        source: io::Error,
    },
    #[error("no answer within {} s ({how})", CONNECT_TIMEOUT.as_secs())]
    TimedOut { how: String },
    /// Starting up, shutting down, in recovery without hot standby.
    #[error("{message}")]
    NotReady {
        message: String,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("too many connections: {message}")]
    TooMany {
        message: String,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("password authentication failed for user {user} ({how})")]
    WrongPassword {
        user: String,
        how: String,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("the server asks for the password of user {user} and none is known ({how})")]
    PasswordUnknown { user: String, how: String },
    #[error("not let in: {message} ({how})")]
    NotLetIn {
        message: String,
        how: String,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("database {database:?} does not exist")]
    NoDatabase {
        database: String,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("connection failed ({how}): {reason}")]
    Failed {
        how: String,
        reason: String,
        #[source]
        source: Option<tokio_postgres::Error>,
    },
}

impl Route {
    /// Opens a session: limits that the role or the database carry are lifted, times are UTC.
    ///
    /// The connection lives as long as the client; ending the client ends it.
    ///
    /// # Errors
    /// [`ConnectError`], whose text is the exact reason.
    pub async fn connect(&self, database: &str) -> Result<Client, ConnectError> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.open(database))
            .await
            .map_err(|_| ConnectError::TimedOut {
                how: self.how.clone(),
            })?
    }

    /// Asks the server to stop what a session runs; the statement there then fails.
    ///
    /// # Errors
    /// When the server cannot be reached; it says nothing about whether a statement ran.
    pub async fn cancel(&self, token: CancelToken) -> Result<(), ConnectError> {
        let sent = async {
            match &self.target {
                Target::Unix(socket) => {
                    let stream = socket
                        .connect(self.port)
                        .await
                        .map_err(|e| self.io_reason(e))?;
                    token.cancel_query_raw(stream, NoTls).await
                }
                Target::Tcp(_) => token.cancel_query(self.connector()?).await,
            }
            .map_err(|e| self.reason(e, ""))
        };
        tokio::time::timeout(CONNECT_TIMEOUT, sent)
            .await
            .map_err(|_| ConnectError::TimedOut {
                how: self.how.clone(),
            })?
    }

    async fn open(&self, database: &str) -> Result<Client, ConnectError> {
        let mut config = Config::new();
        config
            .user(&self.user)
            .dbname(database)
            .application_name("holdfast-agent");
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        let client = match &self.target {
            Target::Unix(socket) => {
                let stream = socket
                    .connect(self.port)
                    .await
                    .map_err(|e| self.io_reason(e))?;
                config.ssl_mode(SslMode::Disable);
                let (client, connection) = config
                    .connect_raw(stream, NoTls)
                    .await
                    .map_err(|e| self.reason(e, database))?;
                keep(connection);
                client
            }
            Target::Tcp(address) => {
                config
                    .host(address)
                    .port(self.port)
                    .ssl_mode(ssl_mode(self.tls));
                let (client, connection) = config
                    .connect(self.connector()?)
                    .await
                    .map_err(|e| self.reason(e, database))?;
                keep(connection);
                client
            }
        };
        client
            .batch_execute(SESSION_DEFAULTS)
            .await
            .map_err(|e| self.reason(e, database))?;
        Ok(client)
    }

    fn connector(&self) -> Result<tokio_postgres_rustls::MakeRustlsConnect, ConnectError> {
        tls::connector().map_err(|e| ConnectError::Failed {
            how: self.how.clone(),
            reason: format!("TLS could not be set up: {e}"),
            source: None,
        })
    }

    fn io_reason(&self, source: io::Error) -> ConnectError {
        let how = self.how.clone();
        match source.kind() {
            io::ErrorKind::NotFound => ConnectError::NoSocket { how, source },
            io::ErrorKind::ConnectionRefused => ConnectError::Refused { how, source },
            io::ErrorKind::WouldBlock => ConnectError::QueueFull { how, source },
            _ => ConnectError::Failed {
                how,
                reason: source.to_string(),
                source: None,
            },
        }
    }

    fn reason(&self, source: tokio_postgres::Error, database: &str) -> ConnectError {
        let how = self.how.clone();
        if let Some(answer) = source.as_db_error() {
            let message = answer.message().to_owned();
            return match *answer.code() {
                SqlState::CANNOT_CONNECT_NOW => ConnectError::NotReady { message, source },
                SqlState::TOO_MANY_CONNECTIONS => ConnectError::TooMany { message, source },
                SqlState::INVALID_PASSWORD => ConnectError::WrongPassword {
                    user: self.user.clone(),
                    how,
                    source,
                },
                SqlState::INVALID_CATALOG_NAME => ConnectError::NoDatabase {
                    database: database.to_owned(),
                    source,
                },
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION => ConnectError::NotLetIn {
                    message,
                    how,
                    source,
                },
                _ => ConnectError::Failed {
                    how,
                    reason: message,
                    source: Some(source),
                },
            };
        }
        let cause = source.source();
        if let Some(kind) = cause.and_then(|c| c.downcast_ref::<io::Error>()) {
            let again = io::Error::new(kind.kind(), kind.to_string());
            return self.io_reason(again);
        }
        let cause = cause.map_or_else(|| source.to_string(), ToString::to_string);
        if cause.contains("password missing") {
            return ConnectError::PasswordUnknown {
                user: self.user.clone(),
                how,
            };
        }
        ConnectError::Failed {
            how,
            reason: cause,
            source: Some(source),
        }
    }
}

impl ConnectError {
    /// What the operator can do; empty when nothing but waiting.
    #[must_use]
    pub fn advice(&self, instance: &str) -> String {
        match self {
            Self::WrongPassword { .. } | Self::PasswordUnknown { .. } => {
                format!("put the right one on this host: holdfast-agent credential set {instance}")
            }
            Self::NotLetIn { .. } => format!(
                "let the user in by pg_hba.conf, or set another: holdfast-agent credential set {instance} --user NAME"
            ),
            _ => String::new(),
        }
    }

    /// As the end of a task that needed the connection.
    #[must_use]
    pub fn into_failure(self, instance: &str) -> TaskFailure {
        let (kind, retryable) = match self {
            Self::WrongPassword { .. } | Self::PasswordUnknown { .. } | Self::NotLetIn { .. } => {
                (FailureKind::Refused, false)
            }
            Self::NoDatabase { .. } => (FailureKind::Invalid, false),
            Self::TooMany { .. } => (FailureKind::Exhausted, true),
            _ => (FailureKind::Unavailable, true),
        };
        TaskFailure {
            kind,
            message: format!("cannot connect to {instance}: {self}"),
            advice: self.advice(instance),
            retryable,
        }
    }
}

fn ssl_mode(mode: TlsMode) -> SslMode {
    match mode {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require => SslMode::Require,
    }
}

fn keep<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "connection to PostgreSQL ended");
        }
    });
}
