//! `slot-lag`: a replication slot makes the server keep a lot of WAL.

use holdfast_proto::fleet::{InstanceHealth, ReplicationSlot};

use super::{Detector, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0204", "slot-lag");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};
const WARN_BYTES: u64 = 1 << 30;
const CRITICAL_BYTES: u64 = 10 << 30;

pub fn look(facts: &Facts) -> Vec<Seen> {
    let instances = facts.healthy();
    instances
        .flat_map(|(_, subject, health)| {
            let slots = health.slots.iter();
            slots
                .filter_map(move |slot| judge(&subject, health, slot))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn judge(subject: &str, health: &InstanceHealth, slot: &ReplicationSlot) -> Option<Seen> {
    let by_size = Severity::by_limits(slot.lag_bytes, WARN_BYTES, CRITICAL_BYTES)?;
    // It keeps more than what is left on the disk: it may fill it.
    let fills = health.disk_total_bytes > 0 && slot.lag_bytes > health.disk_free_bytes;
    let state = if slot.active {
        "in use"
    } else {
        "used by nobody"
    };
    Some(Seen {
        kind: KIND,
        evidence: vec![],
        key: format!("{subject}:{}", slot.name),
        severity: if fills { Severity::Critical } else { by_size },
        subject: subject.to_owned(),
        message: format!(
            "the {} slot {} of {subject}, {state}, keeps {} GiB of WAL",
            slot.kind,
            slot.name,
            slot.lag_bytes >> 30
        ),
        advice: "look at its consumer; nobody needs it: pg_drop_replication_slot".to_owned(),
    })
}
