//! Has the files of servers that do not answer looked at by their agents: when they go down, and now and then while
//! they stay so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::clock::SharedClock;
use holdfast_proto::{
    fleet::{Container, ContainerState, Instance},
    names::InstanceName,
    task::{DataTriage, DataVerdict, TaskResult, TaskSpec, TriageData},
};
use tokio::sync::Semaphore;

use crate::{
    data_store::Known,
    detect::{HostFacts, data_damaged::Triaged},
    dispatch::{Dispatch, outside_jobs},
    fleet::Fleet,
    job::locks::Resource,
};

/// What does not look well is looked at a second time before anybody is told …
const SURE_AFTER: Duration = Duration::from_secs(1);
/// … and then again and again, for somebody may be mending it.
const AGAIN_AFTER: TimeDelta = TimeDelta::minutes(2);
/// What looks well stays so while nothing runs.
const WELL_FOR: TimeDelta = TimeDelta::hours(6);
/// A server that was started again is looked at after this long; one that restarts all the time after ever longer.
const STARTED_AGAIN: TimeDelta = TimeDelta::seconds(2);
/// A server that nobody knows yet sets up its data, which is not whole meanwhile.
const SET_UP_TAKES: TimeDelta = TimeDelta::seconds(30);
const AT_ONCE: usize = 4;
const WITHIN: Duration = Duration::from_mins(5);

/// Cheap to clone; all clones know the same.
#[derive(Debug, Clone)]
pub struct Triages {
    dispatch: Arc<dyn Dispatch>,
    fleet: Fleet,
    clock: SharedClock,
    looks: Arc<Mutex<BTreeMap<InstanceName, Look>>>,
    slots: Arc<Semaphore>,
}

/// The last look at one.
#[derive(Debug, Clone, Default, PartialEq)]
struct Look {
    asked_at: DateTime<Utc>,
    /// Since when its container ran, or had run.
    started_at: Option<DateTime<Utc>>,
    /// So often since it answered last.
    looks: u32,
    is_under_way: bool,
    /// What is certain; it stays while the agent cannot tell.
    certain: Option<DataTriage>,
    /// What did not look well, once.
    doubtful: Option<DataTriage>,
}

