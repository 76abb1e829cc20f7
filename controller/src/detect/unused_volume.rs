//! `unused-volume`: a volume with a database that no container uses, which `docker system prune --volumes` would take.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Detector, Evidence, Facts, HostFacts, Kind, Seen, Severity, kind};
use crate::data_store::Known;

const KIND: Kind = kind!("HF0108", "unused-volume");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts, moment.now),
};

/// Somebody who takes a service down and up again needs less.
const PATIENCE: TimeDelta = TimeDelta::minutes(15);

fn look(facts: &Facts, now: DateTime<Utc>) -> Vec<Seen> {
    let seen = facts.hosts.iter().filter(|host| host.is_seen());
    seen.flat_map(|host| {
        let own = facts.stores.iter().filter(|known| known.host == host.name);
        own.filter_map(|known| judge(host, known, now))
    })
    .collect()
}

fn judge(host: &HostFacts, known: &Known, now: DateTime<Utc>) -> Option<Seen> {
    let name = known.accepted.volume_name()?;
    let mut volumes = host.volumes.iter();
    let volume = volumes.find(|volume| volume.name == name)?;
    if !volume.used_by.is_empty() || now - known.last_seen_at < PATIENCE {
        return None;
    }
    let subject = known.name().to_string();
    let databases = known.contents.databases.iter();
    let holds =
        databases.map(|(name, bytes)| Evidence::new("holds", format!("{name}, {bytes} bytes")));
    Some(Seen {
        kind: KIND,
        key: format!("{}/{name}", host.name),
        severity: Severity::Warning,
        message: format!(
            "the volume {name} holds the data of {subject}, and no container uses it: a prune would take it"
        ),
        evidence: [Evidence::new(
            "last seen in use",
            known.last_seen_at.to_string(),
        )]
        .into_iter()
        .chain(holds)
        .collect(),
        advice: format!(
            "back it up: ctl backup create {}/{name}; when it is not needed any more: ctl instance accept {subject} \
             --reason \"…\", then docker volume rm {name}",
            host.name
        ),
        subject,
    })
}
