//! `fleet.yaml`: read with every mistake named by line and key, written so that it reads back the same.

mod check;
mod fields;
mod hosts;
mod mistake;
mod plan;
mod tree;
mod write;

use chrono_tz::Tz;

pub use mistake::Mistake;
pub use write::{document, write};

use self::{
    fields::{Fields, Section},
    mistake::Mistakes,
    plan::Of,
    tree::{Place, Tree},
};
use super::{
    DEFAULT, DEFAULT_ZONE, Glob, HostPlan, HostPlans, Plan, Policy, PolicySet, Protection,
    RebuildPlan, Selector, ties::ties,
};
use crate::{
    retention::Rules,
    schedule::{Limits, Timing},
};

/// Reads the whole file.
///
/// # Errors
/// Every mistake that is in it, in the order of the lines; never an empty list.
pub fn read(text: &str) -> Result<PolicySet, Vec<Mistake>> {
    let tree = Tree::parse(text).map_err(|mistake| vec![mistake])?;
    let mut mistakes = Mistakes::default();
    let set = read_tree(&tree, &mut mistakes);
    match (mistakes.sorted(), set) {
        (none, Some(set)) if none.is_empty() => Ok(set),
        (some, _) => Err(some),
    }
}

fn read_tree(tree: &Tree, mistakes: &mut Mistakes) -> Option<PolicySet> {
    let builtin = builtin_plan()?;
    let fields = Fields::of(tree);
    let section = fields.section(&["per_host", "hosts", "default", "policies"], mistakes)?;
    let per_host = section
        .get("per_host")
        .map_or_else(Limits::default, |f| limits(&f, mistakes));
    let default = match section.get("default") {
        None => Policy {
            name: DEFAULT.to_owned(),
            select: Selector::default(),
            protection: Protection::On(Box::new(builtin.clone())),
        },
        Some(fields) => {
            let section = fields.section(&plan::KEYS, mistakes)?;
            Policy {
                name: DEFAULT.to_owned(),
                select: Selector::default(),
                protection: plan::protection(&section, Of::Databases, &builtin, mistakes),
            }
        }
    };
    let base = default.plan().unwrap_or(&builtin);
    let of_hosts = builtin_host_plan(base.retention.zone)?;
    let hosts = match section.get("hosts") {
        Some(fields) => hosts::hosts(&fields, &of_hosts, base.retention.zone, mistakes),
        None => HostPlans {
            plan: of_hosts,
            ..HostPlans::default()
        },
    };
    let (mut policies, mut places) = (Vec::new(), Vec::new());
    for fields in section
        .get("policies")
        .map(|f| f.list(mistakes))
        .unwrap_or_default()
    {
        if let Some(policy) = policy(&fields, base, mistakes) {
            places.push((fields.place(), fields.path().to_owned()));
            policies.push(policy);
        }
    }
    refuse_twins(&policies, &places, mistakes);
    Some(PolicySet {
        per_host,
        hosts,
        default,
        policies,
    })
}

fn policy(fields: &Fields<'_>, base: &Plan, mistakes: &mut Mistakes) -> Option<Policy> {
    let mut known = vec!["name", "select"];
    known.extend(plan::KEYS);
    let section = fields.section(&known, mistakes)?;
    let name = section
        .required("name", mistakes)
        .and_then(|f| name(&f, mistakes));
    let select = section
        .required("select", mistakes)
        .and_then(|f| selector(&f, mistakes));
    let of = match &select {
        Some(select) if select.is_of_volumes() => Of::Volumes,
        _ => Of::Databases,
    };
    let protection = plan::protection(&section, of, base, mistakes);
    Some(Policy {
        name: name?,
        select: select?,
        protection,
    })
}

