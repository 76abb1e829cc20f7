//! `unprotected`: no policy protects a database; by omission, or because one says so.

use super::{Detector, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0501", "unprotected");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

pub fn look(facts: &Facts) -> Vec<Seen> {
    let databases = facts.protection.iter();
    databases
        .filter_map(|database| {
            let (reason, by_choice) = database.unprotected()?;
            let subject = database.subject.database.to_string();
            let (severity, message) = if by_choice {
                let policy = &database.policy;
                let said = format!("{subject} is not protected; policy {policy} says: {reason}");
                (Severity::Info, said)
            } else {
                let said = format!("{subject} is not protected: no policy covers it ({reason})");
                (Severity::Warning, said)
            };
            Some(Seen {
                kind: KIND,
                evidence: vec![],
                key: subject.clone(),
                severity,
                message,
                advice: format!("ctl policy show {subject}"),
                subject,
            })
        })
        .collect()
}
