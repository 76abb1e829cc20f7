//! `beside-volume`: a volume is mounted for a database, and the data lie beside it (incident 5, its new form).
//!
//! The image `postgres:18` moved its data directory: a named volume at the old path stays empty, while the data land
//! on an anonymous one.

use super::{
    Detector, Evidence, Facts, Kind, Seen, Severity,
    home::{Home, housed},
    kind,
};

const KIND: Kind = kind!("HF0106", "beside-volume");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

fn look(facts: &Facts) -> Vec<Seen> {
    housed(facts)
        .filter_map(|housed| {
            let place = match housed.home {
                Home::Named => return None,
                Home::Anonymous(mount) => {
                    let short = mount.source.get(..12).unwrap_or(&mount.source);
                    format!("on the anonymous volume {short}")
                }
                Home::Layer => "in the container itself".to_owned(),
            };
            let beside = housed.beside()?;
            let (volume, mounted) = (&beside.source, &beside.destination);
            let subject = housed.subject();
            Some(Seen {
                kind: KIND,
                key: subject.clone(),
                severity: Severity::Critical,
                message: format!(
                    "the data of {subject} lie {place}, where `docker compose down -v` takes them; the volume {volume} is mounted at {mounted}, where they are not"
                ),
                evidence: vec![
                    Evidence::new("data directory", housed.path),
                    Evidence::new("volume meant for them", volume),
                    Evidence::new("mounted at", mounted),
                ],
                advice: housed.advice(),
                subject,
            })
        })
        .collect()
}
