//! What a gRPC status means to an operator.

use std::time::Duration;

use holdfast_chassis::tls::connect_error;
use holdfast_proto::WireError;
use tonic::{Code, Status};

use crate::{exit::Exit, failure::Failure};

/// Metadata in which the controller says what to do next.
const ADVICE: &str = "holdfast-advice";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    pub problem: CallProblem,
    pub message: String,
    /// From the controller.
    pub told_advice: Option<String>,
    /// The nearest name to the one that was not found.
    pub suggestion: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallProblem {
    Invalid,
    NotFound,
    Refused,
    Conflict,
    Exhausted,
    Unreachable,
    TimedOut(Duration),
    /// The controller does not know this call.
    TooOld,
    /// The answer makes no sense to this version.
    Nonsense,
    Unexpected,
}

/// Says of a failed call what it was for.
pub trait Doing<T> {
    /// # Errors
    /// The same, as a [`Failure`].
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl CallError {
    #[must_use]
    pub fn of(problem: CallProblem) -> Self {
        let message = match problem {
            CallProblem::TimedOut(limit) => format!(
                "the controller did not answer within {}",
                humantime::format_duration(limit)
            ),
            other => format!("{other:?}"),
        };
        Self {
            problem,
            message,
            told_advice: None,
            suggestion: None,
        }
    }

    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let told_advice = status
            .metadata()
            .get(ADVICE)
            .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
            .map(|advice| advice.trim().to_owned())
            .filter(|advice| !advice.is_empty());
        let message = match connect_error(status) {
            Some(lost) => lost.to_string(),
            None if status.message().is_empty() => words_for(status.code()).to_owned(),
            None => status.message().to_owned(),
        };
        Self {
            problem: problem_of(status.code()),
            message,
            told_advice,
            suggestion: None,
        }
    }

    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.problem {
            CallProblem::Invalid => Exit::Usage,
            CallProblem::NotFound => Exit::NotFound,
            CallProblem::Refused => Exit::Refused,
            CallProblem::Conflict | CallProblem::Exhausted => Exit::Conflict,
            CallProblem::Unreachable | CallProblem::TimedOut(_) => Exit::Unreachable,
            CallProblem::TooOld | CallProblem::Nonsense | CallProblem::Unexpected => {
                Exit::Unexpected
            }
        }
    }

    /// The controller's words, or ours when it said nothing.
    #[must_use]
    pub fn advice(&self) -> String {
        if let Some(told) = &self.told_advice {
            return told.clone();
        }
        match self.problem {
            CallProblem::Unreachable => {
                "on the controller's machine: systemctl status holdfast-controller"
            }
            CallProblem::TimedOut(_) => {
                "it may have been taken all the same: ctl job list shows it; give it longer with --timeout"
            }
            CallProblem::TooOld | CallProblem::Nonsense => {
                "ctl version compares both ends; use the ctl of the controller's release"
            }
            CallProblem::Unexpected => "the controller's log says more; -v prints the trace id",
            CallProblem::Refused => "ctl context list shows who you are there, and your role",
            CallProblem::Invalid
            | CallProblem::NotFound
            | CallProblem::Conflict
            | CallProblem::Exhausted => "",
        }
        .to_owned()
    }

    /// Watching can go on when the controller is back.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self.problem,
            CallProblem::Unreachable | CallProblem::TimedOut(_)
        )
    }
}

impl<T> Doing<T> for Result<T, CallError> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|cause| Failure::Call {
            doing: what(),
            cause,
        })
    }
}

impl From<WireError> for CallError {
    fn from(error: WireError) -> Self {
        Self {
            message: format!("the controller's answer makes no sense here: {error}"),
            ..Self::of(CallProblem::Nonsense)
        }
    }
}

fn problem_of(code: Code) -> CallProblem {
    match code {
        Code::InvalidArgument | Code::OutOfRange => CallProblem::Invalid,
        Code::NotFound => CallProblem::NotFound,
        Code::PermissionDenied | Code::Unauthenticated => CallProblem::Refused,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => CallProblem::Conflict,
        Code::ResourceExhausted => CallProblem::Exhausted,
        Code::Unavailable | Code::DeadlineExceeded => CallProblem::Unreachable,
        Code::Unimplemented => CallProblem::TooOld,
        Code::Ok | Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            CallProblem::Unexpected
        }
    }
}

fn words_for(code: Code) -> &'static str {
    match code {
        Code::Unimplemented => "the controller does not know this request",
        Code::Unavailable => "the controller went away",
        Code::PermissionDenied | Code::Unauthenticated => "the controller refuses it",
        other => other.description(),
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::{CallError, CallProblem};
    use crate::exit::Exit;

    #[test]
    fn every_status_has_its_exit_code() {
        let exit = |code| CallError::from_status(&Status::new(code, "why")).exit();
        assert_eq!(exit(Code::NotFound), Exit::NotFound);
        assert_eq!(exit(Code::PermissionDenied), Exit::Refused);
        assert_eq!(exit(Code::Unauthenticated), Exit::Refused);
        assert_eq!(exit(Code::FailedPrecondition), Exit::Conflict);
        assert_eq!(exit(Code::AlreadyExists), Exit::Conflict);
        assert_eq!(exit(Code::Unavailable), Exit::Unreachable);
        assert_eq!(exit(Code::DeadlineExceeded), Exit::Unreachable);
        assert_eq!(exit(Code::InvalidArgument), Exit::Usage);
        assert_eq!(exit(Code::Internal), Exit::Unexpected);
        assert_eq!(exit(Code::Unimplemented), Exit::Unexpected);
    }

    #[test]
    fn the_controllers_advice_comes_before_ours() {
        let mut status = Status::unavailable("host web-1 is silent");
        assert!(
            CallError::from_status(&status)
                .advice()
                .contains("systemctl")
        );
        status
            .metadata_mut()
            .insert("holdfast-advice", "start its agent".parse().expect("ascii"));
        let error = CallError::from_status(&status);
        assert_eq!(error.advice(), "start its agent");
        assert_eq!(error.to_string(), "host web-1 is silent");
        assert_eq!(error.problem, CallProblem::Unreachable);
    }

    #[test]
    fn an_empty_message_gets_words() {
        let error = CallError::from_status(&Status::unimplemented(""));
        assert_eq!(
            error.to_string(),
            "the controller does not know this request"
        );
    }
}
