//! What a policy does, or that it does nothing: schedule, retention, drill, targets, hooks.

use chrono_tz::Tz;
use holdfast_proto::{
    fleet::Engine,
    names::{HostName, NameError},
};

use super::{
    check,
    fields::{Fields, Section},
    mistake::Mistakes,
    refuse,
    tree::Value,
};
use crate::{
    fleet::nearest,
    policy::{DrillPlan, Hooks, Plan, Protection, Targets},
    retention::Rules,
    schedule::{BadTiming, Timing},
};

/// The keys of a policy and of `default`.
pub const KEYS: [&str; 10] = [
    "protect",
    "reason",
    "time_zone",
    "backup",
    "retention",
    "drill",
    "checks",
    "rpo",
    "rto",
    "hooks",
];
const BACKUP_KEYS: [&str; 3] = ["schedule", "jitter", "stop"];
const DRILL_KEYS: [&str; 4] = ["schedule", "jitter", "host", "sql"];
/// Those that mean nothing for volumes.
const OF_DATABASES: [&str; 2] = ["checks", "hooks"];
const MOST: u32 = 10_000;

/// What a policy covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Databases,
    Volumes,
}

/// What is not said is as in `base`.
pub fn protection(
    section: &Section<'_>,
    of: Of,
    base: &Plan,
    mistakes: &mut Mistakes,
) -> Protection {
    let off = section
        .get("protect")
        .is_some_and(|fields| match fields.value() {
            Value::Bool(protect) => !protect,
            _ => {
                fields.wrong("true or false", "", mistakes);
                false
            }
        });
    if off {
        return unprotected(section, mistakes);
    }
    if let Some(fields) = section.get("reason") {
        let said = "is for protect: false only".to_owned();
        mistakes.add(&fields, said, "leave it away, or make it a comment");
    }
    Protection::On(Box::new(match of {
        Of::Databases => plan_of_databases(section, base, mistakes),
        Of::Volumes => plan_of_volumes(section, base, mistakes),
    }))
}

fn unprotected(section: &Section<'_>, mistakes: &mut Mistakes) -> Protection {
    let said = section.present(&KEYS[2..10]);
    for key in said {
        if let Some(fields) = section.get(key) {
            let message = "has no meaning with protect: false".to_owned();
            mistakes.add(&fields, message, "leave one of them away");
        }
    }
    let reason = section.required("reason", mistakes);
    Protection::Off {
        reason: reason.and_then(|f| f.text(mistakes)).unwrap_or_default(),
    }
}

fn plan_of_databases(section: &Section<'_>, base: &Plan, mistakes: &mut Mistakes) -> Plan {
    if let Some(backup) = keys(section.get("backup"), &BACKUP_KEYS) {
        refuse(&backup, &["stop"], "databases", mistakes);
    }
    plan(section, base, mistakes)
}

/// What asks databases is left away from what is as in `base`.
fn plan_of_volumes(section: &Section<'_>, base: &Plan, mistakes: &mut Mistakes) -> Plan {
    refuse(section, &OF_DATABASES, "volumes", mistakes);
    if let Some(drill) = keys(section.get("drill"), &DRILL_KEYS) {
        refuse(&drill, &["sql"], "volumes", mistakes);
    }
    let backup = keys(section.get("backup"), &BACKUP_KEYS);
    let stop = backup.and_then(|backup| backup.get("stop"));
    let base = Plan {
        checks: Vec::new(),
        hooks: Hooks::default(),
        drill: base.drill.clone().map(|drill| DrillPlan {
            assertions: Vec::new(),
            ..drill
        }),
        ..base.clone()
    };
    Plan {
        stop: stop.is_some_and(|fields| truth(&fields, mistakes)),
        ..plan(section, &base, mistakes)
    }
}

/// None: it is a word, or not there. What is wrong with the keys is told by whoever reads all of them.
fn keys<'a>(fields: Option<Fields<'a>>, known: &[&str]) -> Option<Section<'a>> {
    let fields = fields.filter(|fields| matches!(fields.value(), Value::Map(_)))?;
    fields.section(known, &mut Mistakes::default())
}

