//! What an observation changes in what is known of a service: pure.

use std::collections::BTreeMap;

use super::{Contents, DataStore, EventKind, Known, Lost, Observed, Swapped, Time, words::changes};

/// Databases that are smaller than this together say nothing: an empty server has as much.
const TELLING_BYTES: u64 = 256 << 20;
/// Of what a database had, in percent, for it to count as brought along.
const BROUGHT_ALONG_PERCENT: u128 = 90;
/// A smaller change of a database's size is not written down.
const WORTH_NOTING_PERCENT: u128 = 10;
/// Smaller databases come and go; what is in them is for checks to count.
const LARGE_BYTES: u64 = 64 << 20;
/// Of what it had, in percent: with less a database counts as emptied.
const EMPTIED_PERCENT: u64 = 10;

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub known: Known,
    /// None: nothing that belongs into its history.
    pub event: Option<(EventKind, Vec<String>)>,
}

/// The service after the observation; none: nothing is to be written.
#[must_use]
pub fn advance(known: Option<&Known>, observed: &Observed, now: Time) -> Option<Step> {
    let Some(before) = known else {
        return Some(first(observed, now));
    };
    let mut after = before.clone();
    after.service.clone_from(&observed.service);
    after.instance.clone_from(&observed.name.instance);
    after.traits.clone_from(&observed.traits);
    after.last_seen_at = now;
    let mut event = take(&mut after, observed, now);
    let (from, to) = (&before.service, &after.service);
    if from != to {
        let (_, changes) = event.get_or_insert((EventKind::Changed, Vec::new()));
        changes.push(format!("service {from} → {to}"));
    }
    let same = Known {
        last_seen_at: before.last_seen_at,
        ..after.clone()
    } == *before;
    (event.is_some() || !same).then_some(Step {
        known: after,
        event,
    })
}

fn first(observed: &Observed, now: Time) -> Step {
    let known = Known {
        id: 0,
        host: observed.name.host.clone(),
        service: observed.service.clone(),
        instance: observed.name.instance.clone(),
        traits: observed.traits.clone(),
        accepted: observed.store.clone(),
        contents: observed.contents.clone().unwrap_or_default(),
        lost: BTreeMap::new(),
        swapped: None,
        first_seen_at: now,
        last_seen_at: now,
    };
    Step {
        known,
        event: Some((EventKind::FirstSeen, Vec::new())),
    }
}

fn take(after: &mut Known, observed: &Observed, now: Time) -> Option<(EventKind, Vec<String>)> {
    let seen = &observed.store;
    if after.accepted.same_data(seen) == Some(true) {
        let completed = complete(&after.accepted, seen);
        let told = changes(&after.accepted, &completed);
        after.accepted = completed;
        note_contents(after, observed.contents.as_ref(), now);
        let back = after.swapped.take().is_some();
        let kind = if back {
            EventKind::Returned
        } else {
            EventKind::Changed
        };
        return (back || !told.is_empty()).then_some((kind, told));
    }
    let told = changes(&after.accepted, seen);
    let contents = observed.contents.as_ref();
    if contents.is_some_and(|now| brings_along(&after.contents, now)) {
        after.accepted = seen.clone();
        note_contents(after, contents, now);
        after.swapped = None;
        return Some((EventKind::Accepted, told));
    }
    match after.swapped.take() {
        // The same wrong data, seen better.
        Some(mut swapped) if swapped.store.same_data(seen) == Some(true) => {
            swapped.store = complete(&swapped.store, seen);
            if let Some(contents) = contents {
                swapped.take_contents(contents);
            }
            after.swapped = Some(swapped);
            None
        }
        _ => {
            let mut swapped = Swapped {
                store: seen.clone(),
                contents: Contents::default(),
                at: now,
            };
            if let Some(contents) = contents {
                swapped.take_contents(contents);
            }
            after.swapped = Some(swapped);
            Some((EventKind::Swapped, told))
        }
    }
}

impl Swapped {
    fn take_contents(&mut self, now: &Contents) {
        if !is_near(&self.contents.databases, &now.databases) {
            self.contents.databases.clone_from(&now.databases);
        }
        self.contents.take_counts(now);
    }
}

impl Contents {
    /// A check that tells nothing now (its server is stopping) has still counted what it counted.
    fn take_counts(&mut self, now: &Self) {
        let told = now.counts.iter();
        self.counts
            .extend(told.map(|(name, count)| (name.clone(), *count)));
    }
}

/// What was known and is not told now stays known, as long as the data have not moved.
fn complete(known: &DataStore, seen: &DataStore) -> DataStore {
    let mut completed = seen.clone();
    let keep = |now: &mut String, before: &String| {
        if now.is_empty() {
            now.clone_from(before);
        }
    };
    keep(&mut completed.system_identifier, &known.system_identifier);
    keep(&mut completed.image_digest, &known.image_digest);
    if known.same_place(seen) {
        keep(&mut completed.path, &known.path);
        keep(&mut completed.file_system, &known.file_system);
        if completed.inode == 0 {
            completed.inode = known.inode;
            completed.born_at = known.born_at;
        }
    }
    completed
}

/// Takes over what is there now; what counts as lost stays as it was.
fn note_contents(after: &mut Known, now: Option<&Contents>, at: Time) {
    let Some(now) = now else { return };
    let since = after.lost.clone();
    after.lost = losses(&after.contents, now)
        .map(|(name, before, left)| {
            let at = since.get(name).map_or(at, |lost| lost.at);
            let lost = Lost {
                before,
                now: left,
                at,
            };
            (name.clone(), lost)
        })
        .collect();
    let kept = after.lost.keys().filter_map(|name| {
        let before = after.contents.databases.get(name)?;
        Some((name.clone(), *before))
    });
    let mut databases = now.databases.clone();
    databases.extend(kept.collect::<Vec<_>>());
    if !is_near(&after.contents.databases, &databases) {
        after.contents.databases = databases;
    }
    after.contents.take_counts(now);
}

/// What was large and is not there, or nearly empty: name, bytes before, bytes now.
fn losses<'a>(
    before: &'a Contents,
    now: &'a Contents,
) -> impl Iterator<Item = (&'a String, u64, Option<u64>)> {
    let large = before.databases.iter();
    large
        .filter(|(_, bytes)| **bytes >= LARGE_BYTES)
        .map(|(name, bytes)| (name, *bytes, now.databases.get(name).copied()))
        .filter(|(_, bytes, now)| now.is_none_or(|now| now < bytes / 100 * EMPTIED_PERCENT))
}

/// The same databases, none of another size worth noting.
fn is_near(known: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> bool {
    let near = |(name, bytes): (&String, &u64)| {
        known.get(name).is_some_and(|before| {
            let (before, bytes) = (u128::from(*before), u128::from(*bytes));
            before.abs_diff(bytes) * 100 <= before.max(bytes) * WORTH_NOTING_PERCENT
        })
    };
    known.len() == now.len() && now.iter().all(near)
}

/// All databases are there, about as large as they were, and too large to be empty.
fn brings_along(before: &Contents, now: &Contents) -> bool {
    let total: u64 = before.databases.values().sum();
    total >= TELLING_BYTES
        && before.databases.iter().all(|(name, bytes)| {
            let bytes = u128::from(*bytes);
            let now = now.databases.get(name);
            now.is_some_and(|now| u128::from(*now) * 100 >= bytes * BROUGHT_ALONG_PERCENT)
        })
}
