//! `holdfast-agent join`: makes a key, enrols with a one-time token, and starts the agent.
//!
//! The key is made here and never leaves. Everything that can fail without the controller is
//! tried before the token is used, because it is good for once.

mod service;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use clap::Args;
use holdfast_chassis::{
    identity::{EnrolmentToken, KeyError, NewKey, PrivateFileError, TokenError, write_private},
    tls::{ConnectError, EnrolError, Enrolled, accept_answer, enrolment_channel},
};
use holdfast_proto::wire::{EnrolRequest, enrolment_client::EnrolmentClient};
use tokio::time::timeout;

use crate::identity::{Enrolment, EnrolmentError};

pub use service::{Next, ServiceError};

/// What a controller listens on when the address names no port.
const PORT: u16 = 7443;
const ANSWER: Duration = Duration::from_secs(30);

/// Becomes a host of the fleet, with the token that `ctl host enrol NAME` printed.
#[derive(Debug, Args)]
pub struct Join {
    /// Address of the controller: host:port, or host for port 7443.
    #[arg(long, value_name = "ADDRESS")]
    controller: String,
    /// One-time token; better in the environment where others see this machine's processes.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "HOLDFAST_TOKEN",
        hide_env_values = true
    )]
    token: SecretToken,
    /// Join although this machine is a host already; its old key and certificate are lost.
    #[arg(long)]
    force: bool,
    /// Only join; do not start the agent.
    #[arg(long)]
    no_start: bool,
}

/// Checked where it is used: an error message of clap would repeat it.
#[derive(Clone)]
struct SecretToken(String);

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("--token: {0}")]
    Token(#[from] TokenError),
    #[error(
        "this machine is the host {host} of {controller} already (certificate until {until}); \
         to join anew, add --force"
    )]
    AlreadyJoined {
        host: String,
        controller: String,
        until: DateTime<Utc>,
    },
    #[error(
        "something is left of an enrolment in {path}, and it is not usable; \
         to join anew, add --force"
    )]
    Remains {
        path: PathBuf,
        #[source]
        source: EnrolmentError,
    },
    #[error("the state directory {path} cannot be used; run it as root, or give --state-dir")]
    StateDir {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the state directory cannot be used; run it as root, or give --state-dir")]
    StateFile(#[source] PrivateFileError),
    #[error("no key could be made")]
    Key(#[from] KeyError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the controller at {address} did not let this machine in: {message}")]
    Refused { address: String, message: String },
    #[error("the controller at {address} did not answer within {} s", ANSWER.as_secs())]
    Silent { address: String },
    #[error("the answer of the controller at {address} is not usable; are both of one version?")]
    Answer {
        address: String,
        #[source]
        source: EnrolError,
    },
    #[error("this machine was let in, but its enrolment could not be kept")]
    Keep(#[source] EnrolmentError),
    #[error("joined, but the agent was not started")]
    Service(#[from] ServiceError),
}

impl Join {
    /// Joins, and says what comes next. `unit_fits`: the systemd unit would run with the same
    /// state directory and configuration as this call.
    ///
    /// # Errors
    /// When this machine has joined already, when its state directory cannot be used, when the
    /// controller is not reached, is not the one of the token, or refuses it.
    pub async fn run(self, state_dir: &Path, unit_fits: bool) -> Result<Next, JoinError> {
        let token: EnrolmentToken = self.token.0.parse()?;
        if !self.force {
            refuse_to_join_twice(state_dir)?;
        }
        prepare(state_dir)?;
        let address = with_port(&self.controller);
        let enrolled = enrol(&address, &token).await?;
        let Enrolled { credentials, roots } = enrolled;
        let enrolment =
            Enrolment::create(state_dir, &address, roots, credentials).map_err(JoinError::Keep)?;
        let certificate = enrolment.identity.certificate();
        tracing::info!(
            host = enrolment.host,
            controller = address,
            expires_at = %certificate.expires_at,
            "joined the fleet"
        );
        Ok(service::start(self.no_start, unit_fits).await?)
    }
}

fn refuse_to_join_twice(state_dir: &Path) -> Result<(), JoinError> {
    match Enrolment::load(state_dir) {
        Err(EnrolmentError::NotJoined { .. }) => Ok(()),
        Ok(enrolment) => Err(JoinError::AlreadyJoined {
            until: enrolment.identity.certificate().expires_at,
            host: enrolment.host,
            controller: enrolment.controller,
        }),
        Err(source) => Err(JoinError::Remains {
            path: Enrolment::path(state_dir),
            source,
        }),
    }
}

/// Makes the state directory when it is missing, and proves that a file can be written there.
fn prepare(state_dir: &Path) -> Result<(), JoinError> {
    let failed = |source| JoinError::StateDir {
        path: state_dir.to_owned(),
        source,
    };
    if !state_dir.exists() {
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .map_err(failed)?;
    }
    let probe = state_dir.join("enrolment.probe");
    write_private(&probe, b"").map_err(JoinError::StateFile)?;
    fs::remove_file(&probe).map_err(failed)?;
    let mode = fs::metadata(state_dir)
        .map_err(failed)?
        .permissions()
        .mode();
    if mode & 0o002 != 0 {
        let others = io::Error::other("every user of this machine may write to it");
        return Err(failed(others));
    }
    Ok(())
}

async fn enrol(address: &str, token: &EnrolmentToken) -> Result<Enrolled, JoinError> {
    let channel = enrolment_channel(address, token).await?;
    let key = NewKey::make()?;
    let request = EnrolRequest {
        token: token.secret.reveal(),
        csr: key.request()?,
    };
    let answer = timeout(ANSWER, EnrolmentClient::new(channel).enrol(request))
        .await
        .map_err(|_| JoinError::Silent {
            address: address.to_owned(),
        })?
        .map_err(|status| JoinError::Refused {
            address: address.to_owned(),
            message: status.message().to_owned(),
        })?
        .into_inner();
    accept_answer(&key, &answer.certificate_chain, &answer.authorities, token).map_err(|source| {
        JoinError::Answer {
            address: address.to_owned(),
            source,
        }
    })
}

/// `host`, `host:port`, `[::1]`, `[::1]:port` or `::1`.
fn with_port(address: &str) -> String {
    let bare_v6 = address.parse::<std::net::Ipv6Addr>().is_ok();
    match address.rsplit_once(':') {
        _ if bare_v6 => format!("[{address}]:{PORT}"),
        Some((_, port)) if port.parse::<u16>().is_ok() => address.to_owned(),
        _ => format!("{address}:{PORT}"),
    }
}

impl From<String> for SecretToken {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_get_a_port_when_they_have_none() {
        for (given, dialled) in [
            ("ctl.example", "ctl.example:7443"),
            ("ctl.example:1", "ctl.example:1"),
            ("10.0.0.1", "10.0.0.1:7443"),
            ("[::1]:1", "[::1]:1"),
            ("[::1]", "[::1]:7443"),
            ("::1", "[::1]:7443"),
        ] {
            assert_eq!(with_port(given), dialled);
        }
    }
}