/// False when it is neither.
fn truth(fields: &Fields<'_>, mistakes: &mut Mistakes) -> bool {
    match fields.value() {
        Value::Bool(truth) => *truth,
        _ => {
            fields.wrong("true or false", "", mistakes);
            false
        }
    }
}

fn plan(section: &Section<'_>, base: &Plan, mistakes: &mut Mistakes) -> Plan {
    let own_zone = section.get("time_zone").and_then(|f| zone(&f, mistakes));
    let zone = own_zone.unwrap_or(base.retention.zone);
    let backup = section
        .get("backup")
        .and_then(|f| scheduled(&f, zone, &["stop"], mistakes));
    let retention = section
        .get("retention")
        .and_then(|f| retention(&f, zone, mistakes));
    Plan {
        backup: backup.unwrap_or_else(|| base.backup.in_zone(zone)),
        stop: false,
        retention: retention.unwrap_or_else(|| Rules {
            zone,
            ..base.retention.clone()
        }),
        drill: match section.get("drill") {
            Some(fields) => drill(&fields, zone, mistakes),
            None => base.drill.clone().map(|drill| DrillPlan {
                timing: drill.timing.in_zone(zone),
                ..drill
            }),
        },
        checks: match section.get("checks") {
            Some(fields) => check::checks(&fields, mistakes),
            None => base.checks.clone(),
        },
        targets: targets(section, base.targets, mistakes),
        hooks: match section.get("hooks") {
            Some(fields) => hooks(&fields, mistakes),
            None => base.hooks.clone(),
        },
    }
}

