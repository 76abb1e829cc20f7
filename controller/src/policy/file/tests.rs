//! What a good file means, what each mistake is called, and that writing and reading are inverse.

use std::time::Duration;

use chrono_tz::Tz;
use holdfast_proto::{check::CheckLimits, fleet::Engine};
use proptest::prelude::*;

use super::*;
use crate::policy::{DrillPlan, Hooks, PolicyCheck, Targets};

mod hosts;
mod volumes;

const GOOD: &str = r#"
per_host: {backups: 3}
default:
  time_zone: Europe/Berlin
  rpo: 26h
policies:
  - name: shop            # the one that earns money
    select:
      project: shop
      host: "web-*"
      label: {tier: gold}
      engine: [postgres, mariadb]
    backup: {schedule: "30 2 * * *", jitter: 10m}
    retention: {last: 3, daily: 14, within: 2d}
    drill: {schedule: weekly, host: lab-1, sql: ["select count(*) > 0 from users"]}
    checks:
      - {name: users, count: select count(*) from users, min: 10, max_drop: 10%, every: 1m}
    rpo: 24h
    rto: {restore: 30m, rebuild: 1h}
    hooks: {stop: [web, worker]}
  - name: scratch
    select: {name: scratch}
    protect: false
    reason: made anew each night
"#;

