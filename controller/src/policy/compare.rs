//! What one set of policies has that another has not, and whether that takes protection away.

use std::{cmp::Ordering, collections::BTreeMap};

use chrono::{DateTime, TimeDelta};
use serde_json::Value;

use super::{HostPlans, Plan, Policy, PolicySet, file::document};
use crate::{
    retention::Rules,
    schedule::{Timing, Work},
};

/// The section of the file.
const HOSTS: &str = "hosts";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Added,
    Changed,
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: Kind,
    /// Of the policy; "per_host", "hosts" and "default" for those sections.
    pub name: String,
    /// "backup: daily -> hourly".
    pub lines: Vec<String>,
    /// Fewer backups are made or kept, or nothing proves them any more.
    pub weakens: bool,
}

/// Nothing, when both mean the same. The order of policies means nothing.
#[must_use]
pub fn compare(before: &PolicySet, after: &PolicySet) -> Vec<Change> {
    let (old, new) = (parts(before), parts(after));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| {
            let (kind, lines) = match (old.get(name), new.get(name)) {
                (None, Some(is)) => (Kind::Added, lines(&BTreeMap::new(), is)),
                (Some(was), None) => (Kind::Removed, lines(was, &BTreeMap::new())),
                (Some(was), Some(is)) if was != is => (Kind::Changed, lines(was, is)),
                _ => return None,
            };
            let policies = (before.named(name), after.named(name));
            Some(Change {
                kind,
                name: name.clone(),
                lines,
                weakens: match name.as_str() {
                    HOSTS => hosts_weaken(&before.hosts, &after.hosts),
                    _ => weakens(policies.0, policies.1),
                },
            })
        })
        .collect()
}

type Flat = BTreeMap<String, String>;

/// By name of the policy: every key with its value.
fn parts(set: &PolicySet) -> BTreeMap<String, Flat> {
    let document = document(set);
    let mut parts = BTreeMap::new();
    for name in ["per_host", HOSTS, "default"] {
        parts.insert(name.to_owned(), flat(&document[name]));
    }
    for policy in document["policies"].as_array().into_iter().flatten() {
        let name = policy["name"].as_str().unwrap_or_default().to_owned();
        let mut flat = flat(policy);
        flat.remove("name");
        parts.insert(name, flat);
    }
    parts
}

fn flat(value: &Value) -> Flat {
    fn walk(value: &Value, path: &str, out: &mut Flat) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    walk(value, &path, out);
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for (place, item) in items.iter().enumerate() {
                    walk(item, &format!("{path}[{place}]"), out);
                }
            }
            Value::Array(items) if items.is_empty() => {}
            Value::Array(items) => {
                let texts: Vec<_> = items.iter().map(text).collect();
                out.insert(path.to_owned(), texts.join(", "));
            }
            other => drop(out.insert(path.to_owned(), text(other))),
        }
    }
    let mut out = Flat::new();
    walk(value, "", &mut out);
    out
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn lines(was: &Flat, is: &Flat) -> Vec<String> {
    let mut keys: Vec<_> = was.keys().chain(is.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter_map(|key| match (was.get(key), is.get(key)) {
            (Some(was), Some(is)) if was == is => None,
            (Some(was), Some(is)) => Some(format!("{key}: {was} -> {is}")),
            (Some(was), None) => Some(format!("{key}: {was} -> nothing")),
            (None, Some(is)) => Some(format!("{key}: {is}")),
            (None, None) => None,
        })
        .collect()
}

fn weakens(was: Option<&Policy>, is: Option<&Policy>) -> bool {
    let Some(was) = was else {
        // A new policy can stand before a stronger one; that nothing is protected is always less.
        return is.is_some_and(|is| is.plan().is_none());
    };
    match (was.plan(), is.and_then(Policy::plan)) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(was), Some(is)) => plan_weakens(was, is) || was_wider(was, is),
    }
}

/// Some host is rebuilt, or read, less often.
fn hosts_weaken(was: &HostPlans, is: &HostPlans) -> bool {
    let named = was.except.keys().chain(is.except.keys());
    let each = named.map(|host| (was.of(host), is.of(host)));
    let mut all = each.chain([(&was.plan, &is.plan)]);
    all.any(|(was, is)| {
        Work::OF_HOSTS
            .iter()
            .any(|work| less_often(was.timing(*work), is.timing(*work)))
    })
}

fn less_often(was: Option<&Timing>, is: Option<&Timing>) -> bool {
    match (was, is) {
        (Some(was), Some(is)) => runs(is) < runs(was),
        (Some(_), None) => true,
        (None, _) => false,
    }
}

fn plan_weakens(was: &Plan, is: &Plan) -> bool {
    // What is written to is not backed up then.
    let not_stopped = was.stop && !is.stop;
    let done_less_often = |work| less_often(was.timing(work), is.timing(work));
    not_stopped || Work::OF_DATABASES.into_iter().any(done_less_often)
}

