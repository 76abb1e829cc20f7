//! Who a process is: the name in its certificate.
//!
//! Every certificate of the authority carries exactly one URI name, `holdfast://host/web-1`,
//! `holdfast://operator/alice?role=admin` or `holdfast://controller/main`. Nothing that a
//! message says about its sender is ever believed; the certificate is.

use std::{fmt, str::FromStr};

mod authority;
mod certificate;
mod credentials;
mod key;
mod private_file;
mod token;

pub use authority::{Authority, AuthorityError, Validity};
pub use certificate::{Certificate, CertificateError, renew_at};
pub use credentials::{Credentials, CredentialsError};
pub use key::{KeyError, NewKey};
pub use private_file::{PrivateFileError, read_private, write_private};
pub use token::{EnrolmentToken, Fingerprint, Secret, TokenError};

/// DNS name that every controller's certificate carries; clients verify it whatever address they dial.
pub const CONTROLLER_NAME: &str = "controller.holdfast.internal";

/// Read from the peer's certificate by the TLS acceptor and put into each request's extensions.
///
/// Displayed as the audit log names an actor: `host/web-1`, `operator/alice`, `controller`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    Host(String),
    Operator { name: String, role: Role },
    Controller,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Viewer,
    Operator,
    Admin,
}

/// Why a text names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("{0:?} is not the name of a host, an operator or a controller of Holdfast")]
    NotOurs(String),
    #[error("{0:?} is not a role: viewer, operator or admin")]
    Role(String),
}

impl Identity {
    /// The URI that stands in the certificate.
    #[must_use]
    pub fn to_uri(&self) -> String {
        match self {
            Self::Host(name) => format!("holdfast://host/{name}"),
            Self::Operator { name, role } => format!("holdfast://operator/{name}?role={role}"),
            Self::Controller => "holdfast://controller/main".to_owned(),
        }
    }

    /// Reads [`Identity::to_uri`] back.
    ///
    /// # Errors
    /// Anything that this program would not have written itself.
    pub fn from_uri(uri: &str) -> Result<Self, IdentityError> {
        let wrong = || IdentityError::NotOurs(uri.to_owned());
        let rest = uri.strip_prefix("holdfast://").ok_or_else(wrong)?;
        let (kind, rest) = rest.split_once('/').ok_or_else(wrong)?;
        match (kind, rest.split_once("?role=")) {
            ("host", None) if is_name(rest) => Ok(Self::Host(rest.to_owned())),
            ("operator", Some((name, role))) if is_name(name) => Ok(Self::Operator {
                name: name.to_owned(),
                role: role.parse()?,
            }),
            ("controller", None) if rest == "main" => Ok(Self::Controller),
            _ => Err(wrong()),
        }
    }

    /// DNS name under which this identity answers as a TLS server; operators do not.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        match self {
            Self::Host(name) => Some(host_server_name(name)),
            Self::Controller => Some(CONTROLLER_NAME.to_owned()),
            Self::Operator { .. } => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => write!(f, "host/{name}"),
            Self::Operator { name, .. } => write!(f, "operator/{name}"),
            Self::Controller => f.write_str("controller"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            _ => Err(IdentityError::Role(text.to_owned())),
        }
    }
}

/// DNS name that the certificate of a host carries: `web-1.host.holdfast.internal`.
#[must_use]
pub fn host_server_name(host: &str) -> String {
    format!("{host}.host.holdfast.internal")
}

fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uris_read_back() {
        for identity in [
            Identity::Host("web-1".into()),
            Identity::Operator {
                name: "alice.b".into(),
                role: Role::Admin,
            },
            Identity::Controller,
        ] {
            assert_eq!(Identity::from_uri(&identity.to_uri()), Ok(identity));
        }
    }

    #[test]
    fn what_we_would_not_write_is_nobody() {
        for uri in [
            "",
            "https://host/web-1",
            "holdfast://host/",
            "holdfast://host/web-1?role=admin",
            "holdfast://host/web-1/admin",
            "holdfast://operator/alice",
            "holdfast://operator/alice?role=root",
            "holdfast://operator/alice?role=admin&role=viewer",
            "holdfast://controller/other",
            "holdfast://host/WEB",
        ] {
            assert!(Identity::from_uri(uri).is_err(), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn a_uri_has_one_reading(uri in "holdfast://(host|operator|controller)/[a-z0-9?=/.-]{0,30}") {
            if let Ok(identity) = Identity::from_uri(&uri) {
                prop_assert_eq!(identity.to_uri(), uri);
            }
        }
    }
}
