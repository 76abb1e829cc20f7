//! `container-layer`: a database in the container itself, or in memory, where `docker rm` takes it (incident 5).

use super::{
    Detector, Evidence, Facts, Kind, Seen, Severity,
    home::{Home, housed},
    kind,
};

const KIND: Kind = kind!("HF0105", "container-layer");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

fn look(facts: &Facts) -> Vec<Seen> {
    housed(facts)
        .filter(|housed| matches!(housed.home, Home::Layer) && housed.beside().is_none())
        .map(|housed| {
            let subject = housed.subject();
            Seen {
                kind: KIND,
                key: subject.clone(),
                severity: Severity::Critical,
                message: format!(
                    "the data of {subject} lie in the container itself, which `docker rm` removes"
                ),
                evidence: vec![
                    Evidence::new("container", &housed.container.name),
                    Evidence::new("data directory", housed.path),
                ],
                advice: housed.advice(),
                subject,
            }
        })
        .collect()
}
