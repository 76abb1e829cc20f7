//! Why a connection did not come about, in words for whoever has to mend it.

use std::{error::Error, fmt, io};

use rustls::{AlertDescription, CertificateError};

use super::enrol::AnotherAuthority;
use crate::identity::CONTROLLER_NAME;

/// A connection that could not be made. It stands in the source chain of tonic's errors too:
/// see [`connect_error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectError {
    pub address: String,
    /// DNS name that was asked for.
    pub server_name: String,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The operating system's words.
    Unreachable(String),
    TimedOut,
    Closed,
    NotTls,
    NoTls13,
    /// What we saw in the server's certificate.
    TheirAuthorityUnknown,
    TheirCertificateExpired,
    TheirCertificateNotYetValid,
    TheirNameDiffers {
        presented: String,
    },
    NotAServersCertificate,
    NotTheTokensAuthority {
        expected: String,
    },
    /// What the server said of ours.
    OurAuthorityUnknown,
    OurCertificateRevoked,
    OurCertificateExpired,
    OurNameRefused,
    Refused(String),
    Other(String),
}

impl ConnectError {
    pub(super) fn new(address: &str, server_name: &str, problem: Problem) -> Self {
        Self {
            address: address.to_owned(),
            server_name: server_name.to_owned(),
            problem,
        }
    }

    /// Whether trying again without anybody doing anything may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self.problem,
            Problem::Unreachable(_) | Problem::TimedOut | Problem::Closed | Problem::Other(_)
        )
    }

    fn server(&self) -> String {
        if self.server_name == CONTROLLER_NAME {
            return "the controller".to_owned();
        }
        match self.server_name.split_once(".host.") {
            Some((host, _)) => format!("the agent of {host}"),
            None => self.server_name.clone(),
        }
    }
}

impl Error for ConnectError {}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.server();
        write!(f, "cannot connect to {server} at {}: ", self.address)?;
        match &self.problem {
            Problem::Unreachable(why) => write!(f, "{why}"),
            Problem::TimedOut => f.write_str("no answer within 10 s"),
            Problem::Closed => f.write_str("it closed the connection during the handshake"),
            Problem::NotTls => f.write_str(
                "what listens there does not speak TLS; is it the right address and port?",
            ),
            Problem::NoTls13 => f.write_str(
                "what listens there does not speak TLS 1.3; is it the right address and port?",
            ),
            Problem::TheirAuthorityUnknown => f.write_str(
                "its certificate is signed by an authority that we do not trust: \
                 it belongs to another fleet, or somebody stands between",
            ),
            Problem::TheirCertificateExpired => f.write_str(
                "its certificate has expired; if it renewed in time, the clock here is wrong",
            ),
            Problem::TheirCertificateNotYetValid => {
                f.write_str("its certificate is not valid yet: do the clocks agree?")
            }
            Problem::TheirNameDiffers { presented } => write!(
                f,
                "somebody else answers there: the certificate is for {presented}"
            ),
            Problem::NotAServersCertificate => {
                f.write_str("its certificate is an operator's, and no server may use that")
            }
            Problem::NotTheTokensAuthority { expected } => write!(
                f,
                "it does not have the authority that the token names (SHA-256 {expected}): \
                 the token is from another controller, or somebody stands between"
            ),
            Problem::OurAuthorityUnknown => write!(
                f,
                "{server} does not know the authority that signed our certificate: \
                 we are enrolled with another fleet"
            ),
            Problem::OurCertificateRevoked => f.write_str(
                "our certificate has been revoked: this host or operator was removed; \
                 enrol again with a new token",
            ),
            Problem::OurCertificateExpired => f.write_str(
                "our certificate has expired (or is not valid yet by its clock); \
                 if the clocks agree, enrol again with a new token",
            ),
            Problem::OurNameRefused => {
                f.write_str("our certificate names no host or operator of its fleet")
            }
            Problem::Refused(alert) => write!(f, "it refused us (TLS alert {alert})"),
            Problem::Other(text) => write!(f, "{text}"),
        }
    }
}

impl Problem {
    pub(super) fn of(error: &io::Error) -> Self {
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(tls) => Self::of_tls(tls),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Other(error.to_string()),
            },
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert),
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::PeerIncompatible(_) => Self::NoTls13,
            other => Self::Other(other.to_string()),
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                Self::OurAuthorityUnknown
            }
            AlertDescription::CertificateRevoked => Self::OurCertificateRevoked,
            AlertDescription::CertificateExpired => Self::OurCertificateExpired,
            AlertDescription::AccessDenied => Self::OurNameRefused,
            AlertDescription::ProtocolVersion => Self::NoTls13,
            other => Self::Refused(format!("{other:?}")),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::TheirAuthorityUnknown
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Self::TheirCertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::TheirCertificateNotYetValid
            }
            CertificateError::NotValidForName => Self::TheirNameDiffers {
                presented: "another name".to_owned(),
            },
            CertificateError::NotValidForNameContext { presented, .. } => Self::TheirNameDiffers {
                presented: presented.join(", "),
            },
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::NotAServersCertificate
            }
            CertificateError::Other(other) => match other.0.downcast_ref::<AnotherAuthority>() {
                Some(AnotherAuthority { expected }) => Self::NotTheTokensAuthority {
                    expected: expected.to_string(),
                },
                None => Self::Other(error.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }
}

/// Looks for a [`ConnectError`] in an error and everything that it was caused by.
#[must_use]
pub fn connect_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a ConnectError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
