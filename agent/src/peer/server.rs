//! Streams from other agents that reach this one.

use futures::{Stream, StreamExt as _};
use holdfast_chassis::tls::PeerInfo;
use holdfast_proto::{
    image::{OpenStream, StreamMessage},
    wire::{SendRequest, SendResponse, peer_server::Peer},
};
use tonic::{Request, Response, Status, Streaming};

use super::{Grants, Refusals, status};
use crate::engine::postgres::image::{Body, Interrupted, Piece};

/// What a caller wants of this agent.
const WHAT: &str = "to bring an image";

#[derive(Debug)]
pub(super) struct Streams {
    pub(super) grants: Grants,
    pub(super) refusals: Refusals,
}

#[tonic::async_trait]
impl Peer for Streams {
    async fn send(
        &self,
        request: Request<Streaming<SendRequest>>,
    ) -> Result<Response<SendResponse>, Status> {
        let peer = PeerInfo::of(&request)?.clone();
        let sender = match peer.host() {
            Ok(name) => name.to_owned(),
            Err(wrong) => {
                self.refusals.note(&peer.actor(), WHAT, &wrong.to_string());
                return Err(wrong.into());
            }
        };
        let mut inbound = request.into_inner();
        let open = opening(inbound.message().await?)?;
        // No line for a grant that is not here: the receiver's task may begin a moment after the sender's.
        let reception = self
            .grants
            .find(&open.grant)
            .ok_or_else(|| Status::not_found("no image is expected here under this grant"))?;
        if let Err(refusal) = reception.check_sender(&sender) {
            let actor = peer.actor();
            self.refusals.note(&actor, WHAT, &refusal.to_string());
            return Err(status::from_refusal(&refusal));
        }
        let receipt = reception
            .take(&sender, open, body(inbound))
            .await
            .map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(Response::new(receipt.into()))
    }
}

/// The first message of a stream.
pub(super) fn opening(first: Option<SendRequest>) -> Result<OpenStream, Status> {
    let first =
        first.ok_or_else(|| Status::invalid_argument("the stream ended before it was opened"))?;
    match StreamMessage::try_from(first) {
        Ok(StreamMessage::Open(open)) => Ok(open),
        Ok(_) => Err(Status::invalid_argument("a stream begins with its opening")),
        Err(error) => Err(Status::invalid_argument(error.to_string())),
    }
}

/// What follows the opening.
pub(super) fn body(
    messages: impl Stream<Item = Result<SendRequest, Status>> + Send + 'static,
) -> Body {
    Box::pin(messages.map(|message| {
        let message = message.map_err(|status| Interrupted(status.message().to_owned()))?;
        match StreamMessage::try_from(message) {
            Ok(StreamMessage::Data(data)) => Ok(Piece::Data(data)),
            Ok(StreamMessage::Close(close)) => Ok(Piece::Close(close)),
            Ok(StreamMessage::Open(_)) => {
                Err(Interrupted("it was opened a second time".to_owned()))
            }
            Err(error) => Err(Interrupted(error.to_string())),
        }
    }))
}
