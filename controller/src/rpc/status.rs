//! One table from what went wrong to what the caller reads: gRPC code, words, and what to do next.

use std::error::Error;

use holdfast_chassis::telemetry::Chain;
use holdfast_proto::{
    WireError,
    names::NameError,
    task::{FailureKind, TaskFailure},
};
use tonic::{
    Code, Status,
    metadata::{Ascii, MetadataValue},
};

use crate::{
    backup_name::{BackupNameError, FindError},
    catalog::{CatalogError, VerifyError},
    check::SetError,
    fleet::LookupError,
    identity::IdentityError,
    job::JobError,
    repository::{RepositoriesError, direct::DirectError},
};

/// Metadata of a refused call that says what to do next, in UTF-8.
pub const ADVICE: &str = "holdfast-advice";

const LOOK_AT_THE_LOG: &str = "look at the controller's log; the request can be repeated";

/// Why a call was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    pub code: Code,
    pub message: String,
    /// What the caller can do next; may be empty.
    pub advice: String,
}

impl RpcError {
    pub fn new(code: Code, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            advice: advice.into(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message, "")
    }

    /// Somebody was refused, rather than something failed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self.code,
            Code::Internal | Code::Unavailable | Code::Unknown | Code::DataLoss
        )
    }

    /// A failure of ours: its causes go to the log, here and only here.
    fn ours(code: Code, error: &(dyn Error + 'static), advice: String) -> Self {
        if code == Code::Internal {
            tracing::error!(error, "a request failed");
        } else {
            tracing::warn!(error, "a request failed");
        }
        Self::new(code, error.to_string(), advice)
    }
}

impl From<RpcError> for Status {
    fn from(error: RpcError) -> Self {
        let mut status = Self::new(error.code, error.message);
        if let Some(advice) = header(&error.advice) {
            status.metadata_mut().insert(ADVICE, advice);
        }
        status
    }
}

impl From<LookupError> for RpcError {
    fn from(error: LookupError) -> Self {
        Self::new(Code::NotFound, error.to_string(), error.advice())
    }
}

impl From<WireError> for RpcError {
    fn from(error: WireError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<NameError> for RpcError {
    fn from(error: NameError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<BackupNameError> for RpcError {
    fn from(error: BackupNameError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<FindError> for RpcError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::NoSuch(error) => {
                Self::new(Code::NotFound, error.to_string(), error.advice())
            }
            FindError::Catalog(error) => error.into(),
        }
    }
}

impl From<CatalogError> for RpcError {
    fn from(error: CatalogError) -> Self {
        let code = catalog_code(&error);
        Self::ours(code, &error, LOOK_AT_THE_LOG.to_owned())
    }
}

impl From<RepositoriesError> for RpcError {
    fn from(error: RepositoriesError) -> Self {
        let (code, advice) = match error {
            RepositoriesError::Catalog(error) => return error.into(),
            RepositoriesError::None { .. } => (
                Code::NotFound,
                "`ctl repository list` shows what there is; the first backup of a host makes its own",
            ),
            RepositoriesError::Repository(ref error) if error.again() => {
                (Code::Unavailable, LOOK_AT_THE_LOG)
            }
            RepositoriesError::Moved { .. }
            | RepositoriesError::Vault(_)
            | RepositoriesError::Storage(_) => (Code::FailedPrecondition, LOOK_AT_THE_LOG),
            RepositoriesError::Repository(_) => (Code::DataLoss, LOOK_AT_THE_LOG),
        };
        if code == Code::NotFound {
            return Self::new(code, error.to_string(), advice);
        }
        tracing::warn!(error = &error as &dyn Error, "a repository cannot be used");
        Self::new(code, Chain(&error).to_string(), advice)
    }
}

impl From<DirectError> for RpcError {
    fn from(error: DirectError) -> Self {
        tracing::warn!(error = &error as &dyn Error, "a host gets no credentials");
        let advice =
            "correct what repository.direct_credentials_file names in the controller's settings";
        Self::new(Code::FailedPrecondition, Chain(&error).to_string(), advice)
    }
}

impl From<VerifyError> for RpcError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Catalog(error) => error.into(),
            VerifyError::Head(error) => {
                Self::ours(Code::Internal, &error, LOOK_AT_THE_LOG.to_owned())
            }
        }
    }
}

