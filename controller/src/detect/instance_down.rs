//! `instance-down`: a database server does not answer.

use super::{Facts, Seen, Severity};

const KIND: &str = "instance-down";

pub fn look(facts: &Facts) -> Vec<Seen> {
    let instances = facts
        .hosts
        .iter()
        .flat_map(|host| host.instances.iter().map(move |instance| (host, instance)));
    instances
        .filter(|(_, instance)| !instance.is_up())
        .map(|(host, instance)| {
            let subject = format!("{}/{}", host.name, instance.name);
            let reason = match instance.down_reason.as_str() {
                "" => "it has not answered yet",
                reason => reason,
            };
            Seen {
                kind: KIND,
                key: subject.clone(),
                severity: Severity::Critical,
                message: format!("{subject} does not answer: {reason}"),
                subject,
                advice: match instance.container.as_str() {
                    "" => "look at the server's log".to_owned(),
                    container => format!("look at `docker logs {container}` on {}", host.name),
                },
            }
        })
        .collect()
}
