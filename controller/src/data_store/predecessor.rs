//! Which known service an observed one is: pure.
//!
//! A compose file without a name of its own gives its services another project when its directory is renamed, and
//! their volumes another name (incident 4). Such a service is not a new one: it is the known one, on other data.

use std::collections::BTreeMap;

use holdfast_proto::names::HostName;

use super::{Known, Observed};

/// Why an observed service is taken for a known one: the better reason is the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// It has the name, and lies where the data shall lie.
    Both,
    /// It lies where the data shall lie.
    Place,
    Name,
    /// The same definition in another project, while nothing of the known project runs.
    Definition,
}

/// Each observed service with the known one that it is; none: it is new. What does not run beside the one that is
/// the known service now is left out: it is what that service was before, or will be.
#[must_use]
pub fn match_up<'a>(
    known: &'a [Known],
    observed: &'a [Observed],
) -> Vec<(Option<&'a Known>, &'a Observed)> {
    let mut hosts: BTreeMap<&HostName, Host<'a>> = BTreeMap::new();
    for one in observed {
        hosts.entry(&one.name.host).or_default().observed.push(one);
    }
    for one in known {
        if let Some(host) = hosts.get_mut(&one.host) {
            host.known.push(one);
        }
    }
    hosts.values().flat_map(Host::match_up).collect()
}

/// What is known of a host, and what is seen there.
#[derive(Debug, Default)]
struct Host<'a> {
    known: Vec<&'a Known>,
    observed: Vec<&'a Observed>,
}

impl<'a> Host<'a> {
    fn match_up(&self) -> Vec<(Option<&'a Known>, &'a Observed)> {
        let mut winners: BTreeMap<u64, ((bool, Reason), usize)> = BTreeMap::new();
        let seen = self.observed.iter();
        let candidates: Vec<_> = seen.map(|one| (self.candidate(one), *one)).collect();
        for (index, (found, one)) in candidates.iter().enumerate() {
            if let Some((before, reason)) = found {
                let rank = ((!one.alive, *reason), index);
                let best = winners.entry(before.id).or_insert(rank);
                *best = rank.min(*best);
            }
        }
        let settled = candidates.into_iter().enumerate();
        settled
            .filter_map(|(index, (found, one))| match found {
                None => Some((None, one)),
                Some((before, _)) => match winners.get(&before.id) {
                    Some((_, winner)) if *winner == index => Some((Some(before), one)),
                    _ => one.alive.then_some((None, one)),
                },
            })
            .collect()
    }

    fn candidate(&self, one: &Observed) -> Option<(&'a Known, Reason)> {
        let find = |is: &dyn Fn(&Known) -> bool| self.known.iter().copied().find(|known| is(known));
        let by_name = find(&|known| known.service == one.service);
        let by_both = by_name.filter(|known| lies_where_it_shall(known, one));
        let by_place = || find(&|known| lies_where_it_shall(known, one));
        let by_definition = || find(&|known| !self.runs(known) && goes_on_as(known, one));
        by_both
            .map(|known| (known, Reason::Both))
            .or_else(|| by_place().map(|known| (known, Reason::Place)))
            .or_else(|| by_name.map(|known| (known, Reason::Name)))
            .or_else(|| by_definition().map(|known| (known, Reason::Definition)))
    }

    fn runs(&self, known: &Known) -> bool {
        let mut observed = self.observed.iter();
        observed.any(|one| one.alive && one.service == known.service)
    }
}

fn lies_where_it_shall(known: &Known, one: &Observed) -> bool {
    let place = &known.accepted.host_path;
    !place.is_empty() && *place == one.store.host_path
}

/// The same service of the same compose file, which takes the same ports; or of an edited one that takes them.
fn goes_on_as(known: &Known, one: &Observed) -> bool {
    let (before, now) = (&known.traits, &one.traits);
    let of_compose =
        !now.compose_service.is_empty() && before.compose_service == now.compose_service;
    // Two environments of one template have other ports.
    let same_ports = before.ports == now.ports;
    let same_file = !now.config_hash.is_empty() && before.config_hash == now.config_hash;
    let same = same_ports && (same_file || !now.ports.is_empty());
    let renamed = before.project != now.project && known.accepted.engine == one.store.engine;
    one.alive && of_compose && renamed && same && volumes_alike(known, one)
}

/// But for the project that stands before it, the volume has the same name.
fn volumes_alike(known: &Known, one: &Observed) -> bool {
    let without = |name: Option<&str>, project: &str| {
        let own = name?.strip_prefix(project)?.strip_prefix('_')?;
        Some(own.to_owned())
    };
    let before = without(known.accepted.volume_name(), &known.traits.project);
    let now = without(one.store.volume_name(), &one.traits.project);
    before.is_some() && before == now
}
