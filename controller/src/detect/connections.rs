//! `connections-near-max`: soon nobody can connect any more.

use super::{Detector, Facts, Kind, Seen, Severity, kind, percent};

const KIND: Kind = kind!("HF0207", "connections-near-max");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};
const WARN_PERCENT: u64 = 80;
const CRITICAL_PERCENT: u64 = 95;

pub fn look(facts: &Facts) -> Vec<Seen> {
    let instances = facts.healthy();
    instances
        .filter_map(|(_, subject, health)| {
            let (used, max) = (health.connections_used, health.connections_max);
            let share = percent(used.into(), max.into())?;
            let severity = Severity::by_limits(share, WARN_PERCENT, CRITICAL_PERCENT)?;
            Some(Seen {
                kind: KIND,
                evidence: vec![],
                key: subject.clone(),
                severity,
                message: format!("{used} of {max} connections of {subject} are in use"),
                subject,
                advice: "look who holds them (pg_stat_activity), or pool them".to_owned(),
            })
        })
        .collect()
}
