//! `connections-near-max`: soon nobody can connect any more.

use super::{Facts, Seen, Severity, percent};

const KIND: &str = "connections-near-max";
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
                key: subject.clone(),
                severity,
                message: format!("{used} of {max} connections of {subject} are in use"),
                subject,
                advice: "look who holds them (pg_stat_activity), or pool them".to_owned(),
            })
        })
        .collect()
}
