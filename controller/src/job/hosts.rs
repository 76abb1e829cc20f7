//! What steps need to know of hosts, besides running tasks on them.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use holdfast_proto::names::HostName;

use crate::{detect::HostFacts, fleet::Fleet};

/// How a host stands with this controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No host of this name is enrolled.
    Unknown,
    /// Enrolled, without a live session; when it was heard of last, if ever.
    Away { last_seen_at: Option<DateTime<Utc>> },
    /// `host:port` where other agents may reach it; empty when it does not listen.
    Connected { peer_addresses: Vec<String> },
}

/// The fleet as jobs see it.
pub trait Hosts: Debug + Send + Sync {
    /// How the host stands now.
    fn standing(&self, host: &HostName) -> Standing;

    /// The host as it was reported last; none: there is no such host.
    fn facts(&self, host: &HostName) -> Option<HostFacts>;
}

impl Hosts for Fleet {
    fn facts(&self, host: &HostName) -> Option<HostFacts> {
        self.host(host).ok().map(|state| HostFacts::from(&*state))
    }

    fn standing(&self, host: &HostName) -> Standing {
        match self.host(host) {
            Err(_) => Standing::Unknown,
            Ok(state) if state.connected => Standing::Connected {
                peer_addresses: state
                    .facts
                    .as_ref()
                    .map(|facts| facts.peer_addresses.clone())
                    .unwrap_or_default(),
            },
            Ok(state) => Standing::Away {
                last_seen_at: state.last_seen,
            },
        }
    }
}
