//! The receiver's end of the way through the controller: calls that wait there for streams.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use holdfast_chassis::{retry::Policy, tls::client_channel};
use holdfast_proto::wire::{
    RelayFailure, RelayReceiveRequest, RelayReceiveResponse, RelayWait,
    relay_receive_request::Message,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};
use tracing::debug;

use super::{Peers, server, status};
use crate::{engine::postgres::image::ImageSink, link};

/// How long the controller may take to end a call that has been answered.
const ANSWERED: Duration = Duration::from_secs(10);
const AGAIN: Policy = Policy::forever(Duration::from_millis(200), Duration::from_secs(5));

/// Waits for streams at the controller, one after the other, for ever.
pub(super) async fn wait_for_streams(peers: Peers, grant: Vec<u8>, reception: Arc<dyn ImageSink>) {
    let mut waits = AGAIN.backoff();
    let mut channel = None;
    loop {
        let served = match channel_to_controller(&peers, &mut channel).await {
            Ok(channel) => one_stream(channel, &grant, &reception).await,
            Err(status) => Err(status),
        };
        match served {
            Ok(()) => waits.reset(),
            Err(status) => {
                debug!(%status, "a wait at the controller for a stream has ended");
                channel = None;
                sleep(waits.next().unwrap_or(Duration::from_secs(5))).await;
            }
        }
    }
}

async fn channel_to_controller(
    peers: &Peers,
    known: &mut Option<Channel>,
) -> Result<Channel, Status> {
    if let Some(channel) = known {
        return Ok(channel.clone());
    }
    let mut reason = String::from("no controller is known");
    for address in peers.controllers.iter() {
        match client_channel(address, link::CONTROLLER, &peers.identity, &peers.roots).await {
            Ok(channel) => return Ok(known.insert(channel).clone()),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(Status::unavailable(reason))
}

async fn one_stream(
    channel: Channel,
    grant: &[u8],
    reception: &Arc<dyn ImageSink>,
) -> Result<(), Status> {
    let (outbox, outbound) = mpsc::channel(2);
    let wait = Message::Wait(RelayWait {
        grant: grant.to_vec(),
    });
    tell(&outbox, wait).await?;
    let mut inbound = link::client(channel)
        .relay_receive(ReceiverStream::new(outbound))
        .await?
        .into_inner();
    let Some(RelayReceiveResponse { sender, request }) = inbound.message().await? else {
        return Ok(());
    };
    let open = server::opening(request)?;
    let mut rest = inbound.map(|message| {
        let RelayReceiveResponse { request, .. } = message?;
        request.ok_or_else(|| Status::invalid_argument("an empty message"))
    });
    // The call is held to its end: letting go of its messages would cut off our answer.
    let (pieces, body) = mpsc::channel(2);
    let hand_on = async {
        while let Some(message) = rest.next().await {
            if pieces.send(message).await.is_err() {
                break;
            }
        }
        drop(pieces);
        std::future::pending::<()>().await;
    };
    let body = server::body(ReceiverStream::new(body));
    let accepted = tokio::select! {
        accepted = Arc::clone(reception).take(&sender, open, body) => accepted,
        () = hand_on => return Err(Status::internal("the call ended by itself")),
    };
    let answer = match accepted {
        Ok(receipt) => Message::Receipt(receipt.into()),
        Err(refusal) => {
            let status = status::from_refusal(&refusal);
            Message::Failure(RelayFailure {
                code: status.code().into(),
                message: status.message().to_owned(),
            })
        }
    };
    tell(&outbox, answer).await?;
    // The controller ends the call when it has the answer.
    let ended = async { while let Some(Ok(_)) = rest.next().await {} };
    let _ = tokio::time::timeout(ANSWERED, ended).await;
    Ok(())
}

async fn tell(outbox: &mpsc::Sender<RelayReceiveRequest>, message: Message) -> Result<(), Status> {
    let message = RelayReceiveRequest {
        message: Some(message),
    };
    outbox
        .send(message)
        .await
        .map_err(|_| Status::unavailable("the call has ended"))
}
