//! What has passed the guard and is not yet in the facts: containers made, and starts under way.
//!
//! Between the yes to a start and the engine's own word on it nobody else can know of it. Lost when the guard starts
//! anew: the engine is asked then.

use std::{collections::VecDeque, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    create::Create,
    facts::{Container, Mounted, Service},
};

/// A start that the engine has not answered for so long is over.
const START_TAKES: TimeDelta = TimeDelta::seconds(60);
/// By then the facts tell what a container is.
const FACTS_TAKE: TimeDelta = TimeDelta::seconds(120);
/// Between a create and its start; later the engine is asked.
const REMEMBERED: TimeDelta = TimeDelta::seconds(600);
/// For a client that makes, starts and waits in one go, and hangs if its start is refused.
const RESERVED: TimeDelta = TimeDelta::seconds(30);
/// The oldest go first.
const MOST: usize = 1024;

#[derive(Debug, Clone, Default)]
pub struct Claims {
    passed: VecDeque<Claim>,
    devices: VecDeque<(String, PathBuf)>,
}

/// A container that was allowed.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Of the request that made it.
    fingerprint: u128,
    /// Unset until the engine has made it.
    id: Option<String>,
    name: Option<String>,
    pub mounts: Vec<Mounted>,
    pub service: Option<Service>,
    pub auto_remove: bool,
    created_at: DateTime<Utc>,
    start: Option<Start>,
}

#[derive(Debug, Clone)]
struct Start {
    /// As the call named it: a container may be renamed between its create and its start.
    target: String,
    at: DateTime<Utc>,
    answered: bool,
}

impl Claims {
    /// A create passes.
    pub fn create(
        &mut self,
        fingerprint: u128,
        create: &Create,
        mounts: Vec<Mounted>,
        now: DateTime<Utc>,
    ) {
        self.push(Claim {
            fingerprint,
            id: None,
            name: create.name.clone(),
            mounts,
            service: create.service.clone(),
            auto_remove: create.auto_remove,
            created_at: now,
            start: None,
        });
    }

    /// The engine has answered a create: with an id, or it has made nothing.
    pub fn created(&mut self, fingerprint: u128, id: Option<&str>) {
        let waiting = |claim: &Claim| claim.fingerprint == fingerprint && claim.id.is_none();
        let Some(at) = self.passed.iter().position(waiting) else {
            return;
        };
        match (id, self.passed.get_mut(at)) {
            (Some(id), Some(claim)) => claim.id = Some(id.to_owned()),
            _ => drop(self.passed.remove(at)),
        }
    }

    /// A start passes.
    pub fn start(&mut self, container: &Container, target: &str, now: DateTime<Utc>) {
        let start = Some(Start {
            target: target.to_owned(),
            at: now,
            answered: false,
        });
        match self.by_id(&container.id) {
            Some(claim) => {
                claim.name = container.names.first().cloned();
                claim.start = start;
            }
            None => self.push(Claim {
                fingerprint: 0,
                id: Some(container.id.clone()),
                name: container.names.first().cloned(),
                mounts: container.mounts.clone(),
                service: container.service.clone(),
                auto_remove: false,
                created_at: now,
                start,
            }),
        }
    }

    /// The engine has answered a start.
    pub fn started(&mut self, target: &str, runs: bool) {
        for claim in &mut self.passed {
            if let Some(start) = claim.start.as_mut().filter(|start| start.target == target) {
                start.answered = true;
                if !runs {
                    claim.start = None;
                }
            }
        }
    }

    /// A volume that stands for a folder was allowed.
    pub fn device(&mut self, volume: &str, path: PathBuf) {
        self.devices.retain(|(name, _)| name != volume);
        self.devices.push_back((volume.to_owned(), path));
        if self.devices.len() > MOST {
            self.devices.pop_front();
        }
    }

    pub fn devices(&self) -> impl Iterator<Item = &(String, PathBuf)> {
        self.devices.iter()
    }

    /// Drops what is over.
    pub fn tidy(&mut self, now: DateTime<Utc>) {
        self.passed.retain(|claim| match &claim.start {
            Some(start) => now - start.at < FACTS_TAKE,
            None => now - claim.created_at < REMEMBERED,
        });
    }

    pub fn iter(&self) -> impl Iterator<Item = &Claim> {
        self.passed.iter()
    }

    /// Containers of that name, that id, or an id that begins so.
    pub fn find(&self, target: &str) -> impl Iterator<Item = Container> {
        let found = self.passed.iter().filter(move |claim| claim.is(target));
        found.filter_map(Claim::container)
    }

    fn by_id(&mut self, id: &str) -> Option<&mut Claim> {
        let mut claims = self.passed.iter_mut();
        claims.find(|claim| claim.id.as_deref() == Some(id))
    }