fn name(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<String> {
    let name = fields.text(mistakes)?;
    let is_label = name.len() <= 60
        && !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let reserved = [DEFAULT, "per_host", "hosts"].contains(&name.as_str());
    if !is_label || reserved {
        let why = if reserved {
            "has a meaning of its own"
        } else {
            "is no name for a policy"
        };
        mistakes.add(
            fields,
            format!("{name:?} {why}"),
            "1 to 60 letters, digits, -, _ and .",
        );
        return None;
    }
    Some(name)
}

fn selector(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<Selector> {
    let known = [
        "name", "instance", "label", "project", "host", "engine", "volume",
    ];
    let section = fields.section(&known, mistakes)?;
    if section.get("volume").is_some() {
        refuse(
            &section,
            &["name", "instance", "engine"],
            "volumes",
            mistakes,
        );
    }
    let mut globs = |key: &str| -> Vec<Glob> {
        let texts = section
            .get(key)
            .map(|f| f.texts(mistakes))
            .unwrap_or_default();
        texts.iter().map(|text| Glob::new(text)).collect()
    };
    let mut select = Selector {
        name: globs("name"),
        volume: globs("volume"),
        instance: globs("instance"),
        project: globs("project"),
        host: globs("host"),
        ..Selector::default()
    };
    if let Some(labels) = section.get("label") {
        for (label, value) in labels.entries(mistakes) {
            if let Some(value) = value.text(mistakes) {
                select.label.insert(label, Glob::new(&value));
            }
        }
    }
    for engine in section.get("engine").map(|f| f.items()).unwrap_or_default() {
        select.engine.extend(plan::engine(&engine, mistakes));
    }
    if section.is_empty() {
        mistakes.add(
            fields,
            "selects nothing in particular".to_owned(),
            "name host, project, label, engine, instance, name or volume; what holds for all others belongs under default",
        );
    }
    // Whatever could not be read is a mistake by now: a selector that selects too much is never used.
    Some(select)
}

/// Keys that mean nothing beside what is selected.
fn refuse(section: &Section<'_>, keys: &[&'static str], of: &str, mistakes: &mut Mistakes) {
    for fields in section
        .present(keys)
        .into_iter()
        .filter_map(|key| section.get(key))
    {
        let said = format!("means nothing in a policy for {of}");
        mistakes.add(&fields, said, "leave it away, or make two policies");
    }
}

fn limits(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Limits {
    let defaults = Limits::default();
    let Some(section) = fields.section(&["backups", "drills"], mistakes) else {
        return defaults;
    };
    let mut number = |key: &str, default| match section.get(key) {
        Some(fields) => fields.count(1, 100, mistakes).unwrap_or(default),
        None => default,
    };
    Limits {
        backups: number("backups", defaults.backups),
        drills: number("drills", defaults.drills),
    }
}

/// Two of one name, and two that could cover the same database or volume with nothing to choose between them.
fn refuse_twins(policies: &[Policy], places: &[(Place, String)], mistakes: &mut Mistakes) {
    for (later, policy) in policies.iter().enumerate() {
        let (place, path) = &places[later];
        if policies[..later]
            .iter()
            .any(|other| other.name == policy.name)
        {
            let said = format!("a policy {:?} is there already", policy.name);
            mistakes.at(
                *place,
                &format!("{path}.name"),
                said,
                "give it another name",
            );
        }
    }
    for (earlier, later) in ties(policies) {
        let (place, path) = &places[later];
        let (one, other) = (&policies[earlier].name, &policies[later].name);
        let of_volumes = policies[later].select.is_of_volumes();
        let said = format!(
            "{other:?} and {one:?} (line {}) can select the same {} and are equally specific",
            places[earlier].0.line,
            if of_volumes { "volume" } else { "database" }
        );
        let advice = if of_volumes {
            "let one of them name more (volume outranks label, project, host), or exclude each other"
        } else {
            "let one of them name more (name outranks instance, label, project, host, engine), or exclude each other"
        };
        mistakes.at(*place, &format!("{path}.select"), said, advice);
    }
}

/// What holds when nobody says anything. Its schedules are words, so it is always there.
fn builtin_plan() -> Option<Plan> {
    Some(Plan {
        backup: Timing::parse("daily", DEFAULT_ZONE, None).ok()?,
        stop: false,
        retention: Rules {
            zone: DEFAULT_ZONE,
            ..Rules::default()
        },
        drill: Some(super::DrillPlan {
            timing: Timing::parse("monthly", DEFAULT_ZONE, None).ok()?,
            host: None,
            assertions: Vec::new(),
        }),
        checks: Vec::new(),
        targets: super::Targets::default(),
        hooks: super::Hooks::default(),
    })
}

/// What holds for hosts when nobody says anything.
fn builtin_host_plan(zone: Tz) -> Option<HostPlan> {
    Some(HostPlan {
        rebuild: Some(RebuildPlan {
            timing: Timing::parse("quarterly", zone, None).ok()?,
            on: None,
        }),
        offsite: Some(Timing::parse("yearly", zone, None).ok()?),
    })
}

#[cfg(test)]
mod tests;
