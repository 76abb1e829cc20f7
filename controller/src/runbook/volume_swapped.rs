//! `volume-swapped`: a service came up on other data (incident 4). Back to the old volume where it still is, else back
//! from a backup; what was written meanwhile is kept and merged, either way.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Act, Consent, Offer, Runbook, Stage, Step, Unfit, nothing, remember,
    situation::Situation,
    steps::{Databases, keep, own},
};
use crate::{
    data_store::{DataStore, Known, Swapped},
    detect::HostFacts,
    job::copy_database::preflight::target::MAINTENANCE,
};

#[derive(Debug)]
pub struct VolumeSwapped;

/// How it was when somebody began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Start {
    host: String,
    /// As it was called on the other data.
    instance: String,
    /// Compose's project of the container that came up; empty outside compose.
    project: String,
    at: DateTime<Utc>,
    /// What it shall lie on, and what it came up on.
    accepted: DataStore,
    found: DataStore,
    /// Names of databases that were there.
    databases: BTreeSet<String>,
    /// Names of databases that are in what it came up on.
    new: BTreeSet<String>,
    /// The old volume was still there.
    old_is_there: bool,
}

impl Runbook for VolumeSwapped {
    fn name(&self) -> &'static str {
        "volume-swapped"
    }

    fn says(&self) -> &'static str {
        "brings a service back to its own data, from its volume or from a backup, and keeps what was written meanwhile"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["identity-swapped"]
    }

    fn begin(&self, situation: &Situation) -> Result<Value, Unfit> {
        let right = || {
            let why = "no service of this incident lies on other data than it shall";
            nothing(why, situation)
        };
        let service = situation.service.as_ref().ok_or_else(right)?;
        let swapped = service.swapped.as_ref().ok_or_else(right)?;
        let host = situation.host.as_ref().filter(|host| host.is_seen());
        let host = host.ok_or_else(|| Unfit {
            why: format!("nobody can see what is on {} now", service.host),
            advice: "begin when its agent is back: ctl host list".to_owned(),
        })?;
        let old_is_there = old_is_there(service, swapped, host)?;
        let container = host
            .containers
            .iter()
            .find(|container| container.name == swapped.store.container);
        let new = contents_now(service, swapped, situation)?;
        let start = Start {
            host: service.host.to_string(),
            instance: service.instance.clone(),
            project: container.map(|one| one.project.clone()).unwrap_or_default(),
            at: swapped.at,
            accepted: service.accepted.clone(),
            found: swapped.store.clone(),
            databases: own(&service.contents),
            new,
            old_is_there,
        };
        remember(&start)
    }

    fn plan(&self, start: &Value, situation: &Situation) -> Result<Vec<Step>, serde_json::Error> {
        let start: Start = serde_json::from_value(start.clone())?;
        let on_new = Databases {
            situation,
            host: &start.host,
            instance: &start.instance,
            on: &start.found,
        };
        if start.old_is_there {
            return Ok(start.back_to_the_old(on_new));
        }
        let mut steps: Vec<_> = start.both().map(|database| on_new.keep(database)).collect();
        let seen = situation.seen().and_then(|seen| seen.contents);
        let is_there = |database: &str| match &seen {
            Some(seen) => seen.databases.contains_key(database),
            None => start.new.contains(database),
        };
        steps.extend(on_new.restores(&start.databases, start.at, is_there));
        let replaceable = start.both().filter(|name| !MAINTENANCE.contains(name));
        steps.extend(replaceable.map(|database| on_new.merge_replaced(database)));
        let place = start.found.volume_name().unwrap_or("its new place");
        steps.push(on_new.accept(place));
        Ok(steps)
    }
}

impl Start {
    /// Databases that were there and are in the other data too: only those can have rows to merge.
    fn both(&self) -> impl Iterator<Item = &str> {
        self.databases.intersection(&self.new).map(String::as_str)
    }

    /// What was written meanwhile is kept, the old volume put back, and everything that was kept brought along.
    fn back_to_the_old(&self, on_new: Databases<'_>) -> Vec<Step> {
        let situation = on_new.situation;
        let mut steps: Vec<_> = self
            .new
            .iter()
            .map(|database| on_new.keep(database))
            .collect();
        steps.push(self.volume_back(situation));
        let service = situation.service.as_ref();
        let on_old = Databases {
            instance: service.map_or(&self.instance, |service| &service.instance),
            on: &self.accepted,
            ..on_new
        };
        for database in &self.new {
            if !self.databases.contains(database) {
                steps.push(on_old.bring_along(database));
                continue;
            }
            let kept = situation.made_by(&keep(database));
            steps.push(on_old.beside(database, "what was written meanwhile", kept));
            let rows = on_old.rows_beside(database);
            steps.push(on_old.merge(database, "that were written meanwhile", Some(rows)));
        }
        steps
    }

