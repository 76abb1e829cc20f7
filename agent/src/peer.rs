//! Bytes between agents: the named streams of an image, direct or through the controller.
//!
//! The sender dials. Who may send what is decided by the grant, a secret of one job that the controller gave
//! to both ends, and by the name in the sender's certificate.

mod client;
mod grants;
mod refusals;
mod relay;
mod server;
mod status;

use std::{io, net::SocketAddr, sync::Arc};

use holdfast_chassis::{
    clock::SharedClock,
    tls::{Revoked, Roots, RootsError, RotatingIdentity, ServerTls, serve_incoming},
};
use holdfast_proto::{task::SendImage, wire::peer_server::PeerServer};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

pub use self::{grants::Grants, refusals::Refusals};
use crate::engine::postgres::image::{ImagePeer, ImageSink};

/// Room for one message: at most 1 MiB of data and its frame, or a plan of many tables.
const LARGEST_MESSAGE: usize = 64 << 20;

/// How this agent reaches others, and is reached. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peers {
    pub identity: RotatingIdentity,
    pub roots: Roots,
    /// `host:port` of the controllers, for the way through them.
    pub controllers: Arc<[String]>,
    pub grants: Grants,
    /// What the controller's audit log is to hear.
    pub refusals: Refusals,
}

/// Streams with the grant are taken as long as it lives.
#[derive(Debug)]
pub struct Receiving {
    _granted: grants::Granted,
    _relays: DropGuard,
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen for other agents at {address}: {source}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot make TLS for other agents")]
    Tls(#[from] RootsError),
}

impl Peers {
    /// Takes the streams that carry the grant, whichever way they come.
    ///
    /// `calls` waits at the controller at once: one for each stream that a sender may have open.
    #[must_use]
    pub fn receive(&self, grant: &[u8], calls: u32, reception: Arc<dyn ImageSink>) -> Receiving {
        let stop = CancellationToken::new();
        for _ in 0..calls {
            let call =
                relay::wait_for_streams(self.clone(), grant.to_vec(), Arc::clone(&reception));
            let stop = stop.clone();
            tokio::spawn(async move { Box::pin(stop.run_until_cancelled(call)).await });
        }
        Receiving {
            _granted: self.grants.grant(grant, reception),
            _relays: stop.drop_guard(),
        }
    }

    /// The receiver of an image, for the one run of a sender.
    #[must_use]
    pub fn sender(&self, spec: &SendImage, sender_run: String) -> Arc<dyn ImagePeer> {
        Arc::new(client::PeerClient::new(self.clone(), spec, sender_run))
    }

    /// Serves other agents until `shutdown`.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn serve(
        self,
        address: SocketAddr,
        clock: SharedClock,
        shutdown: CancellationToken,
    ) -> Result<(), ListenError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ListenError::Bind { address, source })?;
        // Revocation reaches a host with the next grant that is not given: a grant is one job's, and short.
        let tls = ServerTls::new(
            self.identity.clone(),
            &self.roots,
            Revoked::default(),
            clock,
        )?;
        let refusals = self.refusals.clone();
        let incoming = serve_incoming(listener, tls, move |refusal| {
            if refusal.reason.is_worth_an_audit_line() {
                let actor = refusal.address.ip().to_string();
                refusals.note(&actor, "a connection", &refusal.to_string());
            }
            warn!(address = %refusal.address, reason = %refusal.reason, "another agent was refused");
        });
        info!(%address, "listening for other agents");
        let service = PeerServer::new(server::Streams {
            grants: self.grants,
            refusals: self.refusals,
        })
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
        let served = holdfast_chassis::tls::server()
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
            .await;
        if let Err(error) = served {
            warn!(%error, "the listener for other agents ended");
        }
        Ok(())
    }
}
