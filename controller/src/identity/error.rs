//! What can go wrong with identities, and the gRPC status of each.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_chassis::{
    identity::{
        AuthorityError, CredentialsError, IdentityError as NameError, KeyError, PrivateFileError,
    },
    tls::{RootsError, WrongPeer},
};
use tonic::{Code, Status};

use super::{NotAdmitted, TokenRefusal, authority_files::BEGIN_ANEW};
use crate::catalog::CatalogError;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the certificate authority could not sign")]
    Authority(#[from] AuthorityError),
    #[error("the certificate authority in {folder} cannot be used")]
    AuthorityFiles {
        folder: PathBuf,
        #[source]
        source: AuthorityError,
    },
    #[error(
        "{present} is there and {missing} is not: the certificate authority is damaged. Restore \
         both from a backup of the state directory; or remove both to begin anew, and make an empty \
         file {} (then every host and operator must enrol again)",
        present.with_file_name(BEGIN_ANEW).display()
    )]
    HalfAnAuthority { present: PathBuf, missing: PathBuf },
    #[error(
        "{certificate} and {key} are missing, and {enrolled} hosts and operators of the catalog are enrolled \
         with the certificate authority that they were. Restore both from a backup of the state directory \
         (is it the right directory?); or, to begin anew, make an empty file {anew} and start again: then every host \
         and operator must enrol again"
    )]
    AuthorityLost {
        certificate: PathBuf,
        key: PathBuf,
        enrolled: usize,
        anew: PathBuf,
    },
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error("the controller's own key could not be made")]
    Key(#[from] KeyError),
    #[error("the controller's own certificate is not usable")]
    Credentials(#[from] CredentialsError),
    #[error("the certificate authority cannot be trusted by this controller itself")]
    Roots(#[from] RootsError),
    #[error("the catalog names a subject that no controller writes")]
    Subject(#[from] NameError),
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    #[error(
        "the certificate request is not a signed PKCS#10 request; \
         is the program that sent it of this version?"
    )]
    Request(#[source] AuthorityError),
    #[error(
        "too many wrong enrolment tokens from {address}: try again in {} s",
        wait.as_secs()
    )]
    TooManyTokens { address: IpAddr, wait: Duration },
    #[error(
        "{subject} is enrolled already (certificate until {until}): \
         to enrol it anew, remove it first with `{command}`"
    )]
    AlreadyEnrolled {
        subject: String,
        until: DateTime<Utc>,
        command: String,
    },
    #[error(
        "the operator {name} has the role {role} already: to change it, remove the operator and invite again"
    )]
    AnotherRole { name: String, role: String },
    #[error("{0} is not enrolled, and no token for it is waiting")]
    NotEnrolled(String),
    #[error(
        "{0} is the last admin: nobody could enrol hosts or operators any more. \
         Invite another admin first"
    )]
    LastAdmin(String),
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    #[error(transparent)]
    WrongPeer(#[from] WrongPeer),
}

impl IdentityError {
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Catalog(error) if error.is_transient() => Code::Unavailable,
            Self::Catalog(_)
            | Self::Authority(_)
            | Self::AuthorityFiles { .. }
            | Self::HalfAnAuthority { .. }
            | Self::AuthorityLost { .. }
            | Self::File(_)
            | Self::Key(_)
            | Self::Credentials(_)
            | Self::Roots(_)
            | Self::Subject(_) => Code::Internal,
            Self::Token(_) => Code::PermissionDenied,
            Self::Request(_) => Code::InvalidArgument,
            Self::TooManyTokens { .. } => Code::ResourceExhausted,
            Self::AlreadyEnrolled { .. } | Self::AnotherRole { .. } => Code::AlreadyExists,
            Self::NotEnrolled(_) => Code::NotFound,
            Self::LastAdmin(_) => Code::FailedPrecondition,
            Self::NotAdmitted(_) => Code::Unauthenticated,
            Self::WrongPeer(WrongPeer::Nobody) => Code::Unauthenticated,
            Self::WrongPeer(_) => Code::PermissionDenied,
        }
    }

    /// Whether somebody was refused, rather than something failed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self.code(), Code::Internal | Code::Unavailable)
    }
}

impl From<IdentityError> for Status {
    /// Failures of our own are logged here, with their causes; the caller reads only what failed.
    fn from(error: IdentityError) -> Self {
        if !error.is_refusal() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "an identity request failed"
            );
        }
        Self::new(error.code(), error.to_string())
    }
}