    /// The container's definition is its owner's: we say what to type, and see when it is so.
    fn volume_back(&self, situation: &Situation) -> Step {
        let name = "volume-back".to_owned();
        let old = self.accepted.volume_name().unwrap_or_default();
        let service = situation.service.as_ref();
        let is_back = service.is_some_and(|service| service.swapped.is_none());
        let stage = if is_back && situation.lies_on(&self.found) {
            Stage::Blocked(Unfit {
                why: format!(
                    "somebody has said that the data which it came up on are the right ones; {old} is as it was"
                ),
                advice:
                    "leave this step out, and those after it; or see what was said: ctl audit list"
                        .to_owned(),
            })
        } else if is_back && situation.lies_on(&self.accepted) && situation.answers() {
            Stage::Done(format!("it lies on volume {old} again, and answers"))
        } else if situation.begun.contains_key(&name) {
            Stage::UnderWay {
                job: None,
                waits_for: format!("the server to come up on volume {old} on {}", self.host),
            }
        } else {
            Stage::Ready(Offer {
                consent: Consent::Confirmed,
                act: Act::ByHand,
            })
        };
        Step {
            says: format!(
                "put the service back onto its own volume {old}, which is still there on {}; nothing is lost",
                self.host
            ),
            command: self.compose(),
            checks: format!("the server answers on volume {old}"),
            name,
            stage,
        }
    }

    /// In compose's words where it is compose's; where its project gave the volume its name.
    fn compose(&self) -> String {
        let (old, new) = (self.accepted.volume_name(), self.found.volume_name());
        let former = former_project(
            new.unwrap_or_default(),
            &self.project,
            old.unwrap_or_default(),
        );
        match former {
            Some(former) => format!(
                "on {}, where the compose file is: docker compose -p {} down && docker compose -p {former} up -d   \
                 (without -v; and write `name: {former}` into the file)",
                self.host, self.project
            ),
            None => format!(
                "on {}: stop container {}, and start the service with volume {} at {}",
                self.host,
                self.found.container,
                old.unwrap_or_default(),
                self.accepted.path
            ),
        }
    }
}

/// The volume that the service shall lie on is still on its host.
///
/// # Errors
/// When the old data may be there, and nobody can see from here whether they are.
fn old_is_there(service: &Known, swapped: &Swapped, host: &HostFacts) -> Result<bool, Unfit> {
    let (old, new) = (&service.accepted, &swapped.store);
    let place = format!("{} on {}", old.place().unwrap_or_default(), service.host);
    let Some(volume) = old.volume_name() else {
        if old.host_path.is_empty() {
            return Ok(false);
        }
        return Err(Unfit {
            why: format!(
                "its data lay in the folder {place}, not on a volume: they may be there still"
            ),
            advice: format!(
                "look there first, and put the service back onto it; when they are gone: ctl backup list {}, then \
                 ctl restore",
                service.name()
            ),
        });
    };
    if Some(volume) == new.volume_name() && old.path != new.path {
        return Err(Unfit {
            why: format!(
                "it has its data in {} of volume {volume} now, they were in {}: they may be there still",
                new.path, old.path
            ),
            advice: "put that path back into its definition, and start it again".to_owned(),
        });
    }
    // One that was made anew under its name is another one.
    let is_other = Some(volume) != new.volume_name();
    Ok(is_other && host.volumes.iter().any(|one| one.name == volume))
}

/// Names of the databases in what it came up on. A server that does not run holds what was seen in it last.
fn contents_now(
    service: &Known,
    swapped: &Swapped,
    situation: &Situation,
) -> Result<BTreeSet<String>, Unfit> {
    let live = situation.seen();
    let read = live.as_ref().and_then(|one| one.contents.as_ref());
    if read.is_none() && live.as_ref().is_some_and(|one| one.alive) {
        return Err(Unfit {
            why: format!(
                "{}/{} runs on its new data and does not answer: nobody sees what is in them",
                service.host, service.instance
            ),
            advice: "say it again in some seconds; if it never answers, stop it and say it again"
                .to_owned(),
        });
    }
    let mut names = own(&swapped.contents);
    if let Some(read) = read {
        names.extend(own(read));
    }
    Ok(names)
}

/// Compose names a volume after its project: "manualmode" + "_" + "data". What the project was that named the old one.
fn former_project<'a>(new: &str, project: &str, old: &'a str) -> Option<&'a str> {
    let suffix = new.strip_prefix(project).filter(|_| !project.is_empty())?;
    let former = old.strip_suffix(suffix)?;
    (suffix.starts_with('_') && !former.is_empty()).then_some(former)
}
