//! `volume-lost`: the volume of a service is gone (incident 5). It starts on an empty one; what is in there is other data
//! than its own, and `volume-swapped` goes on from that.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Act, Consent, Offer, Runbook, Stage, Step, Unfit, nothing, remember, situation::Situation,
};
use crate::{
    data_store::{DataStore, Known},
    detect::identity_swapped,
};

#[derive(Debug)]
pub struct VolumeLost;

/// How it was when somebody began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Start {
    host: String,
    instance: String,
    /// Compose's; empty outside compose.
    project: String,
    lost: DataStore,
}

impl Runbook for VolumeLost {
    fn name(&self) -> &'static str {
        "volume-lost"
    }

    fn says(&self) -> &'static str {
        "starts a service whose volume is gone on an empty one; volume-swapped then brings its data back"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["volume-gone"]
    }

    fn begin(&self, situation: &Situation) -> Result<Value, Unfit> {
        let there = || nothing("no volume of a service of this incident is gone", situation);
        let service = lost(situation).ok_or_else(there)?;
        let start = Start {
            host: service.host.to_string(),
            instance: service.instance.clone(),
            project: service.traits.project.clone(),
            lost: service.accepted.clone(),
        };
        remember(&start)
    }

    fn plan(&self, start: &Value, situation: &Situation) -> Result<Vec<Step>, serde_json::Error> {
        let start: Start = serde_json::from_value(start.clone())?;
        Ok(vec![start.start_again(situation)])
    }
}

/// The service, when what it lay on is not there, and it lies on nothing else.
fn lost(situation: &Situation) -> Option<&Known> {
    let service = situation.service.as_ref()?;
    let host = situation.host.as_ref().filter(|host| host.is_seen())?;
    let name = service.accepted.volume_name()?;
    let is_there = host.volumes.iter().any(|volume| volume.name == name);
    (!is_there && service.swapped.is_none()).then_some(service)
}

impl Start {
    /// The container's definition is its owner's: we say what to type, and see when it is so.
    fn start_again(&self, situation: &Situation) -> Step {
        let name = "start-again".to_owned();
        let volume = self.lost.volume_name().unwrap_or_default();
        // A volume may be a name for a folder that was there all the time.
        let is_back = situation.answers() && situation.lies_on(&self.lost);
        let stage = if is_back && lost(situation).is_none() {
            Stage::Done("its own data are there again".to_owned())
        } else if situation.answers() && situation.open(&[identity_swapped::KIND.name]).is_some() {
            Stage::Done(format!("it came up on a new {volume}"))
        } else if situation.begun.contains_key(&name) {
            Stage::UnderWay {
                job: None,
                waits_for: format!("the server to come up on a new {volume}"),
            }
        } else {
            Stage::Ready(Offer {
                consent: Consent::Confirmed,
                act: Act::ByHand,
            })
        };
        Step {
            says: format!(
                "start {}/{} on an empty volume {volume}; leave what uses it stopped until the last step",
                self.host, self.instance
            ),
            command: self.command(volume),
            checks: "the server answers; its data come back after that".to_owned(),
            name,
            stage,
        }
    }

    fn command(&self, volume: &str) -> String {
        let (host, project, path) = (&self.host, &self.project, &self.lost.path);
        if project.is_empty() {
            return format!(
                "on {host}: docker run … -v {volume}:{path} …, as it was started before"
            );
        }
        format!(
            "on {host}, where the compose file is: docker compose -p {project} up -d   \
             (docker volume create {volume} first, where the file calls it external)"
        )
    }
}