fn mistakes(text: &str) -> Vec<String> {
    read(text)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The only one.
fn mistake(text: &str) -> String {
    let all = mistakes(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

/// A policy with this line in it, on line 4.
fn with(line: &str) -> String {
    mistake(&format!(
        "policies:\n  - name: shop\n    select: {{name: shop}}\n    {line}\n"
    ))
}

#[test]
fn a_good_file_means_what_it_says_and_the_rest_is_as_in_default() {
    let set = read(GOOD).unwrap();
    assert_eq!((set.per_host.backups, set.per_host.drills), (3, 1));
    let shop = set.named("shop").unwrap();
    assert_eq!(
        shop.select.to_string(),
        "host web-*, project shop, label tier=gold, engine postgres or mariadb"
    );
    let plan = shop.plan().unwrap();
    assert_eq!(plan.backup.to_string(), "30 2 * * * (Europe/Berlin)");
    assert_eq!(plan.backup.own_jitter(), Some(Duration::from_mins(10)));
    assert_eq!(
        plan.retention.to_string(),
        "last 3, daily 14 and within 2days"
    );
    assert_eq!(plan.retention.zone, chrono_tz::Europe::Berlin);
    let drill = plan.drill.as_ref().unwrap();
    assert_eq!(drill.host.as_ref().unwrap().as_str(), "lab-1");
    assert_eq!(plan.checks[0].limits.max_drop_percent, Some(10.0));
    assert_eq!(plan.targets.rpo, Some(Duration::from_hours(24)));
    assert_eq!(plan.targets.restore, Some(Duration::from_mins(30)));
    assert_eq!(
        (plan.targets.drill, plan.targets.rebuild),
        (None, Some(Duration::from_hours(1)))
    );
    assert_eq!(plan.hooks.start, ["worker", "web"]);

    let default = set.default.plan().unwrap();
    assert_eq!(default.backup.to_string(), "daily (Europe/Berlin)");
    assert_eq!(
        default.retention.to_string(),
        "daily 7, weekly 4 and monthly 12"
    );
    assert_eq!(default.targets.rpo, Some(Duration::from_hours(26)));
    let scratch = &set.named("scratch").unwrap().protection;
    assert_eq!(
        *scratch,
        Protection::Off {
            reason: "made anew each night".to_owned()
        }
    );
}

#[test]
fn without_a_file_everything_is_protected() {
    for text in ["", "# nothing yet\n", "---\n", "policies: []\n"] {
        let set = read(text).unwrap();
        let plan = set.default.plan().unwrap();
        assert_eq!(plan.backup.to_string(), "daily (UTC)");
        assert_eq!(
            plan.drill.as_ref().unwrap().timing.to_string(),
            "monthly (UTC)"
        );
        assert_eq!(
            plan.retention.to_string(),
            "daily 7, weekly 4 and monthly 12"
        );
        assert_eq!(set, PolicySet::default());
    }
}

#[test]
fn a_mistake_names_line_and_key_and_what_would_be_right() {
    for (line, said) in [
        (
            "retenshun: {daily: 7}",
            "line 4: policies[0].retenshun: there is no key \"retenshun\"; did you mean retention?",
        ),
        (
            "backup: dayly",
            "line 4: policies[0].backup: \"dayly\" is no schedule: Invalid pattern: Pattern must have 5 fields when seconds are disallowed; did you mean daily?",
        ),
        (
            "backup: 0 0 30 2 *",
            "line 4: policies[0].backup: \"0 0 30 2 *\" never comes: there is no such day; \
             hourly, daily, weekly, monthly, quarterly, yearly, or five fields of cron such as \"30 2 * * *\"",
        ),
        (
            "time_zone: Europe/Berlim",
            "line 4: policies[0].time_zone: \"Europe/Berlim\" is no time zone; did you mean Europe/Berlin?",
        ),
        (
            "retention: {daily: -1}",
            "line 4: policies[0].retention.daily: should be a whole number from 0 to 10000, not -1",
        ),
        (
            "retention: {}",
            "line 4: policies[0].retention: keeps nothing; name a rule such as daily: 7, or write everything to remove nothing",
        ),
        (
            "rpo: 24",
            "line 4: policies[0].rpo: should be a time, not 24; such as 30m, 24h or 14d",
        ),
        (
            "rto: {restore: soon}",
            "line 4: policies[0].rto.restore: should be a time, not \"soon\"; such as 30m, 24h or 14d",
        ),
        (
            "protect: maybe",
            "line 4: policies[0].protect: should be true or false, not \"maybe\"",
        ),
        ("protect: false", "line 2: policies[0].reason: is missing"),
        (
            "reason: because",
            "line 4: policies[0].reason: is for protect: false only; leave it away, or make it a comment",
        ),
        (
            "drill: {schedule: monthly, host: LAB}",
            "line 4: policies[0].drill.host: \"LAB\" is not a host name: 2 to 40 of a-z, 0-9 and -, from a letter to a letter or digit",
        ),
        (
            "hooks: {stop: [web, worker], start: [web]}",
            "line 4: policies[0].hooks.start: \"worker\" is stopped and never started again; name it here as well",
        ),
        (
            "checks: [{name: users, count: select 1, max_age: 1d}]",
            "line 4: policies[0].checks[0]: an age is limited, but no statement asks for the newest row; add newest",
        ),
        (
            "checks: [{name: users}]",
            "line 4: policies[0].checks[0].count: is missing",
        ),
    ] {
        assert_eq!(with(line), said);
    }
}

#[test]
fn mistakes_of_selectors_and_names() {
    for (text, said) in [
        (
            "polices: []",
            "line 1: polices: there is no key \"polices\"; did you mean policies?",
        ),
        (
            "policies: 3",
            "line 1: policies: should be a list, not 3; lines that begin with -",
        ),
        (
            "policies:\n  - name: a\n    select: {}",
            "line 3: policies[0].select: selects nothing in particular; name host, project, label, engine, \
             instance, name or volume; what holds for all others belongs under default",
        ),
        (
            "policies:\n  - name: a\n    select: {engine: postgrse}",
            "line 3: policies[0].select.engine: there is no engine \"postgrse\"; did you mean postgres?",
        ),
        (
            "policies:\n  - select: {name: a}",
            "line 2: policies[0].name: is missing",
        ),
        (
            "policies:\n  - name: default\n    select: {name: a}",
            "line 2: policies[0].name: \"default\" has a meaning of its own; 1 to 60 letters, digits, -, _ and .",
        ),
        (
            "policies:\n  - {name: a, select: {name: x}}\n  - {name: a, select: {name: y}}",
            "line 3: policies[1].name: a policy \"a\" is there already; give it another name",
        ),
        (
            "per_host: {backups: 0}",
            "line 1: per_host.backups: should be a whole number from 1 to 100, not 0",
        ),
        (
            "policies:\n  - {name: a, select: {name: 2026}}",
            "line 2: policies[0].select.name: should be a text, not 2026; put it in quotes",
        ),
    ] {
        assert_eq!(mistake(text), said);
    }
}

#[test]
fn policies_that_could_tie_are_refused_before_there_is_such_a_database() {
    let tie = |a: &str, b: &str| {
        let text =
            format!("policies:\n  - {{name: one, select: {a}}}\n  - {{name: two, select: {b}}}\n");
        read(&text).err().map(|all| all[0].to_string())
    };
    assert_eq!(
        tie("{host: 'web-*'}", "{host: '*-1'}").unwrap(),
        "line 3: policies[1].select: \"two\" and \"one\" (line 2) can select the same database and are equally specific; \
         let one of them name more (name outranks instance, label, project, host, engine), or exclude each other"
    );
    assert_eq!(
        tie("{volume: 'shop_*'}", "{volume: '*_uploads'}").unwrap(),
        "line 3: policies[1].select: \"two\" and \"one\" (line 2) can select the same volume and are equally specific; \
         let one of them name more (volume outranks label, project, host), or exclude each other"
    );
    assert_eq!(tie("{volume: uploads}", "{volume: mail}"), None);
    assert_eq!(tie("{volume: 'shop_*'}", "{volume: shop_uploads}"), None);
    assert_eq!(
        tie("{volume: '*', host: web-1}", "{name: '*', host: web-1}"),
        None
    );
    assert!(tie("{name: [shop, crm]}", "{name: [erp, crm]}").is_some());
    assert!(tie("{label: {tier: gold}}", "{label: {team: a}}").is_some());
    // No database is in both, or one of them is more specific.
    assert_eq!(tie("{name: shop}", "{name: crm}"), None);
    assert_eq!(tie("{host: 'web-*'}", "{host: web-1}"), None);
    assert_eq!(
        tie("{label: {tier: gold}}", "{label: {tier: silver}}"),
        None
    );
    assert_eq!(
        tie(
            "{engine: postgres, host: 'a*'}",
            "{engine: mysql, host: '*b'}"
        ),
        None
    );
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_in_the_order_of_the_lines() {
    let text = "per_host: {backup: 3}\npolicies:\n  - name: a\n    select: {nmae: x}\n    backup: nightly-ish\n    rpo: -3\n";
    let lines: Vec<u32> = read(text).unwrap_err().iter().map(|m| m.line).collect();
    assert_eq!(lines, [1, 4, 5, 6]);
}

#[test]
fn what_is_no_yaml_is_told_with_its_line() {
    for (text, line) in [
        ("policies:\n  - name: a\n   select: b\n", 3),
        ("policies:\n  - name: a\n    select: {name: *}\n", 3),
        ("default:\n  rpo: 1h\n  rpo: 2h\n", 3),
        ("default: [1, 2\n", 2),
    ] {
        let mistakes = read(text).unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].line.abs_diff(line) <= 1, "{}", mistakes[0]);
        assert!(
            mistakes[0].message.starts_with("this is no YAML"),
            "{}",
            mistakes[0]
        );
    }
}

#[test]
fn the_example_is_the_same_after_it_was_exported() {
    let set = read(GOOD).unwrap();
    let text = write(&set).unwrap();
    assert_eq!(read(&text).unwrap(), set, "{text}");
    let stored = document(&set).to_string();
    assert_eq!(read(&stored).unwrap(), set, "{stored}");
}

fn texts() -> impl Strategy<Value = String> {
    // What YAML could take for something else than a text.
    prop_oneof![
        "[a-z][a-z0-9-]{1,8}",
        prop::sample::select(vec![
            "*", "*-db", "no", "null", "true", "1", "1e3", "~", "a: b", "- x", "#c", "ö?", "'",
            "\"q\"", "%x", "@a", "0x1f", "12:30"
        ])
        .prop_map(str::to_owned),
    ]
}

fn globs() -> impl Strategy<Value = Vec<Glob>> {
    prop::collection::vec(texts().prop_map(|text| Glob::new(&text)), 0..3)
}

fn spans() -> impl Strategy<Value = Duration> {
    (5_u64..5_000_000).prop_map(Duration::from_secs)
}

fn timings(zone: Tz) -> impl Strategy<Value = Timing> {
    let texts = prop::sample::select(vec![
        "daily",
        "hourly",
        "monthly",
        "30 2 * * *",
        "*/5 1-3 * * MON",
    ]);
    let jitters = prop::option::of((0_u64..1_000_000).prop_map(Duration::from_secs));
    (texts, jitters).prop_map(move |(text, jitter)| Timing::parse(text, zone, jitter).unwrap())
}

fn checks() -> impl Strategy<Value = (String, String, Option<i64>, Option<u32>, Duration)> {
    let (min, drop) = (prop::option::of(-5_i64..5), prop::option::of(0_u32..100));
    (texts(), texts(), min, drop, spans())
}

fn plans() -> impl Strategy<Value = Plan> {
    let zones = prop::sample::select(vec![
        Tz::UTC,
        chrono_tz::Europe::Berlin,
        chrono_tz::Asia::Kolkata,
    ]);

    zones.prop_flat_map(move |zone| {
        let drill = (
            timings(zone),
            prop::option::of("[a-z]{2,9}"),
            prop::collection::vec(texts(), 0..3),
        );
        let rules = (0_u32..3, 0_u32..30, 0_u32..3, prop::option::of(spans()));
        let targets = (
            prop::option::of(spans()),
            prop::option::of(spans()),
            prop::option::of(spans()),
            prop::option::of(spans()),
        );
        let hooks = prop::collection::vec("[a-z]{1,5}", 0..4);
        (
            timings(zone),
            rules,
            prop::option::of(drill),
            prop::collection::vec(checks(), 0..3),
            targets,
            hooks,
        )
            .prop_map(move |(backup, rules, drill, checks, targets, stop)| Plan {
                backup,
                stop: false,
                retention: Rules {
                    last: rules.0,
                    daily: rules.1,
                    yearly: rules.2,
                    within: rules.3,
                    ..Rules::none(zone)
                },
                drill: drill.map(|(timing, host, assertions)| DrillPlan {
                    timing,
                    host: host.map(|host| host.parse().unwrap()),
                    assertions,
                }),
                checks: (0..)
                    .zip(checks)
                    .map(|(number, (name, count, min, drop, every))| PolicyCheck {
                        name: format!("{name}{number}"),
                        count,
                        newest: String::new(),
                        limits: CheckLimits {
                            min,
                            max: None,
                            max_drop_percent: drop.map(|drop| f64::from(drop) / 2.0),
                            max_age: None,
                        },
                        every,
                        timeout: Duration::from_secs(10),
                    })
                    .collect(),
                targets: Targets {
                    rpo: targets.0,
                    restore: targets.1,
                    drill: targets.2,
                    rebuild: targets.3,
                },
                hooks: Hooks {
                    start: stop.iter().rev().cloned().collect(),
                    stop,
                },
            })
    })
}

fn protections() -> impl Strategy<Value = Protection> {
    prop_oneof![
        3 => plans().prop_map(|plan| Protection::On(Box::new(plan))),
        1 => texts().prop_map(|reason| Protection::Off { reason }),
    ]
}

/// What asks databases goes.
fn of_volumes(policy: Policy, volume: Vec<Glob>, select: Selector, stop: bool) -> Policy {
    let protection = match policy.protection {
        Protection::On(plan) => Protection::On(Box::new(Plan {
            stop,
            checks: vec![],
            hooks: Hooks::default(),
            drill: plan.drill.map(|drill| DrillPlan {
                assertions: vec![],
                ..drill
            }),
            ..*plan
        })),
        off @ Protection::Off { .. } => off,
    };
    Policy {
        select: Selector { volume, ..select },
        protection,
        ..policy
    }
}

fn sets() -> impl Strategy<Value = PolicySet> {
    let labels =
        prop::collection::btree_map("[a-z]{1,4}", texts().prop_map(|t| Glob::new(&t)), 0..3);
    let policy = (globs(), globs(), labels, any::<bool>(), protections());
    let policies = prop::collection::vec(policy, 0..5);
    (1_u32..9, hosts::plans(), protections(), policies).prop_map(
        |(backups, hosts, default, policies)| PolicySet {
            per_host: Limits { backups, drills: 2 },
            hosts,
            default: Policy {
                name: DEFAULT.to_owned(),
                select: Selector::default(),
                protection: default,
            },
            policies: (0..)
                .zip(policies)
                .map(|(number, (host, project, label, mariadb, protection))| {
                    // A name of its own each: no ties.
                    let own = vec![Glob::new(&format!("db{number}"))];
                    let select = Selector {
                        label,
                        project,
                        host,
                        ..Selector::default()
                    };
                    let policy = Policy {
                        name: format!("p{number}"),
                        select: Selector {
                            name: own.clone(),
                            engine: if mariadb {
                                vec![Engine::Mariadb]
                            } else {
                                vec![]
                            },
                            ..select.clone()
                        },
                        protection,
                    };
                    // Every third one is of volumes.
                    if number % 3 == 2 {
                        of_volumes(policy, own, select, mariadb)
                    } else {
                        policy
                    }
                })
                .collect(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What is exported, and what the catalog keeps, reads as the very same set: applying it changes nothing.
    #[test]
    fn writing_and_reading_are_inverse(set in sets()) {
        let text = write(&set).unwrap();
        let again = read(&text);
        prop_assert_eq!(again.as_ref(), Ok(&set), "{}", text);
        prop_assert_eq!(write(&again.unwrap()).unwrap(), text);
        let stored = document(&set).to_string();
        prop_assert_eq!(read(&stored), Ok(set), "{}", stored);
    }

    /// Whatever is written into a file: an answer, and every mistake has a line.
    #[test]
    fn no_text_breaks_the_reader(text in "[ a-z:\\-\\[\\]{}*&!#|>'\"\n,]{0,80}") {
        if let Err(mistakes) = read(&text) {
            prop_assert!(!mistakes.is_empty());
        }
    }
}