impl Triages {
    #[must_use]
    pub fn new(dispatch: Arc<dyn Dispatch>, fleet: Fleet, clock: SharedClock) -> Self {
        Self {
            dispatch,
            fleet,
            clock,
            looks: Arc::default(),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// What is known of those that are down; asks for what is due, and rings the fleet when it is there.
    ///
    /// `held`: resources that jobs have for themselves, as [`Resource`] displays them.
    #[must_use]
    pub fn keep_up(
        &self,
        hosts: &[HostFacts],
        stores: &[Known],
        held: &BTreeSet<String>,
    ) -> Vec<Triaged> {
        let now = self.clock.now();
        let mut looks = self.lock();
        looks.retain(|name, _| is_still_down(name, hosts));
        for (host, instance) in down(hosts) {
            let name = InstanceName {
                host: host.name.clone(),
                instance: instance.name.clone(),
            };
            let container = host.container_of(instance);
            let known = stores.iter().find(|known| known.name() == name);
            let started_at = container.and_then(|container| container.started_at);
            let is_due = may_be_looked_at(container, known, now)
                && !is_held(&name, known, held)
                && is_due(looks.get(&name), started_at, now);
            if is_due {
                let look = looks.entry(name.clone()).or_default();
                look.asked_at = now;
                look.started_at = started_at;
                look.looks += 1;
                look.is_under_way = true;
                tokio::spawn(self.clone().ask(name));
            }
        }
        let certain = looks.iter().filter_map(|(name, look)| {
            Some(Triaged {
                instance: name.clone(),
                found: look.certain.clone()?,
            })
        });
        certain.collect()
    }

    /// Twice when the first look does not find it well.
    async fn ask(self, name: InstanceName) {
        let _slot = self.slots.acquire().await;
        let found = self.look_at(&name).await;
        if !self.note(&name, found) {
            tokio::time::sleep(SURE_AFTER).await;
            let found = self.look_at(&name).await;
            self.note(&name, found);
        }
        if let Some(look) = self.lock().get_mut(&name) {
            look.is_under_way = false;
        }
        self.fleet.ring();
    }

    /// None: the agent could not tell.
    async fn look_at(&self, name: &InstanceName) -> Option<DataTriage> {
        let spec = TaskSpec::TriageData(TriageData {
            instance: name.instance.clone(),
            volume: String::new(),
            shown: name.to_string(),
        });
        let task = outside_jobs("triage-data", spec);
        let run = self.dispatch.run(&name.host, task, Arc::new(|_| {}));
        match tokio::time::timeout(WITHIN, run).await {
            Ok(Ok(TaskResult::TriagedData(triaged))) => triaged.directories.into_iter().next(),
            Ok(Err(failure)) => {
                let error = failure.message;
                tracing::debug!(instance = %name, error, "its files could not be looked at");
                None
            }
            Ok(Ok(_)) | Err(_) => None,
        }
    }

    /// Whether nobody needs to look again soon.
    fn note(&self, name: &InstanceName, found: Option<DataTriage>) -> bool {
        match (self.lock().get_mut(name), found) {
            (Some(look), Some(found)) => look.take(found),
            // It answers again, or the agent cannot tell.
            _ => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceName, Look>> {
        // Every change leaves the map whole, so a panic elsewhere does not spoil it.
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    /// Whether it is certain now: it is well, or no moment in the middle of something.
    fn take(&mut self, found: DataTriage) -> bool {
        let before = self.doubtful.take();
        let mut before = before.iter().chain(&self.certain);
        if is_well(&found) || before.any(|before| is_same(before, &found)) {
            self.certain = Some(found);
            return true;
        }
        self.doubtful = Some(found);
        false
    }
}

fn is_well(found: &DataTriage) -> bool {
    found.verdict <= DataVerdict::NeedsRecovery
}

/// By what decides.
fn is_same(before: &DataTriage, now: &DataTriage) -> bool {
    let first = |found: &DataTriage| found.evidence.first().map(|one| one.code.clone());
    before.verdict == now.verdict && first(before) == first(now)
}

/// Those that do not answer, where that can be seen.
fn down(hosts: &[HostFacts]) -> impl Iterator<Item = (&HostFacts, &Instance)> {
    let seen = hosts.iter().filter(|host| host.is_seen());
    seen.flat_map(|host| {
        let down = host.instances.iter().filter(|instance| !instance.is_up());
        // Of a server elsewhere there are no files here.
        let here = down.filter(|instance| !instance.registered);
        here.map(move |instance| (host, instance))
    })
}

/// Of a host that cannot be seen nobody knows anything else.
fn is_still_down(name: &InstanceName, hosts: &[HostFacts]) -> bool {
    let mut hosts = hosts.iter();
    let Some(host) = hosts.find(|host| host.name == name.host) else {
        return false;
    };
    let mut instances = host.instances.iter();
    !host.is_seen() || instances.any(|instance| instance.name == name.instance && !instance.is_up())
}

fn may_be_looked_at(
    container: Option<&Container>,
    known: Option<&Known>,
    now: DateTime<Utc>,
) -> bool {
    let had_data = known.is_some_and(|known| {
        known.swapped.is_none() && !known.accepted.system_identifier.is_empty()
    });
    let Some(container) = container else {
        return had_data;
    };
    match container.state {
        ContainerState::Created => false,
        ContainerState::Running => {
            let since = container.started_at;
            // The host's clock may be a little ahead of ours.
            had_data || since.is_some_and(|since| (now - since).abs() >= SET_UP_TAKES)
        }
        _ => true,
    }
}

/// A job is at its data.
fn is_held(name: &InstanceName, known: Option<&Known>, held: &BTreeSet<String>) -> bool {
    let volume = known.and_then(|known| known.current().volume_name());
    let volume = volume.map(|volume| Resource::Volume {
        host: name.host.clone(),
        volume: volume.to_owned(),
    });
    let instance = Resource::Instance(name.clone());
    let mut own = volume.into_iter().chain([instance]);
    own.any(|resource| held.contains(&resource.to_string()))
}

fn is_due(last: Option<&Look>, started_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let Some(last) = last else {
        return true;
    };
    if last.is_under_way {
        return false;
    }
    let age = now - last.asked_at;
    let after_a_start = STARTED_AGAIN * 2_i32.pow(last.looks.saturating_sub(1).min(6));
    if last.started_at != started_at && age >= after_a_start.min(AGAIN_AFTER) {
        return true;
    }
    let is_well = last.doubtful.is_none() && last.certain.as_ref().is_some_and(is_well);
    let wait = if is_well { WELL_FOR } else { AGAIN_AFTER };
    age >= wait
}

#[cfg(test)]
mod tests;
