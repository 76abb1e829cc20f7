//! Whether a call passes: a pure function of the facts, what has passed before, the engine's word and the time.

use chrono::{DateTime, Utc};

use super::{
    claims::Claims,
    create::Create,
    facts::{Container, DataDirectory, Facts, Mounted, Place, Service},
    place::reaches,
    refusal::{Holder, Refusal},
    request::Request,
};

/// What is known at the moment of a call.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub facts: &'a Facts,
    pub claims: &'a Claims,
    pub engine: Engine<'a>,
    pub now: DateTime<Utc>,
}

/// The engine's own list of containers. It is asked only for what concerns a database, or what memory does not know.
#[derive(Debug, Clone, Copy)]
pub enum Engine<'a> {
    NotAsked,
    /// It did not answer in time.
    Silent,
    Says(&'a [Container]),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Deny(Refusal),
    /// Memory does not suffice: ask the engine, then decide again. Never the answer once it was asked.
    Ask,
}

/// Who asks for the data.
struct Asking<'a> {
    /// Unset at a create.
    id: Option<&'a str>,
    service: Option<&'a Service>,
    auto_remove: bool,
}

/// `mounts`: those of a create, or the folder of a volume, resolved.
#[must_use]
pub fn decide(view: View<'_>, request: &Request, mounts: &[Mounted]) -> Verdict {
    let decided = match request {
        Request::Other => Ok(()),
        Request::Unclear { what, why } => Err(Verdict::Deny(Refusal::unclear(what, why))),
        Request::Impostor => Err(Verdict::Deny(Refusal::impostor())),
        Request::Create(create) => view.create(create, mounts),
        Request::CreateVolume { volume, .. } => view.create_volume(volume, mounts),
        Request::Start { container } => view.start(container),
        Request::RemoveContainer { container } => view.remove_container(container),
        Request::RemoveVolume { volume } => view.remove_volume(volume),
        Request::PruneVolumes { anonymous_only } => view.prune(*anonymous_only),
    };
    match decided {
        Ok(()) => Verdict::Allow,
        Err(verdict) => verdict,
    }
}

