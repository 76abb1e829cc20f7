//! mTLS, TLS 1.3 only, with identities that rotate while connections live.
//!
//! tonic is used without its own TLS: it could neither swap certificates nor say why a peer was
//! refused. A client dials with [`client_channel`]; a server takes its connections from
//! [`serve_incoming`] and finds a [`PeerInfo`] in the extensions of each request.

use std::{sync::Arc, time::Duration};

use rustls::{crypto::CryptoProvider, pki_types::UnixTime, time_provider::TimeProvider};

use crate::clock::SharedClock;

mod client;
mod connect_error;
mod enrol;
mod peer;
mod refusal;
mod roots;
mod rotating;
mod server;
mod verify;

pub use client::client_channel;
pub use connect_error::{ConnectError, Problem, connect_error};
pub use enrol::{EnrolError, Enrolled, accept_answer, enrolment_channel};
pub use peer::{PeerInfo, WrongPeer, require_identity};
pub use refusal::{Refusal, RefusalReason};
pub use roots::{Roots, RootsError};
pub use rotating::RotatingIdentity;
pub use server::{Incoming, ServerIo, ServerTls, serve_incoming, server};
pub use verify::Revoked;

/// HTTP/2 flow control of one stream: bytes on the way before the reader must say that it goes on.
pub const STREAM_WINDOW: u32 = 8 << 20;
/// The same for all streams of a connection.
pub const CONNECTION_WINDOW: u32 = 16 << 20;
/// Largest HTTP/2 frame taken.
pub const FRAME: u32 = 1 << 20;
/// A connection that was silent so long is asked for a sign of life …
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// … and given up when none comes so long after. Longer than the interval, because on a slow
/// line the question waits behind the data that are already in the socket.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// For everything from the first packet to the end of the handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

const ALPN: &[u8] = b"h2";

/// The one choice of cryptography: ring.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Certificates are judged by the clock of the process, which tests set.
#[derive(Debug)]
struct ClockTime(SharedClock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().timestamp()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
