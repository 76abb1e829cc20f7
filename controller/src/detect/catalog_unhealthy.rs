//! `catalog-unhealthy`: what the controller itself stands on is about to fail.

use super::{Detector, Kind, Ours, Seen, Severity, kind, percent};

const KIND: Kind = kind!("HF0603", "catalog-unhealthy");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(&moment.facts.ours),
};
const WARN_PERCENT: u64 = 80;
const CRITICAL_PERCENT: u64 = 90;
/// Millions.
const WARN_IDS: u64 = 500;
const CRITICAL_IDS: u64 = 1500;

fn look(ours: &Ours) -> Vec<Seen> {
    disk(ours)
        .into_iter()
        .chain(transaction_ids(ours))
        .collect()
}

fn disk(ours: &Ours) -> Option<Seen> {
    let disk = ours.disk.as_ref()?;
    let used = disk.total_bytes.saturating_sub(disk.free_bytes);
    let used = percent(used, disk.total_bytes)?;
    Some(Seen {
        kind: KIND,
        key: "disk".to_owned(),
        severity: Severity::by_limits(used, WARN_PERCENT, CRITICAL_PERCENT)?,
        subject: "the controller".to_owned(),
        message: format!(
            "the disk under {} on the controller is {used} % full, {} MiB are left: without room it can note nothing",
            disk.path,
            disk.free_bytes >> 20
        ),
        evidence: vec![],
        advice: "see what takes it: ctl repository stats; what goes by itself: ctl retention preview; else enlarge it"
            .to_owned(),
    })
}

fn transaction_ids(ours: &Ours) -> Option<Seen> {
    let millions = ours.transaction_id_age / 1_000_000;
    Some(Seen {
        kind: KIND,
        key: "transaction ids".to_owned(),
        severity: Severity::by_limits(millions, WARN_IDS, CRITICAL_IDS)?,
        subject: "the controller".to_owned(),
        message: format!(
            "the oldest transaction id of the catalog is {millions} million old; at 2100 million its server refuses to write"
        ),
        evidence: vec![],
        advice: "look what keeps VACUUM back on the catalog's server: long or prepared transactions, replication slots"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Disk;

    fn ours(used: u64, millions: u64) -> Ours {
        Ours {
            disk: Some(Disk {
                path: "/var/lib/holdfast".to_owned(),
                total_bytes: 100 << 30,
                free_bytes: (100 - used) << 30,
            }),
            transaction_id_age: millions * 1_000_000,
            ..Ours::default()
        }
    }

    fn severities(ours: &Ours) -> Vec<(Severity, String)> {
        let seen = look(ours).into_iter();
        seen.map(|seen| (seen.severity, seen.key)).collect()
    }

    #[test]
    fn a_disk_runs_full_and_ids_grow_old() {
        assert_eq!(severities(&ours(79, 499)), []);
        let warned = severities(&ours(80, 500));
        let both = ["disk", "transaction ids"].map(|key| (Severity::Warning, key.to_owned()));
        assert_eq!(warned, both);
        let critical = severities(&ours(90, 1500));
        assert!(
            critical
                .iter()
                .all(|(severity, _)| *severity == Severity::Critical)
        );
        let message = &look(&ours(90, 0))[0].message;
        assert!(
            message.contains("90 % full, 10240 MiB are left"),
            "{message}"
        );
    }

    #[test]
    fn what_nobody_can_see_is_not_told() {
        assert_eq!(look(&Ours::default()), []);
    }
}
