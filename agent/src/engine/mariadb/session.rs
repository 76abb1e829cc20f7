//! A session with a MariaDB or MySQL server: opening it over a route, and why that failed.

use std::{io, os::fd::AsRawFd as _, path::Path, time::Duration};

use holdfast_proto::{
    fleet::Engine,
    link::TlsMode,
    task::{FailureKind, TaskFailure},
};
use mysql_async::{
    Conn, DriverError, Error, IoError, Opts, OptsBuilder, SslOpts, prelude::Queryable,
};

use crate::engine::postgres::{
    route::{Route, Target},
    socket::open_inside,
};

/// Each attempt to connect, from the first byte to a session that answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest packet that the protocol knows.
const LARGEST_PACKET: usize = 1 << 30;

/// Limits that a server may set for everybody and that must not cut our work; bytes come as they are stored.
const SESSION_DEFAULTS: &str = "\
    SET NAMES utf8mb4; SET SESSION time_zone = '+00:00', autocommit = 1, wait_timeout = 86400, \
    net_read_timeout = 3600, net_write_timeout = 3600, lock_wait_timeout = 60";
/// What only one of the two knows, and not every version of it: the limit of a statement has another name in each.
const OF_MARIADB: &[&str] = &[
    "SET SESSION max_statement_time = 0, idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0",
];
/// Sizes and next numbers of tables are those of now, not of a day ago; passwords are shown as they can be typed;
/// a table gets no key that its statement does not name.
const OF_MYSQL: &[&str] = &[
    "SET SESSION max_execution_time = 0",
    "SET SESSION information_schema_stats_expiry = 0",
    "SET SESSION print_identified_with_as_hex = ON",
    "SET SESSION sql_generate_invisible_primary_key = OFF, sql_require_primary_key = OFF",
];

/// An open session.
#[derive(Debug)]
pub struct Session {
    pub conn: Conn,
    pub engine: Engine,
    /// "11.8.6-MariaDB-0+deb13u1 from Debian".
    pub version: String,
    /// Two digits each: 110806.
    pub version_num: u32,
}

/// Why there is no session. The text is the reason alone, such as an instance shows it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no socket at {how}")]
    NoSocket {
        how: String,
        #[source]
        source: io::Error,
    },
    #[error("connection refused ({how})")]
    Refused { how: String },
    #[error("no answer within {} s ({how})", CONNECT_TIMEOUT.as_secs())]
    TimedOut { how: String },
    #[error("too many connections ({how})")]
    TooMany { how: String },
    /// Starting up or shutting down.
    #[error("{message}")]
    NotReady { message: String },
    #[error("password authentication failed for user {user} ({how})")]
    WrongPassword { user: String, how: String },
    #[error("the server asks for the password of user {user} and none is known ({how})")]
    PasswordUnknown { user: String, how: String },
    #[error("not let in: {message} ({how})")]
    NotLetIn { message: String, how: String },
    #[error("connection failed ({how}): {reason}")]
    Failed {
        how: String,
        reason: String,
        #[source]
        source: Option<Error>,
    },
}

impl Session {
    /// Opens a session: limits that the server has for everybody are lifted, times are UTC.
    ///
    /// # Errors
    /// [`ConnectError`], whose text is the exact reason.
    pub async fn open(route: &Route) -> Result<Self, ConnectError> {
        tokio::time::timeout(CONNECT_TIMEOUT, open(route))
            .await
            .map_err(|_| ConnectError::TimedOut {
                how: route.how.clone(),
            })?
    }

    /// The server's own number of this session.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.conn.id()
    }

    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        self.engine == Engine::Mariadb
    }

    /// The mode that keeps a GRANT from making accounts; a MySQL has none, since it never does.
    #[must_use]
    pub fn no_new_accounts(&self) -> &'static str {
        if self.is_mariadb() {
            "NO_AUTO_CREATE_USER"
        } else {
            ""
        }
    }
}

/// Has the server stop what a session runs; the statement there then fails.
///
/// # Errors
/// When the server is not reached. A session that is gone is stopped already.
pub async fn stop(route: &Route, session: u32) -> Result<(), ConnectError> {
    let mut other = Session::open(route).await?;
    let stopped = other.conn.query_drop(format!("KILL QUERY {session}")).await;
    match stopped {
        Ok(()) | Err(Error::Server(_)) => Ok(()),
        Err(error) => Err(reason(route, error)),
    }
}

