//! `transaction-id-age`: freezing does not keep up; at two thousand million the server stops.

use super::{Detector, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0208", "transaction-id-age");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};
/// Millions. autovacuum begins to freeze at 200.
const WARN: u64 = 500;
const CRITICAL: u64 = 1500;

pub fn look(facts: &Facts) -> Vec<Seen> {
    let instances = facts.healthy();
    instances
        .filter_map(|(_, subject, health)| {
            let millions = u64::from(health.transaction_id_age) / 1_000_000;
            let severity = Severity::by_limits(millions, WARN, CRITICAL)?;
            Some(Seen {
                kind: KIND,
                evidence: vec![],
                key: subject.clone(),
                severity,
                message: format!(
                    "the oldest transaction id of {subject} is {millions} million old; at 2100 \
                     million the server refuses to write"
                ),
                subject,
                advice: "look what keeps VACUUM back: long or prepared transactions, replication \
                         slots"
                    .to_owned(),
            })
        })
        .collect()
}
