//! `disk-filling`: the file system under a data directory runs full.

use super::{Detector, Facts, Kind, Seen, Severity, kind, percent};

pub const KIND: Kind = kind!("HF0403", "disk-filling");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};
const WARN_PERCENT: u64 = 80;
const CRITICAL_PERCENT: u64 = 90;

pub fn look(facts: &Facts) -> Vec<Seen> {
    let disks = facts.healthy();
    disks
        .filter_map(|(_, subject, health)| {
            let used = health
                .disk_total_bytes
                .saturating_sub(health.disk_free_bytes);
            // Of a registered instance nobody sees the disk: the total is 0, and nothing is said.
            let used = percent(used, health.disk_total_bytes)?;
            let severity = Severity::by_limits(used, WARN_PERCENT, CRITICAL_PERCENT)?;
            Some(Seen {
                kind: KIND,
                evidence: vec![],
                key: subject.clone(),
                severity,
                message: format!(
                    "the disk under {} of {subject} is {used} % full, {} MiB are left",
                    health.data_directory,
                    health.disk_free_bytes >> 20
                ),
                subject,
                advice: "make room or enlarge it: a full disk stops the server".to_owned(),
            })
        })
        .collect()
}
