//! Two policies of one rank that could select the same database or volume: nobody could say which of them covers it.

use super::{Glob, Policy, Selector, cover::Rank};

/// Pairs of places in the list. Found from the selectors alone: a database that is found tomorrow must not
/// bring a tie.
#[must_use]
pub fn ties(policies: &[Policy]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (later, policy) in policies.iter().enumerate() {
        for (earlier, other) in policies[..later].iter().enumerate() {
            let same_rank = Rank::of(&policy.select) == Rank::of(&other.select);
            if same_rank && overlap(&policy.select, &other.select) {
                found.push((earlier, later));
            }
        }
    }
    found
}

fn overlap(a: &Selector, b: &Selector) -> bool {
    if a.is_of_volumes() != b.is_of_volumes() {
        return false;
    }
    let texts = [
        (&a.volume, &b.volume),
        (&a.name, &b.name),
        (&a.instance, &b.instance),
        (&a.project, &b.project),
        (&a.host, &b.host),
    ];
    let labels = a.label.iter().all(|(label, glob)| {
        let other = b.label.get(label);
        other.is_none_or(|other| glob.overlaps(other))
    });
    let engines =
        a.engine.is_empty() || b.engine.is_empty() || a.engine.iter().any(|e| b.engine.contains(e));
    labels && engines && texts.into_iter().all(|(a, b)| any_overlap(a, b))
}

fn any_overlap(a: &[Glob], b: &[Glob]) -> bool {
    a.is_empty()
        || b.is_empty()
        || a.iter()
            .any(|glob| b.iter().any(|other| glob.overlaps(other)))
}
