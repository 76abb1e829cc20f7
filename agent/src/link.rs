//! The one session with the controller: dialled, kept, dialled again.
//!
//! The agent dials, so a host needs no open port. Whatever was told to a session that broke is told again to
//! the next: a full snapshot first, and tasks are joined by their ids.

mod session;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_chassis::{
    clock::SharedClock,
    retry::Policy,
    tls::{ConnectError, Roots, RotatingIdentity, client_channel},
};
use holdfast_proto::{
    check::{CheckOutcome, ScheduledCheck},
    guard::{GuardRefusal, Protection},
    link::{Hello, RegisteredInstance},
    wire::agent_link_client::AgentLinkClient,
};
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{info, warn};

use crate::{observe::reports::Reports, peer::Refusals, task::runtime::Runtime};

/// DNS name in the controller's certificate, whatever address it has.
pub const CONTROLLER: &str = "controller.holdfast.internal";

const REDIAL: Policy = Policy::forever(Duration::from_millis(200), Duration::from_secs(15));
/// A session that lasted so long was a good one: the next failure begins with short waits again.
const GOOD_SESSION: Duration = Duration::from_secs(30);

/// A check that ran, for the controller.
pub type CheckReport = (u64, CheckOutcome);

/// What the link works with.
#[derive(Debug)]
pub struct Parts {
    /// `host:port`, tried in turn.
    pub controllers: Vec<String>,
    pub identity: RotatingIdentity,
    pub roots: Roots,
    pub facts: Facts,
    pub clock: SharedClock,
    pub runtime: Runtime,
    pub reports: Reports,
    /// Where the controller's lists go.
    pub registered: watch::Sender<Vec<RegisteredInstance>>,
    pub checks: watch::Sender<Vec<ScheduledCheck>>,
    /// None: the controller has not told any yet.
    pub protections: watch::Sender<Option<Vec<Protection>>>,
    /// Outcomes of checks; what a lost session did not take waits here.
    pub check_reports: mpsc::Receiver<CheckReport>,
    pub refusals: Refusals,
    /// What the guard has refused and the controller does not have; changed whenever it is to be told (again).
    pub untold: watch::Receiver<Vec<GuardRefusal>>,
    /// Until when the controller has it.
    pub stored: watch::Sender<Option<DateTime<Utc>>>,
}

/// What a Hello says that does not change while the process lives.
#[derive(Debug, Clone)]
pub struct Facts {
    pub host: String,
    pub run_id: String,
    pub started_at: DateTime<Utc>,
    pub operating_system: String,
    pub kernel: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// Where other agents reach this one; empty: at the address that the controller sees.
    pub advertise: Vec<String>,
    /// Port of the listener for other agents; unset when there is none.
    pub peer_port: Option<u16>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the controller ended the session: {}", .0.message())]
    Ended(#[source] Box<tonic::Status>),
    #[error("the controller did not answer for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the controller closed the session")]
    Closed,
}

/// Keeps a session until `shutdown`.
pub async fn run(parts: Parts, shutdown: CancellationToken) {
    let parts = Arc::new(SharedParts::from(parts));
    let mut waits = REDIAL.backoff();
    for controller in parts.controllers.iter().cycle() {
        let started = Instant::now();
        let ended = tokio::select! {
            () = shutdown.cancelled() => return,
            ended = one_session(&parts, controller) => ended,
        };
        if started.elapsed() > GOOD_SESSION {
            waits.reset();
        }
        let wait = waits.next().unwrap_or(GOOD_SESSION);
        warn!(controller, error = %ended, "no session with the controller; dialling again in {wait:.1?}");
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

struct SharedParts {
    controllers: Vec<String>,
    identity: RotatingIdentity,
    roots: Roots,
    facts: Facts,
    clock: SharedClock,
    runtime: Runtime,
    reports: Reports,
    registered: watch::Sender<Vec<RegisteredInstance>>,
    checks: watch::Sender<Vec<ScheduledCheck>>,
    protections: watch::Sender<Option<Vec<Protection>>>,
    check_reports: Mutex<mpsc::Receiver<CheckReport>>,
    refusals: Refusals,
    untold: watch::Receiver<Vec<GuardRefusal>>,
    stored: watch::Sender<Option<DateTime<Utc>>>,
}

impl From<Parts> for SharedParts {
    fn from(parts: Parts) -> Self {
        Self {
            controllers: parts.controllers,
            identity: parts.identity,
            roots: parts.roots,
            facts: parts.facts,
            clock: parts.clock,
            runtime: parts.runtime,
            reports: parts.reports,
            registered: parts.registered,
            checks: parts.checks,
            protections: parts.protections,
            check_reports: Mutex::new(parts.check_reports),
            refusals: parts.refusals,
            untold: parts.untold,
            stored: parts.stored,
        }
    }
}

async fn one_session(parts: &SharedParts, controller: &str) -> SessionError {
    let channel = match client_channel(controller, CONTROLLER, &parts.identity, &parts.roots).await
    {
        Ok(channel) => channel,
        Err(error) => return error.into(),
    };
    let own_address = own_address_towards(controller).await;
    info!(controller, "connected to the controller");
    session::hold(parts, client(channel), own_address).await
}

/// A client with the limits of this contract: a snapshot of a large host is a large message.
#[must_use]
pub fn client(channel: Channel) -> AgentLinkClient<Channel> {
    AgentLinkClient::new(channel)
        .max_decoding_message_size(64 << 20)
        .max_encoding_message_size(64 << 20)
}

/// The address of ours that packets to the controller leave from. Nothing is sent.
async fn own_address_towards(controller: &str) -> Option<String> {
    let socket = match tokio::net::UdpSocket::bind("0.0.0.0:0").await {
        Ok(socket) if socket.connect(controller).await.is_ok() => socket,
        _ => {
            let socket = tokio::net::UdpSocket::bind("[::]:0").await.ok()?;
            socket.connect(controller).await.ok()?;
            socket
        }
    };
    Some(socket.local_addr().ok()?.ip().to_string())
}

impl Facts {
    fn hello(&self, runtime: &Runtime, own_address: Option<String>) -> Hello {
        Hello {
            host: self.host.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: self.run_id.clone(),
            started_at: self.started_at,
            peer_addresses: self.peer_addresses(own_address),
            operating_system: self.operating_system.clone(),
            kernel: self.kernel.clone(),
            cpus: self.cpus,
            memory_bytes: self.memory_bytes,
            tasks: runtime.states(),
        }
    }

    fn peer_addresses(&self, own_address: Option<String>) -> Vec<String> {
        match (self.peer_port, self.advertise.is_empty()) {
            (None, _) => Vec::new(),
            (Some(_), false) => self.advertise.clone(),
            (Some(port), true) => own_address
                .map(|ip| {
                    if ip.contains(':') {
                        format!("[{ip}]:{port}")
                    } else {
                        format!("{ip}:{port}")
                    }
                })
                .into_iter()
                .collect(),
        }
    }
}
