//! The sender's end: direct where the other agent is reached, through the controller where not.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use holdfast_chassis::{identity::host_server_name, tls::client_channel};
use holdfast_proto::{
    image::{DataPath, ImageStream, OpenStream, Receipt, StreamMessage},
    task::SendImage,
    wire::{SendRequest, peer_client::PeerClient as WirePeer},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::transport::Channel;
use tracing::{debug, info};

use super::{LARGEST_MESSAGE, Peers, status};
use crate::{
    engine::postgres::image::{ImagePeer, Piece, SendError},
    link,
};

/// For one address of the other agent.
const DIRECT_CONNECT: Duration = Duration::from_secs(3);

pub(super) struct PeerClient {
    peers: Peers,
    host: String,
    addresses: Vec<String>,
    grant: Vec<u8>,
    sender_run: String,
    way: tokio::sync::Mutex<Option<Way>>,
    path: Arc<Mutex<Option<DataPath>>>,
}

#[derive(Clone)]
enum Way {
    Direct(Channel),
    Relay(Channel),
}

impl PeerClient {
    pub(super) fn new(peers: Peers, spec: &SendImage, sender_run: String) -> Self {
        Self {
            peers,
            host: spec.peer_host.clone(),
            addresses: spec.peer_addresses.clone(),
            grant: spec.grant.clone(),
            sender_run,
            way: tokio::sync::Mutex::new(None),
            path: Arc::default(),
        }
    }

    /// The way that works, or a new one: direct is tried before the relay every time.
    async fn way(&self) -> Result<Way, SendError> {
        let mut way = self.way.lock().await;
        if let Some(way) = &*way {
            return Ok(way.clone());
        }
        let found = match self.direct().await {
            Ok(channel) => Way::Direct(channel),
            Err(reason) => {
                info!(
                    peer = self.host,
                    reason, "the other agent is not reached, going through the controller"
                );
                Way::Relay(self.controller(&reason).await?)
            }
        };
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.path());
        *way = Some(found.clone());
        Ok(found)
    }

    async fn direct(&self) -> Result<Channel, String> {
        let name = host_server_name(&self.host);
        let mut reasons = Vec::new();
        for address in &self.addresses {
            let channel = client_channel(address, &name, &self.peers.identity, &self.peers.roots);
            match timeout(DIRECT_CONNECT, channel).await {
                Ok(Ok(channel)) => {
                    debug!(peer = self.host, address, "connected to the other agent");
                    return Ok(channel);
                }
                Ok(Err(error)) => reasons.push(format!("{address}: {error}")),
                Err(_) => reasons.push(format!(
                    "{address}: no answer within {} s",
                    DIRECT_CONNECT.as_secs()
                )),
            }
        }
        if reasons.is_empty() {
            return Err("it does not listen for other agents".to_owned());
        }
        Err(reasons.join("; "))
    }

    async fn controller(&self, direct: &str) -> Result<Channel, SendError> {
        let mut reason = String::from("no controller is known");
        for address in self.peers.controllers.iter() {
            match client_channel(
                address,
                link::CONTROLLER,
                &self.peers.identity,
                &self.peers.roots,
            )
            .await
            {
                Ok(channel) => return Ok(channel),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(SendError::Lost(format!(
            "neither directly ({direct}) nor through the controller ({reason})"
        )))
    }

    fn opening(&self, stream: ImageStream, receiver_run: &str) -> SendRequest {
        StreamMessage::Open(OpenStream {
            grant: self.grant.clone(),
            sender_run: self.sender_run.clone(),
            receiver_run: receiver_run.to_owned(),
            stream,
        })
        .into()
    }
}

#[async_trait]
impl ImagePeer for PeerClient {
    async fn send(
        &self,
        stream: ImageStream,
        receiver_run: &str,
        body: mpsc::Receiver<Piece>,
    ) -> Result<Receipt, SendError> {
        let way = self.way().await?;
        let opening = self.opening(stream, receiver_run);
        let pieces = ReceiverStream::new(body).map(|piece| match piece {
            Piece::Data(data) => StreamMessage::Data(data).into(),
            Piece::Close(close) => StreamMessage::Close(close).into(),
        });
        let messages = tokio_stream::once(opening).chain(pieces);
        let answer = match way {
            Way::Direct(channel) => {
                let mut peer = WirePeer::new(channel).max_encoding_message_size(LARGEST_MESSAGE);
                peer.send(messages).await
            }
            Way::Relay(channel) => link::client(channel).relay_send(messages).await,
        };
        match answer {
            Ok(response) => Receipt::try_from(response.into_inner())
                .map_err(|error| SendError::Lost(format!("the receipt makes no sense: {error}"))),
            Err(status) => {
                let error = status::into_error(&status);
                if matches!(error, SendError::Lost(_)) {
                    // Next time every way is tried again.
                    *self.way.lock().await = None;
                }
                Err(error)
            }
        }
    }

    fn path(&self) -> Option<DataPath> {
        *self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn path(&self) -> DataPath {
        match self {
            Self::Direct(_) => DataPath::Direct,
            Self::Relay(_) => DataPath::Relay,
        }
    }
}