    fn push(&mut self, claim: Claim) {
        self.passed.push_back(claim);
        if self.passed.len() > MOST {
            self.passed.pop_front();
        }
    }
}

impl Claim {
    /// The engine is about to start it, and nobody sees it running yet.
    #[must_use]
    pub fn is_starting(&self, now: DateTime<Utc>) -> bool {
        let start = self.start.as_ref();
        start.is_some_and(|start| !start.answered && now - start.at < START_TAKES)
    }

    /// It was started a moment ago: the facts may not know yet what it is.
    #[must_use]
    pub fn was_started(&self, now: DateTime<Utc>) -> bool {
        let start = self.start.as_ref();
        start.is_some_and(|start| now - start.at < FACTS_TAKE)
    }

    /// It was made this moment, and is about to be started.
    #[must_use]
    pub fn is_reserved(&self, now: DateTime<Utc>) -> bool {
        self.start.is_none() && now - self.created_at < RESERVED
    }

    #[must_use]
    pub fn has_id(&self, id: &str) -> bool {
        self.id.as_deref() == Some(id)
    }

    #[must_use]
    pub fn shown(&self) -> &str {
        let name = self.name.as_deref().or(self.id.as_deref());
        name.unwrap_or("a container that is being made")
    }

    fn is(&self, target: &str) -> bool {
        let target = target.trim_start_matches('/');
        let by_id = |id: &String| id.starts_with(target);
        !target.is_empty()
            && (self.name.as_deref() == Some(target) || self.id.as_ref().is_some_and(by_id))
    }

    fn container(&self) -> Option<Container> {
        let id = self.id.clone()?;
        Some(Container {
            names: vec![self.name.clone().unwrap_or_else(|| id.clone())],
            id,
            alive: self.start.is_some(),
            mounts: self.mounts.clone(),
            service: self.service.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn named(name: &str) -> Create {
        Create {
            name: Some(name.to_owned()),
            ..Create::default()
        }
    }

    #[test]
    fn a_claim_goes_from_create_to_start_to_the_engine_s_answer() {
        let mut claims = Claims::default();
        claims.create(7, &named("copy"), vec![], at(0));
        assert_eq!(claims.find("copy").count(), 0, "the engine has not made it");
        assert!(claims.iter().all(|claim| claim.is_reserved(at(29))));
        claims.created(7, Some("abcdef"));
        for target in ["copy", "/copy", "abcdef", "abc"] {
            let found: Vec<_> = claims.find(target).collect();
            assert_eq!(found[0].id, "abcdef", "{target}");
            claims.start(&found[0], target, at(1));
        }
        assert!(
            claims
                .iter()
                .all(|claim| claim.is_starting(at(2)) && !claim.is_reserved(at(2)))
        );
        claims.started("abc", true);
        assert!(
            claims
                .iter()
                .all(|claim| !claim.is_starting(at(2)) && claim.was_started(at(2)))
        );
        claims.tidy(at(1) + FACTS_TAKE);
        assert_eq!(claims.iter().count(), 0);
    }

    #[test]
    fn a_container_that_was_renamed_before_its_start_is_known_by_the_call() {
        let mut claims = Claims::default();
        claims.create(7, &named("tmp"), vec![], at(0));
        claims.created(7, Some("abc"));
        let renamed = Container {
            id: "abc".to_owned(),
            names: vec!["db".to_owned()],
            ..Container::default()
        };
        claims.start(&renamed, "db", at(1));
        assert!(
            claims
                .iter()
                .all(|claim| claim.is_starting(at(2)) && claim.shown() == "db")
        );
        claims.started("db", true);
        assert!(claims.iter().all(|claim| !claim.is_starting(at(2))));
    }

    #[test]
    fn what_failed_is_no_claim_and_what_is_never_answered_ends() {
        let mut claims = Claims::default();
        claims.create(7, &named("copy"), vec![], at(0));
        claims.created(7, None);
        assert_eq!(claims.iter().count(), 0);
        let container = Container {
            id: "abc".to_owned(),
            names: vec!["db".to_owned()],
            ..Container::default()
        };
        claims.start(&container, "db", at(0));
        claims.started("db", false);
        assert!(claims.iter().all(|claim| !claim.was_started(at(1))));
        claims.start(&container, "db", at(0));
        assert!(
            claims
                .iter()
                .all(|claim| !claim.is_starting(at(0) + START_TAKES))
        );
    }

    #[test]
    fn they_are_bounded() {
        let mut claims = Claims::default();
        for number in 0..u128::try_from(MOST).unwrap() + 5 {
            claims.create(number, &named("x"), vec![], at(0));
            claims.device(&number.to_string(), "/x".into());
        }
        assert_eq!(
            (claims.iter().count(), claims.devices().count()),
            (MOST, MOST)
        );
    }
}
