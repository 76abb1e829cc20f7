//! What the agents reported last, in memory: the one place that knows the fleet without asking it.
//!
//! Each host's state is shared behind an `Arc` and replaced on change, so that readers take a
//! reference and no lock lives longer than a look at the map.

mod lookup;
mod persist;
mod recent;
mod state;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    fleet::{HostDelta, HostSnapshot},
    link::Hello,
    names::HostName,
};
use tokio::sync::watch;

pub use lookup::{LookupError, nearest};
pub use persist::Persister;
pub use recent::Recent;
pub use state::{HostFacts, HostReport, HostState, apply};

type Time = DateTime<Utc>;

/// Cheap to clone; all clones see the same fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hosts: Mutex<Hosts>,
    /// Counts changes; whoever waits for one listens here.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Hosts {
    states: BTreeMap<HostName, Arc<HostState>>,
    /// Changed since it was written to the catalog.
    unsaved: Unsaved,
}

/// What the catalog does not hold yet.
#[derive(Debug, Default)]
struct Unsaved {
    /// The whole state is to be written.
    states: BTreeSet<HostName>,
    /// Only the last sign of life and the agent's memory.
    signs: BTreeSet<HostName>,
}

impl Default for Fleet {
    fn default() -> Self {
        Self::from_known([])
    }
}

impl Fleet {
    /// A fleet as it was when the controller stopped: nobody is connected yet.
    pub fn from_known(known: impl IntoIterator<Item = HostState>) -> Self {
        let states = known
            .into_iter()
            .map(|mut state| {
                state.connected = false;
                (state.name.clone(), Arc::new(state))
            })
            .collect();
        Self {
            inner: Arc::new(Inner {
                hosts: Mutex::new(Hosts {
                    states,
                    unsaved: Unsaved::default(),
                }),
                changes: watch::Sender::new(0),
            }),
        }
    }

    /// Rings at every change; look at the fleet again when it does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Every host, by name.
    #[must_use]
    pub fn hosts(&self) -> Vec<Arc<HostState>> {
        self.lock().states.values().cloned().collect()
    }

    /// # Errors
    /// [`LookupError::Host`] with the nearest name.
    pub fn host(&self, name: &HostName) -> Result<Arc<HostState>, LookupError> {
        let hosts = self.lock();
        let found = hosts.states.get(name).cloned();
        found.ok_or_else(|| LookupError::Host {
            name: name.to_string(),
            nearest: nearest(name.as_str(), hosts.states.keys().map(HostName::as_str)),
        })
    }

    /// Whether a session with the host is open now.
    #[must_use]
    pub fn is_connected(&self, name: &HostName) -> bool {
        self.lock().states.get(name).is_some_and(|s| s.connected)
    }

    /// Where other agents may reach the host's agent ("host:port"); empty when not known.
    #[must_use]
    pub fn peer_addresses(&self, name: &HostName) -> Vec<String> {
        let state = self.lock().states.get(name).cloned();
        state
            .and_then(|s| s.facts.as_ref().map(|f| f.peer_addresses.clone()))
            .unwrap_or_default()
    }

    /// A host that may connect from now on.
    pub fn enrolled(&self, name: &HostName, at: Time) {
        self.change(name, |state| state.enrolled_at = Some(at));
    }

    /// A host that is no longer one of ours.
    pub fn removed(&self, name: &HostName) {
        {
            let mut hosts = self.lock();
            hosts.states.remove(name);
            hosts.unsaved.states.remove(name);
            hosts.unsaved.signs.remove(name);
        }
        self.ring();
    }

    pub fn connected(&self, name: &HostName, hello: &Hello, now: Time) {
        self.change(name, |state| {
            state.connected = true;
            state.last_seen = Some(now);
            state.facts = Some(HostFacts::from(hello));
        });
    }

    pub fn disconnected(&self, name: &HostName) {
        self.change_known(name, |state| state.connected = false);
    }

    /// A sign of life is no change that anybody waits for: it does not ring.
    /// `at` is the host's own time when it sent it.
    pub fn heartbeat(&self, name: &HostName, at: Time, rss_bytes: u64, now: Time) {
        let mut hosts = self.lock();
        if let Some(state) = hosts.states.get_mut(name) {
            let state = Arc::make_mut(state);
            state.last_seen = Some(now);
            state.agent_rss_bytes = rss_bytes;
            state.clock_ahead = at - now;
            hosts.unsaved.signs.insert(name.clone());
        }
    }

    pub fn snapshot(&self, name: &HostName, snapshot: HostSnapshot, now: Time) {
        self.change_known(name, |state| {
            state.report = HostReport::from(snapshot);
            state.reported_at = Some(now);
            state.last_seen = Some(now);
        });
    }

    pub fn delta(&self, name: &HostName, mut delta: HostDelta, now: Time) {
        self.change_known(name, |state| {
            state.recent.take(std::mem::take(&mut delta.events));
            apply(&mut state.report, delta);
            state.reported_at = Some(now);
            state.last_seen = Some(now);
        });
    }

    /// What changed since this was asked last: whole states, and mere signs of life.
    fn take_unsaved(&self) -> (Vec<Arc<HostState>>, Vec<Arc<HostState>>) {
        let mut hosts = self.lock();
        let Unsaved { states, mut signs } = std::mem::take(&mut hosts.unsaved);
        signs.retain(|name| !states.contains(name));
        let look_up = |names: BTreeSet<HostName>| {
            let found = names.iter().filter_map(|name| hosts.states.get(name));
            found.cloned().collect()
        };
        (look_up(states), look_up(signs))
    }

    /// Writing them failed: they are still to be written.
    fn still_unsaved(&self, states: &[Arc<HostState>]) {
        let names = states.iter().map(|state| state.name.clone());
        self.lock().unsaved.states.extend(names);
    }

    fn change(&self, name: &HostName, change: impl FnOnce(&mut HostState)) {
        {
            let mut hosts = self.lock();
            let state = hosts
                .states
                .entry(name.clone())
                .or_insert_with(|| Arc::new(HostState::unseen(name.clone(), None)));
            change(Arc::make_mut(state));
            hosts.unsaved.states.insert(name.clone());
        }
        self.ring();
    }

    /// As [`Self::change`], but a host that was removed meanwhile stays removed.
    fn change_known(&self, name: &HostName, change: impl FnOnce(&mut HostState)) {
        {
            let mut hosts = self.lock();
            let Some(state) = hosts.states.get_mut(name) else {
                return;
            };
            change(Arc::make_mut(state));
            hosts.unsaved.states.insert(name.clone());
        }
        self.ring();
    }

    /// Something else that those who wait for changes look at is new.
    pub fn ring(&self) {
        self.inner.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        // Every change leaves the map whole, so a panic elsewhere does not spoil it.
        self.inner
            .hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