impl View<'_> {
    fn create(&self, create: &Create, mounts: &[Mounted]) -> Result<(), Verdict> {
        let mounts = self.all_mounts(create, mounts)?;
        let asking = Asking {
            id: None,
            service: create.service.as_ref(),
            auto_remove: create.auto_remove,
        };
        self.not_a_second(&asking, &mounts, create.is_server)
    }

    /// With those of the containers that it takes them from.
    pub(super) fn all_mounts(
        &self,
        create: &Create,
        mounts: &[Mounted],
    ) -> Result<Vec<Mounted>, Verdict> {
        let mut mounts = mounts.to_vec();
        for from in &create.volumes_from {
            let found = self.find(&from.container, "the mounts of another container")?;
            mounts.extend(
                found
                    .into_iter()
                    .flat_map(|container| container.mounts)
                    .map(|mount| Mounted {
                        read_only: mount.read_only || from.read_only,
                        ..mount
                    }),
            );
        }
        Ok(mounts)
    }

    /// What a start would start.
    pub(super) fn starting(&self, target: &str) -> Vec<Container> {
        self.find(target, "").unwrap_or_default()
    }

    fn create_volume(&self, volume: &str, mounts: &[Mounted]) -> Result<(), Verdict> {
        let own = |data: &DataDirectory| is_volume(data, volume);
        if self.facts.data.iter().any(own) {
            // The engine gives what is there already.
            return Ok(());
        }
        let asking = Asking {
            id: None,
            service: None,
            auto_remove: false,
        };
        self.not_a_second(&asking, mounts, false)
    }

    fn start(&self, target: &str) -> Result<(), Verdict> {
        for container in self.find(target, "what it mounts")? {
            let asking = Asking {
                id: Some(&container.id),
                service: container.service.as_ref(),
                auto_remove: false,
            };
            self.not_a_second(&asking, &container.mounts, false)?;
        }
        Ok(())
    }

    /// Anonymous volumes go with their container.
    fn remove_container(&self, target: &str) -> Result<(), Verdict> {
        let anonymous = |data: &&DataDirectory| {
            matches!(
                data.place,
                Place::Volume {
                    anonymous: true,
                    ..
                }
            ) && !self.is_released(data)
        };
        let at_risk: Vec<_> = self.facts.data.iter().filter(anonymous).collect();
        if at_risk.is_empty() {
            return Ok(());
        }
        for container in self.find(target, "its anonymous volumes")? {
            let lost = at_risk.iter().find(|data| mounts_volume(&container, data));
            if let Some(data) = lost {
                return Err(self.lost(data, &format!("goes with container {}", container.name())));
            }
        }
        Ok(())
    }

    fn remove_volume(&self, volume: &str) -> Result<(), Verdict> {
        let own = |data: &&DataDirectory| is_volume(data, volume) && !self.is_released(data);
        match self.facts.data.iter().find(own) {
            Some(data) => Err(self.lost(data, "")),
            None => Ok(()),
        }
    }

    fn prune(&self, anonymous_only: bool) -> Result<(), Verdict> {
        let at_risk = |data: &&DataDirectory| match data.place {
            Place::Volume { anonymous, .. } => {
                (anonymous || !anonymous_only) && !self.is_released(data)
            }
            Place::Folder(_) => false,
        };
        let mut at_risk = self.facts.data.iter().filter(at_risk).peekable();
        if at_risk.peek().is_none() {
            return Ok(());
        }
        let containers = match self.engine {
            Engine::NotAsked => return Err(Verdict::Ask),
            Engine::Silent => return Err(self.unchecked("which volumes nobody uses")),
            Engine::Says(containers) => containers,
        };
        let unused = |data: &&DataDirectory| !containers.iter().any(|c| mounts_volume(c, data));
        match at_risk.find(unused) {
            Some(data) => Err(self.lost(data, "is used by no container and would go")),
            None => Ok(()),
        }
    }

    /// Fails if one of these mounts leads to the data of a server that runs.
    fn not_a_second(
        &self,
        asking: &Asking<'_>,
        mounts: &[Mounted],
        is_server: bool,
    ) -> Result<(), Verdict> {
        let asked_for = |data: &&DataDirectory| {
            !self.is_allowed(data) && mounts.iter().any(|mount| reaches(mount, data, is_server))
        };
        for data in self.facts.data.iter().filter(asked_for) {
            if matches!(self.engine, Engine::NotAsked) {
                return Err(Verdict::Ask);
            }
            if let Some(holder) = self.holder(data, asking) {
                let refusal = Refusal::second(&self.facts.host, data, &holder);
                return Err(Verdict::Deny(refusal));
            }
        }
        Ok(())
    }

    /// Who has the data now, or is about to.
    fn holder(&self, data: &DataDirectory, asking: &Asking<'_>) -> Option<Holder> {
        if data.on_host {
            return Some(Holder::Host);
        }
        let containers = match self.engine {
            Engine::Says(containers) => containers,
            Engine::Silent | Engine::NotAsked => &self.facts.containers,
        };
        let holds = |container: &&Container| {
            container.alive
                && asking.id != Some(container.id.as_str())
                && !asking.replaces(container)
                && self.is_server(container, data)
                && container
                    .mounts
                    .iter()
                    .any(|mount| reaches(mount, data, false))
        };
        if let Some(container) = containers.iter().find(holds) {
            return Some(Holder::Running(container.name().to_owned()));
        }
        let unseen = matches!(self.engine, Engine::Silent);
        let claims = |claim: &&super::claims::Claim| {
            let counts = claim.is_starting(self.now)
                || (unseen && claim.was_started(self.now))
                || (asking.id.is_none()
                    && claim.is_reserved(self.now)
                    && (claim.auto_remove || asking.auto_remove));
            counts
                && asking.id.is_none_or(|id| !claim.has_id(id))
                && claim.mounts.iter().any(|mount| reaches(mount, data, false))
        };
        let claim = self.claims.iter().find(claims)?;
        Some(Holder::Starting(claim.shown().to_owned()))
    }

    /// One that is known and runs no server has files of the data at most. One that is not known may be anything.
    fn is_server(&self, container: &Container, data: &DataDirectory) -> bool {
        let known = self.facts.containers.iter().any(|c| c.id == container.id);
        let young = || {
            let mut claims = self.claims.iter();
            claims.any(|claim| claim.has_id(&container.id) && claim.was_started(self.now))
        };
        !known || data.servers.contains(&container.id) || young()
    }

    /// The containers that a name or the beginning of an id may mean; none: there is none of them.
    fn find(&self, target: &str, what: &str) -> Result<Vec<Container>, Verdict> {
        let is = |container: &&Container| is_called(container, target);
        let passed = self.claims.find(target);
        match self.engine {
            Engine::Says(containers) => {
                let found: Vec<_> = containers.iter().filter(is).cloned().collect();
                // What has passed counts only where the list is older: names go from one container to the next.
                match found.is_empty() {
                    true => Ok(passed.collect()),
                    false => Ok(found),
                }
            }
            Engine::NotAsked if !self.facts.is_fresh(self.now) && !self.facts.data.is_empty() => {
                Err(Verdict::Ask)
            }
            Engine::NotAsked | Engine::Silent => {
                let known = self.facts.containers.iter().filter(is).cloned();
                let found: Vec<_> = known.chain(passed).collect();
                match self.engine {
                    _ if !found.is_empty() || self.facts.data.is_empty() => Ok(found),
                    Engine::NotAsked => Err(Verdict::Ask),
                    _ => Err(self.unchecked(what)),
                }
            }
        }
    }

    fn lost(&self, data: &DataDirectory, how: &str) -> Verdict {
        Verdict::Deny(Refusal::lost(&self.facts.host, data, how, self.now))
    }

    fn unchecked(&self, what: &str) -> Verdict {
        Verdict::Deny(Refusal::unchecked(what))
    }

    fn is_released(&self, data: &DataDirectory) -> bool {
        let fresh = data
            .protection
            .as_ref()
            .is_some_and(|p| p.is_fresh(self.now));
        fresh || self.is_allowed(data)
    }

    fn is_allowed(&self, data: &DataDirectory) -> bool {
        data.protection
            .as_ref()
            .is_some_and(|p| p.is_allowed(self.now))
    }
}

impl Asking<'_> {
    /// Compose makes the next container of a service while the one before it runs, and stops that before it starts the
    /// next. Only a create is let through for that: the start looks again.
    fn replaces(&self, container: &Container) -> bool {
        let (Some(own), Some(other)) = (self.service, &container.service) else {
            return false;
        };
        self.id.is_none()
            && !self.auto_remove
            && !own.one_off
            && !own.number.is_empty()
            && own == other
    }
}

fn is_called(container: &Container, target: &str) -> bool {
    let target = target.trim_start_matches('/');
    let named = |name: &String| name.trim_start_matches('/') == target;
    !target.is_empty() && (container.names.iter().any(named) || container.id.starts_with(target))
}

fn is_volume(data: &DataDirectory, volume: &str) -> bool {
    matches!(&data.place, Place::Volume { name, .. } if name == volume)
}

fn mounts_volume(container: &Container, data: &DataDirectory) -> bool {
    let mut mounts = container.mounts.iter();
    mounts.any(|mount| {
        mount
            .volume
            .as_deref()
            .is_some_and(|name| is_volume(data, name))
    })
}

#[cfg(test)]
mod tests;
