//! The way to the controller: dial, prove who we are, renew the certificate in time.

use std::time::Duration;

use holdfast_chassis::{
    identity::{CONTROLLER_NAME, CredentialsError, KeyError, TokenError},
    tls::{self, EnrolError, Problem, Roots, RootsError, RotatingIdentity, client_channel},
};
use tonic::transport::Channel;

use crate::{
    context::{Context, ContextError},
    exit::Exit,
};

pub mod login;
pub mod renew;

/// Port of a controller when an address names none.
pub const DEFAULT_PORT: u16 = 7443;

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Dial(#[from] tls::ConnectError),
    #[error("cannot connect to the controller at {address}: no answer within {}", humantime::format_duration(*.within))]
    TooSlow { address: String, within: Duration },
    #[error("the authorities of context {context} are not usable")]
    Roots {
        context: String,
        #[source]
        cause: RootsError,
    },
    #[error("cannot make a key")]
    Key(#[from] KeyError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("cannot use the answer of the controller at {address}")]
    Answer {
        address: String,
        #[source]
        cause: EnrolError,
    },
    #[error("the renewed certificate is not usable")]
    Renewed(#[source] CredentialsError),
    #[error("cannot read the bootstrap token {path}")]
    Bootstrap {
        path: std::path::PathBuf,
        #[source]
        cause: std::io::Error,
    },
}

impl ConnectError {
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Dial(error) => exit_of(&error.problem),
            Self::TooSlow { .. } => Exit::Unreachable,
            Self::Roots { .. }
            | Self::Answer { .. }
            | Self::Renewed(_)
            | Self::Bootstrap { .. } => Exit::Refused,
            Self::Token(_) => Exit::Usage,
            Self::Key(_) => Exit::Unexpected,
        }
    }

    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Dial(error) => advice_on(&error.problem).to_owned(),
            Self::TooSlow { .. } => advice_on(&Problem::TimedOut).to_owned(),
            Self::Roots { .. } | Self::Renewed(_) => {
                "log in again with a token of `ctl operator invite`".to_owned()
            }
            Self::Token(_) => {
                "copy the whole command that `ctl operator invite` printed".to_owned()
            }
            Self::Bootstrap { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                "run it on the controller's machine (--state-dir names its state directory); \
                 the token is gone once it was used: then an admin runs `ctl operator invite NAME`"
                    .to_owned()
            }
            Self::Bootstrap { .. } => "sudo ctl login".to_owned(),
            Self::Key(_) | Self::Answer { .. } => String::new(),
        }
    }
}

/// Dials with the certificate of the context.
///
/// # Errors
/// Nobody answers, somebody else answers, or the controller refuses us.
pub async fn dial(
    name: &str,
    context: &Context,
    address: &str,
    within: Duration,
) -> Result<Channel, DialError> {
    let roots = Roots::from_pem(&context.authorities).map_err(|cause| ConnectError::Roots {
        context: name.to_owned(),
        cause,
    })?;
    let identity = RotatingIdentity::new(context.credentials(name)?);
    let address = with_port(address);
    let connecting = client_channel(&address, CONTROLLER_NAME, &identity, &roots);
    match tokio::time::timeout(within, connecting).await {
        Ok(connected) => Ok(connected.map_err(ConnectError::from)?),
        Err(_) => Err(ConnectError::TooSlow { address, within }.into()),
    }
}

/// The context is bad, or the way is.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// An address without a port gets ours; `[::1]` and bare IPv6 addresses are understood.
#[must_use]
pub fn with_port(address: &str) -> String {
    if let Ok(ip) = address.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return std::net::SocketAddr::new(ip, DEFAULT_PORT).to_string();
    }
    match address.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => address.to_owned(),
        _ => format!("{address}:{DEFAULT_PORT}"),
    }
}

/// Nobody there is one thing, a certificate that does not fit another.
fn exit_of(problem: &Problem) -> Exit {
    match problem {
        Problem::Unreachable(_)
        | Problem::TimedOut
        | Problem::Closed
        | Problem::NotTls
        | Problem::NoTls13
        | Problem::Other(_) => Exit::Unreachable,
        Problem::TheirAuthorityUnknown
        | Problem::TheirCertificateExpired
        | Problem::TheirCertificateNotYetValid
        | Problem::TheirNameDiffers { .. }
        | Problem::NotAServersCertificate
        | Problem::NotTheTokensAuthority { .. }
        | Problem::OurAuthorityUnknown
        | Problem::OurCertificateRevoked
        | Problem::OurCertificateExpired
        | Problem::OurNameRefused
        | Problem::Refused(_) => Exit::Refused,
    }
}

fn advice_on(problem: &Problem) -> &'static str {
    match problem {
        Problem::Unreachable(_) | Problem::TimedOut | Problem::Closed | Problem::Other(_) => {
            "systemctl status holdfast-controller there; `ctl context list` shows the address in use"
        }
        Problem::NotTls | Problem::NoTls13 => {
            "`ctl context list` shows the address in use; --controller gives another"
        }
        Problem::TheirCertificateExpired | Problem::TheirCertificateNotYetValid => {
            "compare the clocks of both machines"
        }
        Problem::TheirAuthorityUnknown
        | Problem::TheirNameDiffers { .. }
        | Problem::NotAServersCertificate => {
            "ask an admin before you go on; log in again only when the controller was set up anew"
        }
        Problem::NotTheTokensAuthority { .. } => {
            "check --controller; the token must come from that controller"
        }
        Problem::OurAuthorityUnknown
        | Problem::OurCertificateRevoked
        | Problem::OurCertificateExpired
        | Problem::OurNameRefused => {
            "ask an admin for `ctl operator invite YOUR-NAME` and run the command that it prints"
        }
        Problem::Refused(_) => "the controller's log says why",
    }
}

#[cfg(test)]
mod tests {
    use holdfast_chassis::tls::Problem;

    use super::{advice_on, exit_of, with_port};
    use crate::exit::Exit;

    #[test]
    fn addresses_get_our_port() {
        assert_eq!(with_port("ctl.example"), "ctl.example:7443");
        assert_eq!(with_port("ctl.example:9000"), "ctl.example:9000");
        assert_eq!(with_port("10.0.0.1"), "10.0.0.1:7443");
        assert_eq!(with_port("::1"), "[::1]:7443");
        assert_eq!(with_port("[::1]"), "[::1]:7443");
        assert_eq!(with_port("[::1]:9000"), "[::1]:9000");
    }

    #[test]
    fn silence_and_refusal_are_told_apart() {
        assert_eq!(exit_of(&Problem::TimedOut), Exit::Unreachable);
        assert_eq!(
            exit_of(&Problem::Unreachable("refused".to_owned())),
            Exit::Unreachable
        );
        assert_eq!(exit_of(&Problem::OurCertificateRevoked), Exit::Refused);
        assert_eq!(exit_of(&Problem::TheirAuthorityUnknown), Exit::Refused);
        assert!(advice_on(&Problem::OurCertificateExpired).contains("ctl operator invite"));
    }
}
