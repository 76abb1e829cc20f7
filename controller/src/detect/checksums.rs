//! `checksum-failures`: the server read pages that are damaged.

use super::{Detector, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0209", "checksum-failures");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.before, moment.facts),
};

pub fn look(before: &Facts, facts: &Facts) -> Vec<Seen> {
    let instances = facts.healthy();
    instances
        .filter(|(_, _, health)| health.checksum_failures > 0)
        .map(|(_, subject, health)| {
            let known = before
                .healthy()
                .find(|(_, name, _)| *name == subject)
                .map_or(0, |(_, _, health)| health.checksum_failures);
            let growing = known > 0 && health.checksum_failures > known;
            Seen {
                kind: KIND,
                evidence: vec![],
                key: subject.clone(),
                severity: Severity::Critical,
                message: format!(
                    "{subject} has read {} damaged pages{}",
                    health.checksum_failures,
                    if growing { ", and it goes on" } else { "" }
                ),
                subject,
                advice: "copy its databases to another host now, then look at disk and memory"
                    .to_owned(),
            }
        })
        .collect()
}
