//! `anonymous-volume`: a database on a volume that nobody has given a name to (incident 5).
//!
//! `docker compose down -v` and `docker system prune --volumes` take it.

use super::{
    Detector, Evidence, Facts, Kind, Seen, Severity,
    home::{Home, housed},
    kind,
};

const KIND: Kind = kind!("HF0104", "anonymous-volume");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

fn look(facts: &Facts) -> Vec<Seen> {
    housed(facts)
        .filter_map(|housed| {
            let Home::Anonymous(mount) = housed.home else {
                return None;
            };
            if housed.beside().is_some() {
                return None;
            }
            let subject = housed.subject();
            let short = mount.source.get(..12).unwrap_or(&mount.source);
            Some(Seen {
                kind: KIND,
                key: subject.clone(),
                severity: Severity::Critical,
                message: format!(
                    "the data of {subject} lie on the anonymous volume {short}, which `docker compose down -v` removes"
                ),
                evidence: vec![
                    Evidence::new("volume", &mount.source),
                    Evidence::new("data directory", housed.path),
                ],
                advice: housed.advice(),
                subject,
            })
        })
        .collect()
}
