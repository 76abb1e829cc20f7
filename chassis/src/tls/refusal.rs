//! Why a connection was not taken, in words for the audit log.

use std::{fmt, net::SocketAddr};

use rustls::{CertificateError, PeerIncompatible};

use crate::identity::Certificate;

/// A connection that ended in its handshake.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub address: SocketAddr,
    pub reason: RefusalReason,
    /// What the refused certificate says of itself: a claim, proven only when it was revoked
    /// or has expired.
    pub claimed: Option<Certificate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalReason {
    /// It went away before it had said anything: a port scan or a health probe.
    HungUp,
    TooSlow,
    TooMany,
    Plaintext,
    OldTls,
    UnknownAuthority,
    Revoked,
    Expired,
    NotYetValid,
    WrongPurpose,
    NobodyOfOurs,
    /// The client did not like our certificate.
    RefusedByClient(String),
    Broken(String),
}

impl RefusalReason {
    /// Whether a person should be able to read of it later; a port scan is not worth a line each.
    #[must_use]
    pub fn is_worth_an_audit_line(&self) -> bool {
        !matches!(self, Self::HungUp | Self::TooMany)
    }

    pub(super) fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::InvalidMessage(_) => Self::Plaintext,
            rustls::Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            ) => Self::OldTls,
            rustls::Error::AlertReceived(alert) => Self::RefusedByClient(format!("{alert:?}")),
            other => Self::Broken(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            CertificateError::Revoked => Self::Revoked,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            CertificateError::ApplicationVerificationFailure => Self::NobodyOfOurs,
            other => Self::Broken(other.to_string()),
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HungUp => f.write_str("it hung up before the handshake"),
            Self::TooSlow => f.write_str("it did not finish the TLS handshake within 10 s"),
            Self::TooMany => f.write_str("too many handshakes are under way"),
            Self::Plaintext => f.write_str("it speaks plaintext; there is no plaintext mode"),
            Self::OldTls => f.write_str("it speaks TLS 1.2 or older; only TLS 1.3 is accepted"),
            Self::UnknownAuthority => {
                f.write_str("its certificate is signed by an authority that is not ours")
            }
            Self::Revoked => f.write_str("its certificate has been revoked"),
            Self::Expired => f.write_str("its certificate has expired"),
            Self::NotYetValid => {
                f.write_str("its certificate is not valid yet: do the clocks agree?")
            }
            Self::WrongPurpose => f.write_str("its certificate is not made for clients"),
            Self::NobodyOfOurs => {
                f.write_str("its certificate names no host or operator of this fleet")
            }
            Self::RefusedByClient(alert) => {
                write!(f, "it refused our certificate (TLS alert {alert})")
            }
            Self::Broken(text) => write!(f, "the TLS handshake failed: {text}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if let Some(claimed) = &self.claimed {
            let Certificate {
                identity,
                serial,
                expires_at,
                ..
            } = claimed;
            let until = expires_at.format("%Y-%m-%d %H:%M:%SZ");
            write!(f, " (it says {identity}, serial {serial}, until {until})")?;
        }
        Ok(())
    }
}