impl From<IdentityError> for RpcError {
    fn from(error: IdentityError) -> Self {
        if error.is_refusal() {
            Self::new(error.code(), error.to_string(), "")
        } else {
            Self::ours(error.code(), &error, LOOK_AT_THE_LOG.to_owned())
        }
    }
}

impl From<JobError> for RpcError {
    fn from(error: JobError) -> Self {
        let code = match error {
            JobError::NotFound(_) => Code::NotFound,
            JobError::Invalid(_) => Code::InvalidArgument,
            JobError::AlreadyEnded { .. }
            | JobError::AlreadyUndoing(_)
            | JobError::NotUndoable { .. }
            | JobError::UndoTooLate { .. }
            | JobError::NothingToUndo(_) => Code::FailedPrecondition,
            JobError::Catalog(error) => return error.into(),
            JobError::Replay { .. } => {
                return Self::ours(Code::Internal, &error, error.advice());
            }
        };
        Self::new(code, error.to_string(), error.advice())
    }
}

impl From<SetError> for RpcError {
    fn from(error: SetError) -> Self {
        let advice = error.advice();
        match error {
            SetError::Invalid(_) => Self::new(Code::InvalidArgument, error.to_string(), advice),
            SetError::DoesNotRun { .. } => {
                Self::new(Code::FailedPrecondition, error.to_string(), advice)
            }
            SetError::NotAsked { ref source, .. } => {
                Self::new(failure_code(source.kind), Chain(&error).to_string(), advice)
            }
            SetError::Timeout { .. } => {
                Self::new(Code::DeadlineExceeded, error.to_string(), advice)
            }
            SetError::Catalog(error) => error.into(),
        }
    }
}

impl From<TaskFailure> for RpcError {
    fn from(failure: TaskFailure) -> Self {
        let code = failure_code(failure.kind);
        if code == Code::Internal {
            return Self::ours(code, &failure, failure.advice.clone());
        }
        Self::new(code, failure.message, failure.advice)
    }
}

fn catalog_code(error: &CatalogError) -> Code {
    if error.is_transient() {
        Code::Unavailable
    } else {
        Code::Internal
    }
}

fn failure_code(kind: FailureKind) -> Code {
    match kind {
        FailureKind::Invalid => Code::InvalidArgument,
        FailureKind::Conflict => Code::FailedPrecondition,
        FailureKind::Unavailable => Code::Unavailable,
        FailureKind::Exhausted => Code::ResourceExhausted,
        FailureKind::DataMismatch => Code::DataLoss,
        FailureKind::Cancelled => Code::Cancelled,
        FailureKind::Refused => Code::PermissionDenied,
        FailureKind::Internal => Code::Internal,
    }
}

/// Header text holds no control characters; everything else travels as it is.
fn header(advice: &str) -> Option<MetadataValue<Ascii>> {
    let line: String = advice
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    MetadataValue::try_from(line.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_of(status: &Status) -> Option<String> {
        let value = status.metadata().get(ADVICE)?;
        Some(String::from_utf8(value.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn advice_travels_beside_the_words() {
        let error = LookupError::Host {
            name: "wbe-1".to_owned(),
            nearest: Some("web-1".to_owned()),
        };
        let status = Status::from(RpcError::from(error));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "there is no host \"wbe-1\"");
        assert_eq!(
            advice_of(&status).unwrap(),
            "did you mean web-1? `ctl host list` shows what there is"
        );
    }

    #[test]
    fn advice_keeps_its_letters_and_loses_its_lines() {
        let status = Status::from(RpcError::new(
            Code::NotFound,
            "x",
            "did you mean größe?\nno",
        ));
        assert_eq!(advice_of(&status).unwrap(), "did you mean größe? no");
        assert_eq!(advice_of(&Status::from(RpcError::invalid("x"))), None);
    }

    #[test]
    fn every_kind_of_failure_has_a_code_of_its_own() {
        let kinds = [
            FailureKind::Invalid,
            FailureKind::Conflict,
            FailureKind::Unavailable,
            FailureKind::Exhausted,
            FailureKind::DataMismatch,
            FailureKind::Cancelled,
            FailureKind::Refused,
            FailureKind::Internal,
        ];
        let mut codes: Vec<_> = kinds
            .iter()
            .map(|kind| failure_code(*kind) as i32)
            .collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), kinds.len());
    }
}
