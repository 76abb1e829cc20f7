//! `database-gone`: a database that was there is not, or is empty now, on data that are the same.

use super::{Detector, Evidence, Facts, Kind, Seen, Severity, kind};
use crate::data_store::Known;

pub const KIND: Kind = kind!("HF0103", "database-gone");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

fn look(facts: &Facts) -> Vec<Seen> {
    let stores = facts.stores.iter();
    stores.flat_map(of_store).collect()
}

fn of_store(known: &Known) -> Vec<Seen> {
    let subject = |database: &str| format!("{}/{database}", known.name());
    let lost = known.lost.iter();
    lost.map(|(database, lost)| {
        let subject = subject(database);
        let now = match lost.now {
            Some(now) => format!("has shrunk from {} to {now} bytes", lost.before),
            None => format!("({} bytes) is not there any more", lost.before),
        };
        Seen {
            kind: KIND,
            key: subject.clone(),
            severity: Severity::Critical,
            message: format!("the database {subject} {now}"),
            evidence: vec![Evidence::new("since", lost.at.to_string())],
            advice: format!(
                "ctl backup list {subject}, then ctl restore …; if it was meant: ctl instance accept {} --reason \"…\"",
                known.name()
            ),
            subject,
        }
    })
    .collect()
}
