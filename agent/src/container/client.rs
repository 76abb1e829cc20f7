//! The engine's socket: found, spoken to in the version that the engine knows, found again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bollard::{API_DEFAULT_VERSION, Docker};
use holdfast_proto::task::{FailureKind, TaskFailure};
use hyper::header::{HeaderName, HeaderValue};

/// Where engines listen by default, in the order of asking.
pub const USUAL_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// By which the guard knows the agent.
const HEADER: HeaderName = HeaderName::from_static(crate::guard::token::HEADER);

/// Of one request, up to the head of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A handle that stays good when the engine goes away and comes back; clones share it.
#[derive(Debug, Clone)]
pub struct ContainerEngine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sockets: Vec<PathBuf>,
    token: Option<HeaderValue>,
    current: ArcSwapOption<Connected>,
}

/// An engine that answered, and what it is.
#[derive(Debug)]
pub struct Connected {
    pub docker: Docker,
    pub kind: EngineKind,
    /// "docker 20.10.24", "podman 4.3.1".
    pub name: String,
    pub socket: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    Docker,
    Podman,
}

/// The engine could not be asked, or said no.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("no container engine: there is no socket at {}", list(.sockets))]
    NoSocket { sockets: Vec<PathBuf> },
    #[error("the container engine at {} does not answer while {doing}: {reason}", .socket.display())]
    NoAnswer {
        socket: PathBuf,
        doing: &'static str,
        reason: String,
        #[source]
        source: Box<bollard::errors::Error>,
    },
    #[error("the container engine refused while {doing} {on:?}: {message}")]
    Refused {
        doing: &'static str,
        on: String,
        /// HTTP status of the answer.
        status: u16,
        message: String,
        #[source]
        source: Box<bollard::errors::Error>,
    },
}

impl ContainerEngine {
    /// Uses the first of these sockets that exists, asked again each time the engine is lost.
    #[must_use]
    pub fn new(sockets: Vec<PathBuf>) -> Self {
        Self::make(sockets, None)
    }

    /// The same, with a header on each request by which the guard knows who asks. It is no secret to the engine.
    #[must_use]
    pub fn with_token(sockets: Vec<PathBuf>, token: &str) -> Self {
        let mut token = HeaderValue::from_str(token).ok();
        token.iter_mut().for_each(|token| token.set_sensitive(true));
        Self::make(sockets, token)
    }

    fn make(sockets: Vec<PathBuf>, token: Option<HeaderValue>) -> Self {
        Self(Arc::new(Inner {
            sockets,
            token,
            current: ArcSwapOption::empty(),
        }))
    }

    /// The engine, connected and its version agreed.
    ///
    /// # Errors
    /// When there is no socket or nobody answers on it.
    pub async fn connected(&self) -> Result<Arc<Connected>, EngineError> {
        if let Some(current) = self.0.current.load_full() {
            return Ok(current);
        }
        let connected = Arc::new(self.connect().await?);
        self.0.current.store(Some(Arc::clone(&connected)));
        Ok(connected)
    }

    /// Forgets what was agreed: the next use finds the socket and agrees again.
    pub fn reset(&self) {
        self.0.current.store(None);
    }

    async fn connect(&self) -> Result<Connected, EngineError> {
        let socket = self
            .0
            .sockets
            .iter()
            .find(|path| path.exists())
            .ok_or_else(|| EngineError::NoSocket {
                sockets: self.0.sockets.clone(),
            })?
            .clone();
        let no_answer = |source: bollard::errors::Error| EngineError::NoAnswer {
            socket: socket.clone(),
            doing: "asking for its version",
            reason: source.to_string(),
            source: Box::new(source),
        };
        let docker = Docker::connect_with_unix(
            &socket.to_string_lossy(),
            REQUEST_TIMEOUT.as_secs(),
            API_DEFAULT_VERSION,
        )
        .map_err(no_answer)?;
        let docker = match self.0.token.clone() {
            Some(token) => docker.with_request_modifier(move |mut request| {
                request.headers_mut().insert(HEADER, token.clone());
                request
            }),
            None => docker,
        };
        let docker = docker.negotiate_version().await.map_err(no_answer)?;
        let version = docker.version().await.map_err(no_answer)?;
        let podman = version
            .components
            .iter()
            .flatten()
            .any(|component| component.name.starts_with("Podman"));
        let (kind, word) = if podman {
            (EngineKind::Podman, "podman")
        } else {
            (EngineKind::Docker, "docker")
        };
        Ok(Connected {
            docker,
            kind,
            name: format!("{word} {}", version.version.unwrap_or_default()),
            socket,
        })
    }
}

impl Connected {
    /// Sorts an error of the engine: an answer that says no, or no answer.
    #[must_use]
    pub fn explain(
        &self,
        doing: &'static str,
        on: &str,
        source: bollard::errors::Error,
    ) -> EngineError {
        match source {
            bollard::errors::Error::DockerResponseServerError {
                status_code,
                ref message,
            } => EngineError::Refused {
                doing,
                on: on.to_owned(),
                status: status_code,
                message: message.trim().to_owned(),
                source: Box::new(source),
            },
            other => EngineError::NoAnswer {
                socket: self.socket.clone(),
                doing,
                reason: other.to_string(),
                source: Box::new(other),
            },
        }
    }
}

impl EngineError {
    /// The engine answered that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

impl From<EngineError> for TaskFailure {
    fn from(error: EngineError) -> Self {
        let (kind, retryable) = match &error {
            EngineError::Refused { status: 404, .. } => (FailureKind::Invalid, false),
            EngineError::Refused { status: 409, .. } => (FailureKind::Conflict, true),
            EngineError::Refused { .. } => (FailureKind::Refused, false),
            EngineError::NoSocket { .. } | EngineError::NoAnswer { .. } => {
                (FailureKind::Unavailable, true)
            }
        };
        let advice = match &error {
            EngineError::NoSocket { .. } => {
                "start Docker or Podman on the host, or set container.sockets in agent.toml"
            }
            EngineError::NoAnswer { .. } => "look at the container engine of the host",
            EngineError::Refused { .. } => "",
        };
        Self {
            kind,
            message: error.to_string(),
            advice: advice.to_owned(),
            retryable,
        }
    }
}

fn list(sockets: &[PathBuf]) -> String {
    let names: Vec<_> = sockets.iter().map(|s| s.display().to_string()).collect();
    names.join(" or ")
}