async fn open(route: &Route) -> Result<Session, ConnectError> {
    let mut conn = match (&route.target, route.tls) {
        (Target::Unix(_), _) | (Target::Tcp(_), TlsMode::Disable) => connect(route, false).await?,
        (Target::Tcp(_), TlsMode::Require) => connect(route, true).await?,
        (Target::Tcp(_), TlsMode::Prefer) => match connect(route, true).await {
            Err(ConnectError::Failed {
                source: Some(Error::Driver(DriverError::NoClientSslFlagFromServer)),
                ..
            }) => connect(route, false).await?,
            other => other?,
        },
    };
    let failed = |error| reason(route, error);
    let version: Option<String> = conn.query_first("SELECT VERSION()").await.map_err(failed)?;
    let version = version.unwrap_or_default();
    let engine = engine_of(&version);
    for statement in SESSION_DEFAULTS.split("; ") {
        conn.query_drop(statement).await.map_err(failed)?;
    }
    let settings = match engine {
        Engine::Mysql => OF_MYSQL,
        Engine::Mariadb | Engine::Postgres => OF_MARIADB,
    };
    // What an older version does not know is not in our way there.
    for setting in settings {
        match conn.query_drop(*setting).await {
            Ok(()) | Err(Error::Server(_)) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(Session {
        version_num: version_num(&version),
        conn,
        engine,
        version,
    })
}

async fn connect(route: &Route, tls: bool) -> Result<Conn, ConnectError> {
    let options = OptsBuilder::default()
        .user(Some(route.user.clone()))
        .pass(route.password.as_ref().map(|p| p.expose().to_owned()))
        .prefer_socket(false)
        .tcp_nodelay(true)
        .max_allowed_packet(Some(LARGEST_PACKET))
        .wait_timeout(Some(86_400))
        .stmt_cache_size(0);
    match &route.target {
        Target::Unix(socket) => {
            let missing = |source: io::Error| ConnectError::NoSocket {
                how: route.how.clone(),
                source,
            };
            let name = socket.directory.file_name().unwrap_or_default();
            let directory = socket.directory.parent().unwrap_or(Path::new("/"));
            let held = open_inside(&socket.root, directory).map_err(missing)?;
            let path = format!(
                "/proc/self/fd/{}/{}",
                held.as_raw_fd(),
                name.to_string_lossy()
            );
            if !Path::new(&path).exists() {
                return Err(missing(io::ErrorKind::NotFound.into()));
            }
            let options: Opts = options.socket(Some(path)).into();
            let connected = Conn::new(options).await;
            drop(held);
            connected.map_err(|error| reason(route, error))
        }
        Target::Tcp(address) => {
            let mut options = options.ip_or_hostname(address.clone()).tcp_port(route.port);
            if tls {
                // As everywhere with "require": encrypted, whoever signed the certificate.
                let any = SslOpts::default()
                    .with_danger_accept_invalid_certs(true)
                    .with_danger_skip_domain_validation(true);
                options = options.ssl_opts(Some(any));
            }
            let options: Opts = options.into();
            Conn::new(options)
                .await
                .map_err(|error| reason(route, error))
        }
    }
}

/// By its version's text, which a MariaDB always signs.
#[must_use]
pub fn engine_of(version: &str) -> Engine {
    if version.to_ascii_lowercase().contains("mariadb") {
        Engine::Mariadb
    } else {
        Engine::Mysql
    }
}

/// "11.8.6-MariaDB…" as 110806; old servers put "5.5.5-" before it.
#[must_use]
pub fn version_num(version: &str) -> u32 {
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let end = version
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(version.len());
    let mut numbers = version[..end].split('.').map(|n| n.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0u32);
    next() * 10_000 + next() * 100 + next()
}

fn reason(route: &Route, error: Error) -> ConnectError {
    let how = route.how.clone();
    let user = route.user.clone();
    match error {
        Error::Server(answer) => match answer.code {
            1040 | 1203 | 1226 => ConnectError::TooMany { how },
            1045 | 1698 if route.password.is_some() => ConnectError::WrongPassword { user, how },
            1045 | 1698 => ConnectError::PasswordUnknown { user, how },
            1053 => ConnectError::NotReady {
                message: "the server is shutting down".to_owned(),
            },
            1044 | 1129 | 1130 | 1227 | 4151 => ConnectError::NotLetIn {
                message: answer.message,
                how,
            },
            _ => ConnectError::Failed {
                how,
                reason: answer.message,
                source: None,
            },
        },
        Error::Io(IoError::Io(source)) => match source.kind() {
            io::ErrorKind::NotFound => ConnectError::NoSocket { how, source },
            io::ErrorKind::ConnectionRefused => ConnectError::Refused { how },
            _ => ConnectError::Failed {
                how,
                reason: source.to_string(),
                source: Some(Error::Io(IoError::Io(source))),
            },
        },
        error => ConnectError::Failed {
            how,
            reason: error.to_string(),
            source: Some(error),
        },
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
                "let the account in from this address, or set another: holdfast-agent credential set {instance} --user NAME"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_version_says() {
        for (text, engine, number) in [
            (
                "11.8.6-MariaDB-0+deb13u1 from Debian",
                Engine::Mariadb,
                110_806,
            ),
            ("10.11.19-MariaDB", Engine::Mariadb, 101_119),
            ("5.5.5-10.4.7-MariaDB", Engine::Mariadb, 100_407),
            ("8.4.3", Engine::Mysql, 80_403),
            ("8.0.36-0ubuntu0", Engine::Mysql, 80_036),
        ] {
            assert_eq!(
                (engine_of(text), version_num(text)),
                (engine, number),
                "{text}"
            );
        }
    }
}