pub(super) fn zone(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<Tz> {
    let text = fields.text(mistakes)?;
    let zone = text.parse().ok();
    if zone.is_none() {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let advice = match nearest(&text, names) {
            Some(near) => format!("did you mean {near}?"),
            None => "a name of the IANA list, such as Europe/Berlin or UTC".to_owned(),
        };
        mistakes.add(fields, format!("{text:?} is no time zone"), &advice);
    }
    zone
}

/// `daily`, or `schedule` and `jitter` with the other keys that are known here.
pub(super) fn scheduled(
    fields: &Fields<'_>,
    zone: Tz,
    others: &[&str],
    mistakes: &mut Mistakes,
) -> Option<Timing> {
    let (schedule, jitter) = if let Value::Map(_) = fields.value() {
        let known = [&["schedule", "jitter"], others].concat();
        let section = fields.section(&known, mistakes)?;
        let jitter = section.get("jitter");
        (section.required("schedule", mistakes)?, jitter)
    } else {
        (fields.clone(), None)
    };
    let text = schedule.text(mistakes)?;
    let jitter = jitter.and_then(|f| match f.value() {
        // The one time that may be nothing.
        Value::Whole(0) => Some(std::time::Duration::ZERO),
        Value::Text(text) if text == "0s" => Some(std::time::Duration::ZERO),
        _ => f.span(mistakes),
    });
    let timing = Timing::parse(&text, zone, jitter);
    timing
        .map_err(|error| mistakes.add(&schedule, error.to_string(), &advice(&text, &error)))
        .ok()
}

fn advice(text: &str, error: &BadTiming) -> String {
    let words: Vec<_> = Timing::words().collect();
    match (error, nearest(text, words.iter())) {
        (BadTiming::NoSchedule { .. }, Some(near)) => format!("did you mean {near}?"),
        _ => format!(
            "{}, or five fields of cron such as \"30 2 * * *\"",
            words.join(", ")
        ),
    }
}

fn retention(fields: &Fields<'_>, zone: Tz, mistakes: &mut Mistakes) -> Option<Rules> {
    if matches!(fields.value(), Value::Text(text) if text == "everything") {
        return Some(Rules::none(zone));
    }
    let known = [
        "last", "hourly", "daily", "weekly", "monthly", "yearly", "within",
    ];
    let section = fields.section(&known, mistakes)?;
    let within = section.get("within").and_then(|f| f.span(mistakes));
    let mut number = |key: &str| match section.get(key) {
        Some(fields) => fields.count(0, MOST, mistakes).unwrap_or(1),
        None => 0,
    };
    let rules = Rules {
        last: number("last"),
        hourly: number("hourly"),
        daily: number("daily"),
        weekly: number("weekly"),
        monthly: number("monthly"),
        yearly: number("yearly"),
        within,
        zone,
    };
    if rules.is_empty() && section.get("within").is_none() {
        let said = "keeps nothing".to_owned();
        mistakes.add(
            fields,
            said,
            "name a rule such as daily: 7, or write everything to remove nothing",
        );
    }
    Some(rules)
}

/// `none`, `monthly`, or keys.
fn drill(fields: &Fields<'_>, zone: Tz, mistakes: &mut Mistakes) -> Option<DrillPlan> {
    if is_none(fields) {
        return None;
    }
    let timing = scheduled(fields, zone, &["host", "sql"], mistakes)?;
    let (mut host, mut assertions) = (None, Vec::new());
    if let Value::Map(_) = fields.value() {
        let section = fields.section(&DRILL_KEYS, &mut Mistakes::default())?;
        host = section.get("host").and_then(|f| self::host(&f, mistakes));
        if let Some(fields) = section.get("sql") {
            assertions = fields.texts(mistakes);
        }
    }
    Some(DrillPlan {
        timing,
        host,
        assertions,
    })
}

/// `none`, or `false`.
pub(super) fn is_none(fields: &Fields<'_>) -> bool {
    match fields.value() {
        Value::Bool(truth) => !truth,
        Value::Text(text) => text == "none",
        _ => false,
    }
}

pub(super) fn host(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<HostName> {
    let parsed = fields.text(mistakes)?.parse();
    parsed
        .map_err(|error: NameError| mistakes.add(fields, error.to_string(), ""))
        .ok()
}

fn targets(section: &Section<'_>, base: Targets, mistakes: &mut Mistakes) -> Targets {
    let mut targets = base;
    if let Some(fields) = section.get("rpo") {
        targets.rpo = span_or_none(&fields, mistakes);
    }
    let Some(fields) = section.get("rto") else {
        return targets;
    };
    if let Value::Map(_) = fields.value() {
        let known = ["restore", "drill", "rebuild"];
        if let Some(section) = fields.section(&known, mistakes) {
            let mut span = |key: &str| section.get(key).and_then(|f| f.span(mistakes));
            (targets.restore, targets.drill) = (span("restore"), span("drill"));
            targets.rebuild = span("rebuild");
        }
    } else {
        // A drill is a restore that nobody needs: one target for both.
        let target = span_or_none(&fields, mistakes);
        (targets.restore, targets.drill) = (target, target);
        targets.rebuild = None;
    }
    targets
}

fn span_or_none(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<std::time::Duration> {
    if matches!(fields.value(), Value::Text(text) if text == "none") {
        return None;
    }
    fields.span(mistakes)
}

fn hooks(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Hooks {
    let Some(section) = fields.section(&["stop", "start"], mistakes) else {
        return Hooks::default();
    };
    let mut names = |key: &str| section.get(key).map(|f| f.texts(mistakes));
    let stop = names("stop").unwrap_or_default();
    let start = names("start");
    // Who is stopped last is started first, unless somebody says otherwise.
    let start = start.unwrap_or_else(|| stop.iter().rev().cloned().collect());
    let forgotten: Vec<_> = stop.iter().filter(|name| !start.contains(name)).collect();
    if let (Some(name), Some(fields)) = (forgotten.first(), section.get("start")) {
        let said = format!("{name:?} is stopped and never started again");
        mistakes.add(&fields, said, "name it here as well");
    }
    Hooks { stop, start }
}

pub fn engine(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<Engine> {
    let text = fields.text(mistakes)?;
    let engines = [Engine::Postgres, Engine::Mariadb, Engine::Mysql];
    let found = engines.into_iter().find(|engine| engine.as_str() == text);
    if found.is_none() {
        let names = engines.map(Engine::as_str);
        let advice = match nearest(&text, names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known are {}", names.join(", ")),
        };
        mistakes.add(fields, format!("there is no engine {text:?}"), &advice);
    }
    found
}
