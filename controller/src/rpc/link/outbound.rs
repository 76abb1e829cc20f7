//! What an agent hears in a session: its queue, and at the end why the session is over.

use std::sync::Arc;

use futures::stream::unfold;
use holdfast_proto::{link::ControllerMessage, wire::SessionResponse};
use tokio::sync::mpsc;
use tonic::Status;

use super::Answer;
use crate::dispatch::sessions::{EndReason, Session};

/// Ends with a status when the session has been ended from this side.
pub fn stream(
    session: Arc<Session>,
    inbox: mpsc::Receiver<ControllerMessage>,
) -> Answer<SessionResponse> {
    Box::pin(unfold(Some((session, inbox)), |open| async {
        let (session, mut inbox) = open?;
        let next = tokio::select! {
            biased;
            reason = session.ended() => Err(status(reason)),
            message = inbox.recv() => Ok(message?),
        };
        match next {
            Ok(message) => Some((Ok(message.into()), Some((session, inbox)))),
            Err(over) => Some((Err(over), None)),
        }
    }))
}

fn status(reason: EndReason) -> Status {
    let text = format!("this session is over: {reason}");
    match reason {
        EndReason::Replaced => Status::aborted(text),
        EndReason::Revoked => Status::unauthenticated(text),
        EndReason::Slow => Status::resource_exhausted(text),
        EndReason::Nonsense => Status::invalid_argument(text),
        EndReason::Shutdown | EndReason::Silent | EndReason::Lost => Status::unavailable(text),
    }
}
