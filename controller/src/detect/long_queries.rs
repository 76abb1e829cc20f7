//! `long-queries`: statements that run for more than five minutes.

use super::{Detector, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0206", "long-queries");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

pub fn look(facts: &Facts) -> Vec<Seen> {
    let instances = facts.healthy();
    instances
        .filter_map(|(_, subject, health)| {
            // The agent reports only those over five minutes, the longest first.
            let longest = health.long_queries.first()?;
            let others = match health.long_queries.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} others)"),
            };
            Some(Seen {
                kind: KIND,
                evidence: vec![],
                key: subject.clone(),
                severity: Severity::Warning,
                // Minutes would change the finding with each look.
                message: format!(
                    "a statement of {} in {} of {subject} runs for more than 5 min{others}: {}",
                    longest.user, longest.database, longest.statement
                ),
                subject,
                advice: format!("`select pg_cancel_backend({})` ends it", longest.pid),
            })
        })
        .collect()
}
