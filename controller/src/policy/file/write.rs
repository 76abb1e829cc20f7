//! A set of policies as a document: what the catalog keeps, and what `ctl export` prints. It says
//! everything, so that it means the same under another default.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{
    policy::{
        DEFAULT_ZONE, Glob, HostPlan, Plan, Policy, PolicyCheck, PolicySet, Protection,
        RebuildPlan, Selector,
    },
    retention::Rules,
    schedule::Timing,
};

#[derive(Debug, Serialize)]
struct Document {
    per_host: PerHost,
    hosts: Hosts,
    default: Body,
    policies: Vec<Named>,
}

#[derive(Debug, Serialize)]
struct PerHost {
    backups: u32,
    drills: u32,
}

#[derive(Debug, Serialize)]
struct Hosts {
    #[serde(flatten)]
    plan: OfHost,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    except: BTreeMap<String, OfHost>,
}

#[derive(Debug, Serialize)]
struct OfHost {
    time_zone: String,
    rebuild: Rebuild,
    offsite: Scheduled,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Rebuild {
    Scheduled(Scheduled),
    On {
        schedule: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        jitter: Option<String>,
        on: String,
    },
}

#[derive(Debug, Serialize)]
struct Named {
    name: String,
    select: Select,
    #[serde(flatten)]
    body: Body,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body {
    Off { protect: bool, reason: String },
    On(Box<OnBody>),
}

#[derive(Debug, Serialize)]
struct OnBody {
    time_zone: String,
    backup: Scheduled,
    retention: Retention,
    drill: DrillBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Check>>,
    rpo: String,
    rto: Rto,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<HooksBody>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Scheduled {
    Text(String),
    Keys {
        schedule: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        jitter: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stop: Option<bool>,
    },
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Retention {
    Everything(&'static str),
    Rules(BTreeMap<&'static str, Number>),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Number {
    Count(u32),
    Span(String),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum DrillBody {
    None(&'static str),
    Plan {
        schedule: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        jitter: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        sql: Vec<String>,
    },
}

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    count: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    newest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_drop: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<String>,
    every: String,
    timeout: String,
}

#[derive(Debug, Serialize)]
struct Rto {
    #[serde(skip_serializing_if = "Option::is_none")]
    restore: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drill: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuild: Option<String>,
}

#[derive(Debug, Serialize)]
struct HooksBody {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    start: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Select {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    host: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    project: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    label: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    engine: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instance: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    name: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volume: Vec<String>,
}

/// A `fleet.yaml` that reads as just this set.
///
/// # Errors
/// When the YAML writer refuses, which it does for no text of ours.
pub fn write(set: &PolicySet) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&whole(set))
}

/// The same as JSON, which is YAML too. Null when it cannot be written.
#[must_use]
pub fn document(set: &PolicySet) -> serde_json::Value {
    serde_json::to_value(whole(set)).unwrap_or_default()
}

fn whole(set: &PolicySet) -> Document {
    Document {
        per_host: PerHost {
            backups: set.per_host.backups,
            drills: set.per_host.drills,
        },
        hosts: Hosts {
            plan: of_host(&set.hosts.plan),
            except: set
                .hosts
                .except
                .iter()
                .map(|(name, plan)| (name.to_string(), of_host(plan)))
                .collect(),
        },
        default: body(&set.default),
        policies: set
            .policies
            .iter()
            .map(|policy| Named {
                name: policy.name.clone(),
                select: select(&policy.select),
                body: body(policy),
            })
            .collect(),
    }
}

fn of_host(plan: &HostPlan) -> OfHost {
    let HostPlan { rebuild, offsite } = plan;
    let none = || Scheduled::Text("none".to_owned());
    let zone = rebuild.as_ref().map(|rebuild| &rebuild.timing);
    let zone = zone.or(offsite.as_ref()).map(Timing::zone);
    OfHost {
        time_zone: zone.unwrap_or(DEFAULT_ZONE).name().to_owned(),
        rebuild: match rebuild {
            None => Rebuild::Scheduled(none()),
            Some(RebuildPlan { timing, on: None }) => Rebuild::Scheduled(scheduled(timing, false)),
            Some(RebuildPlan {
                timing,
                on: Some(on),
            }) => Rebuild::On {
                schedule: timing.text().to_owned(),
                jitter: timing.own_jitter().map(span),
                on: on.to_string(),
            },
        },
        offsite: offsite
            .as_ref()
            .map_or_else(none, |timing| scheduled(timing, false)),
    }
}

fn select(select: &Selector) -> Select {
    let texts = |globs: &[Glob]| globs.iter().map(ToString::to_string).collect();
    Select {
        host: texts(&select.host),
        project: texts(&select.project),
        label: select
            .label
            .iter()
            .map(|(label, glob)| (label.clone(), glob.to_string()))
            .collect(),
        engine: select.engine.iter().map(|engine| engine.as_str()).collect(),
        instance: texts(&select.instance),
        name: texts(&select.name),
        volume: texts(&select.volume),
    }
}

fn body(policy: &Policy) -> Body {
    match &policy.protection {
        Protection::Off { reason } => Body::Off {
            protect: false,
            reason: reason.clone(),
        },
        Protection::On(plan) => Body::On(Box::new(on(plan, policy.select.is_of_volumes()))),
    }
}

/// Of volumes nothing is written that is a mistake there.
fn on(plan: &Plan, of_volumes: bool) -> OnBody {
    let Plan {
        backup,
        stop,
        retention: rules,
        drill,
        checks,
        targets,
        hooks,
    } = plan;
    OnBody {
        time_zone: rules.zone.name().to_owned(),
        backup: scheduled(backup, *stop),
        retention: retention(rules),
        drill: match drill {
            None => DrillBody::None("none"),
            Some(drill) => DrillBody::Plan {
                schedule: drill.timing.text().to_owned(),
                jitter: drill.timing.own_jitter().map(span),
                host: drill.host.as_ref().map(ToString::to_string),
                sql: drill.assertions.clone(),
            },
        },
        checks: (!of_volumes).then(|| checks.iter().map(check).collect()),
        rpo: targets.rpo.map_or_else(|| "none".to_owned(), span),
        rto: Rto {
            restore: targets.restore.map(span),
            drill: targets.drill.map(span),
            rebuild: targets.rebuild.map(span),
        },
        hooks: (!of_volumes).then(|| HooksBody {
            stop: hooks.stop.clone(),
            start: hooks.start.clone(),
        }),
    }
}

fn scheduled(timing: &Timing, stop: bool) -> Scheduled {
    let schedule = timing.text().to_owned();
    match timing.own_jitter() {
        None if !stop => Scheduled::Text(schedule),
        jitter => Scheduled::Keys {
            schedule,
            jitter: jitter.map(span),
            stop: stop.then_some(true),
        },
    }
}

fn retention(rules: &Rules) -> Retention {
    if rules.is_empty() {
        return Retention::Everything("everything");
    }
    let counts = [
        ("last", rules.last),
        ("hourly", rules.hourly),
        ("daily", rules.daily),
        ("weekly", rules.weekly),
        ("monthly", rules.monthly),
        ("yearly", rules.yearly),
    ];
    let said = counts.into_iter().filter(|(_, count)| *count > 0);
    let mut all: BTreeMap<_, _> = said
        .map(|(rule, count)| (rule, Number::Count(count)))
        .collect();
    if let Some(within) = rules.within {
        all.insert("within", Number::Span(span(within)));
    }
    Retention::Rules(all)
}

fn check(check: &PolicyCheck) -> Check {
    Check {
        name: check.name.clone(),
        count: check.count.clone(),
        newest: check.newest.clone(),
        min: check.limits.min,
        max: check.limits.max,
        max_drop: check.limits.max_drop_percent,
        max_age: check.limits.max_age.map(span),
        every: span(check.every),
        timeout: span(check.timeout),
    }
}

fn span(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}
