//! `engine-unreachable`: the agent runs, but cannot ask the container engine.

use super::{Facts, Seen, Severity};

const KIND: &str = "engine-unreachable";

pub fn look(facts: &Facts) -> Vec<Seen> {
    let hosts = facts.hosts.iter();
    hosts
        .filter(|host| !host.engine_error.is_empty())
        .map(|host| Seen {
            kind: KIND,
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
