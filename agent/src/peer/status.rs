//! Between a refusal and a gRPC status, both ways.

use holdfast_proto::task::FailureKind;
use tonic::{Code, Status};

use crate::engine::postgres::{image::SendError, receive::Refusal};

/// Each kind of failure and the code it travels as. `Unavailable` itself is left to the network: what the
/// receiver says of a server of its own that is away travels as `DeadlineExceeded`, which no call of ours gives.
const CODES: [(FailureKind, Code); 8] = [
    (FailureKind::Invalid, Code::InvalidArgument),
    (FailureKind::Conflict, Code::FailedPrecondition),
    (FailureKind::Unavailable, Code::DeadlineExceeded),
    (FailureKind::Exhausted, Code::ResourceExhausted),
    (FailureKind::DataMismatch, Code::DataLoss),
    (FailureKind::Cancelled, Code::OutOfRange),
    (FailureKind::Refused, Code::PermissionDenied),
    (FailureKind::Internal, Code::Unimplemented),
];

pub(super) fn from_refusal(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Interrupted(_) => Status::aborted(refusal.to_string()),
        Refusal::No { kind, message, .. } => {
            let code = CODES
                .iter()
                .find(|(known, _)| known == kind)
                .map_or(Code::Unknown, |(_, code)| *code);
            Status::new(code, message)
        }
    }
}

/// What a call gave that did not give a receipt. Whatever the network made of it can be tried again.
pub(super) fn into_error(status: &Status) -> SendError {
    match CODES.iter().find(|(_, code)| *code == status.code()) {
        Some((kind, _)) => SendError::Refused {
            kind: *kind,
            message: status.message().to_owned(),
        },
        None => SendError::Lost(words(status)),
    }
}

fn words(status: &Status) -> String {
    let told = holdfast_chassis::tls::connect_error(status).map(ToString::to_string);
    told.unwrap_or_else(|| match status.message() {
        "" => format!("the call ended with {:?}", status.code()),
        message => message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::postgres::image::Interrupted;

    #[test]
    fn a_refusal_arrives_as_what_it_was() {
        for (kind, _) in CODES {
            let status = from_refusal(&Refusal::No {
                kind,
                message: "no".into(),
                retryable: false,
            });
            assert_eq!(
                into_error(&status),
                SendError::Refused {
                    kind,
                    message: "no".into()
                }
            );
        }
    }

    #[test]
    fn what_broke_on_the_way_can_be_sent_again() {
        let interrupted = from_refusal(&Refusal::Interrupted(Interrupted("cable".into())));
        for status in [
            interrupted,
            Status::unavailable("x"),
            Status::internal("h2"),
            Status::unknown("x"),
            Status::cancelled("x"),
            // The receiver's task may begin a moment after the sender's.
            Status::not_found("no image is expected"),
        ] {
            assert!(
                matches!(into_error(&status), SendError::Lost(_)),
                "{status}"
            );
        }
    }
}
