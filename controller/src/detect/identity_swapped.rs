//! `identity-swapped`: a known service has come up on other data (incident 4).

use super::{Detector, Evidence, Facts, Kind, Seen, Severity, kind};
use crate::data_store::{Known, Swapped, changes};

pub const KIND: Kind = kind!("HF0102", "identity-swapped");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

fn look(facts: &Facts) -> Vec<Seen> {
    let stores = facts.stores.iter();
    stores
        .filter_map(|known| Some(tell(facts, known, known.swapped.as_ref()?)))
        .collect()
}

fn tell(facts: &Facts, known: &Known, swapped: &Swapped) -> Seen {
    let subject = known.name().to_string();
    let changes = changes(&known.accepted, &swapped.store);
    let what = match changes.first() {
        Some(first) => first.clone(),
        None => "its data".to_owned(),
    };
    let counts = counts(known, swapped);
    let mut message = format!("{subject} came up on other data: {what}");
    if let Some(count) = counts.first() {
        message.push_str(&format!("; {count}"));
    }
    let mut evidence: Vec<_> = changes
        .into_iter()
        .skip(1)
        .map(|change| Evidence::new("changed", change))
        .collect();
    evidence.extend(
        counts
            .into_iter()
            .skip(1)
            .map(|count| Evidence::new("check", count)),
    );
    evidence.push(Evidence::new(
        "the data that are known",
        place(known, facts),
    ));
    for (name, before) in &known.contents.databases {
        let now = match swapped.contents.databases.get(name) {
            Some(now) => format!("{before} → {now} bytes"),
            None if swapped.contents.databases.is_empty() => {
                format!("{before} bytes → not known yet")
            }
            None => format!("{before} bytes → not there"),
        };
        evidence.push(Evidence::new("database", format!("{name}: {now}")));
    }
    Seen {
        kind: KIND,
        key: format!("{}/{}", known.host, known.service),
        severity: Severity::Critical,
        message,
        evidence,
        advice: format!(
            "see what was before: ctl instance history {subject}; put the old volume back, or restore; \
             if the new data are the right ones: ctl instance accept {subject} --reason \"…\""
        ),
        subject,
    }
}

/// Where they were, and whether they still are.
fn place(known: &Known, facts: &Facts) -> String {
    let Some(volume) = known.accepted.volume_name() else {
        return known.accepted.host_path.clone();
    };
    let mut hosts = facts.hosts.iter();
    let host = hosts.find(|host| host.name == known.host);
    let there = host.is_some_and(|host| host.volumes.iter().any(|one| one.name == volume));
    let state = if there {
        "is still there"
    } else {
        "is not there any more"
    };
    format!("volume {volume} {state}")
}

/// "shop users 14 → 1": what the checks of its databases counted before, and count now.
fn counts(known: &Known, swapped: &Swapped) -> Vec<String> {
    let before = known.contents.counts.iter();
    let pairs = before.filter_map(|(name, before)| {
        let now = swapped.contents.counts.get(name)?;
        (before != now).then(|| format!("{name} {before} → {now}"))
    });
    pairs.collect()
}
