//! `volume-gone`: the volume that a database lay on is not there any more (incident 5).

use super::{Detector, Evidence, Facts, HostFacts, Kind, Seen, Severity, kind};
use crate::data_store::Known;

const KIND: Kind = kind!("HF0109", "volume-gone");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

fn look(facts: &Facts) -> Vec<Seen> {
    let seen = facts.hosts.iter().filter(|host| host.is_seen());
    seen.flat_map(|host| {
        let own = facts.stores.iter().filter(|known| known.host == host.name);
        own.filter_map(|known| judge(host, known))
    })
    .collect()
}

fn judge(host: &HostFacts, known: &Known) -> Option<Seen> {
    let volume = known.accepted.volume_name()?;
    if host.volumes.iter().any(|one| one.name == volume) {
        return None;
    }
    let subject = known.name().to_string();
    let databases = known.contents.databases.iter();
    let held =
        databases.map(|(name, bytes)| Evidence::new("held", format!("{name}, {bytes} bytes")));
    Some(Seen {
        kind: KIND,
        key: format!("{}/{}", known.host, known.service),
        severity: Severity::Critical,
        message: format!("the volume {volume} with the data of {subject} is gone"),
        evidence: [Evidence::new("last seen", known.last_seen_at.to_string())]
            .into_iter()
            .chain(held)
            .collect(),
        advice: format!(
            "restore it: ctl backup list {subject}, then ctl restore …; if it was meant to go: ctl instance accept \
             {subject} --reason \"…\""
        ),
        subject,
    })
}