/// The old rules keep something that the new ones may let go.
fn was_wider(was: &Plan, is: &Plan) -> bool {
    let counts = |rules: &Rules| {
        [
            rules.last,
            rules.hourly,
            rules.daily,
            rules.weekly,
            rules.monthly,
            rules.yearly,
        ]
    };
    let (was, is) = (&was.retention, &is.retention);
    if is.is_empty() {
        return false;
    }
    let fewer = counts(was)
        .iter()
        .zip(counts(is))
        .any(|(was, is)| is < *was);
    was.is_empty() || fewer || is.within.cmp(&was.within) == Ordering::Less
}

/// In a year: to tell which of two schedules comes more often. What comes more than daily is reckoned from
/// the pace of its first moments.
fn runs(timing: &Timing) -> i64 {
    const AT_MOST: i64 = 400;
    const YEAR: TimeDelta = TimeDelta::days(366);
    let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let end = start + YEAR;
    let next = |now: &DateTime<_>| timing.next("", *now).filter(|next| *next < end);
    let (mut count, mut first, mut last) = (0, end, start);
    for moment in std::iter::successors(Some(start), next).skip(1) {
        if count == AT_MOST {
            break;
        }
        (count, first, last) = (count + 1, first.min(moment), moment);
    }
    match (last - first).num_seconds() {
        span @ 1.. if count == AT_MOST => (count - 1) * YEAR.num_seconds() / span,
        _ => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file::read;

    const BEFORE: &str = "policies:\n  - {name: shop, select: {name: shop}, backup: hourly, rpo: 1h}\n  - {name: crm, select: {name: crm}}\n";

    fn changes(after: &str) -> Vec<Change> {
        compare(&read(BEFORE).unwrap(), &read(after).unwrap())
    }

    #[test]
    fn of_two_schedules_that_come_often_the_one_that_comes_less_often_weakens() {
        let weakens = |before: &str, after: &str| {
            let set = |every: &str| read(&format!("default: {{backup: \"{every}\"}}\n")).unwrap();
            let changed = compare(&set(before), &set(after));
            changed.iter().any(|change| change.weakens)
        };
        for (often, seldom) in [
            ("*/5 * * * *", "hourly"),
            ("hourly", "0 */2 * * *"),
            ("0 */2 * * *", "daily"),
            ("daily", "weekly"),
        ] {
            assert!(weakens(often, seldom), "{often} -> {seldom}");
            assert!(!weakens(seldom, often), "{seldom} -> {often}");
        }
    }

    #[test]
    fn the_same_and_another_order_are_no_change() {
        assert_eq!(changes(BEFORE), []);
        let turned = "policies:\n  - {name: crm, select: {name: crm}}\n  - {name: shop, rpo: 60m, backup: hourly, select: {name: [shop]}}\n";
        assert_eq!(changes(turned), []);
    }

    #[test]
    fn a_change_says_what_was_and_what_will_be() {
        let after = BEFORE.replace("hourly", "daily").replace(", rpo: 1h", "");
        let changed = changes(&after);
        assert_eq!(changed.len(), 1);
        assert_eq!(
            (changed[0].kind, changed[0].name.as_str()),
            (Kind::Changed, "shop")
        );
        assert_eq!(
            changed[0].lines,
            ["backup: hourly -> daily", "rpo: 1h -> none"]
        );
        assert!(changed[0].weakens);
        let back = compare(&read(&after).unwrap(), &read(BEFORE).unwrap());
        assert!(!back[0].weakens);
    }

    #[test]
    fn what_takes_protection_away_is_told_from_what_does_not() {
        let plan = |extra: &str| {
            format!("default: {{retention: {{daily: 7, within: 3d}}, drill: monthly{extra}}}\n")
        };
        let weakens = |before: &str, after: &str| {
            let changed = compare(&read(before).unwrap(), &read(after).unwrap());
            changed.iter().any(|change| change.weakens)
        };
        let base = plan("");
        for (after, weaker) in [
            (format!("{base}hosts: {{rebuild: yearly}}"), true),
            (format!("{base}hosts: {{offsite: none}}"), true),
            (format!("{base}hosts: {{rebuild: monthly}}"), false),
            (
                format!("{base}hosts: {{except: {{web-1: {{rebuild: none}}}}}}"),
                true,
            ),
            (base.replace("daily: 7", "daily: 6"), true),
            (base.replace("daily: 7", "daily: 8"), false),
            (base.replace("within: 3d", "within: 2d"), true),
            (base.replace("{daily: 7, within: 3d}", "everything"), false),
            (base.replace("drill: monthly", "drill: none"), true),
            (base.replace("drill: monthly", "drill: weekly"), false),
            (
                "default: {protect: false, reason: none of ours}\n".to_owned(),
                true,
            ),
            (plan(", rpo: 3h"), false),
            (
                format!(
                    "{base}policies: [{{name: a, select: {{name: a}}, protect: false, reason: x}}]"
                ),
                true,
            ),
        ] {
            assert_eq!(weakens(&base, &after), weaker, "{after}");
        }
        assert!(weakens(BEFORE, "policies: []"));
    }
}
