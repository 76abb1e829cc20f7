//! `engine-unreachable`: the agent runs, but cannot ask the container engine.

use super::{Detector, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0402", "engine-unreachable");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

pub fn look(facts: &Facts) -> Vec<Seen> {
    let hosts = facts.hosts.iter();
    hosts
        .filter(|host| !host.engine_error.is_empty())
        .map(|host| Seen {
            kind: KIND,
            evidence: vec![],
            key: host.name.to_string(),
            severity: Severity::Warning,
            subject: host.name.to_string(),
            message: format!(
                "the container engine does not answer: {}",
                host.engine_error
            ),
            advice: "look whether it runs and the agent may use its socket (agent.toml)".to_owned(),
        })
        .collect()
}
