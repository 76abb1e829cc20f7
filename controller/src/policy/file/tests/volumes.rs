//! Policies for volumes: what they have from `default`, and what means nothing there.

use super::*;

/// Of a policy for volumes with this line in it, on line 4.
fn with_volume(line: &str) -> String {
    mistake(&format!(
        "policies:\n  - name: files\n    select: {{volume: 'shop_*'}}\n    {line}\n"
    ))
}

#[test]
fn what_means_nothing_for_volumes_is_a_mistake_and_so_is_stop_for_databases() {
    let nothing = |key: &str, of: &str| {
        format!(
            "line 4: policies[0].{key}: means nothing in a policy for {of}; leave it away, or make two policies"
        )
    };
    for (line, key) in [
        ("checks: [{name: users, count: select 1}]", "checks"),
        ("hooks: {stop: [web]}", "hooks"),
        ("drill: {schedule: weekly, sql: [select true]}", "drill.sql"),
    ] {
        assert_eq!(with_volume(line), nothing(key, "volumes"));
    }
    assert_eq!(
        with("backup: {schedule: daily, stop: true}"),
        nothing("backup.stop", "databases")
    );
    assert_eq!(
        mistake("default: {backup: {schedule: daily, stop: true}}"),
        "line 1: default.backup.stop: means nothing in a policy for databases; leave it away, or make two policies"
    );
    assert_eq!(
        with_volume("backup: {schedule: daily, stop: sure}"),
        "line 4: policies[0].backup.stop: should be true or false, not \"sure\""
    );
    assert_eq!(
        with_volume("backup: {schedule: daily, stopp: true}"),
        "line 4: policies[0].backup.stopp: there is no key \"stopp\"; did you mean stop?"
    );
    for key in ["name", "instance", "engine"] {
        let value = if key == "engine" { "postgres" } else { "x" };
        let text =
            format!("policies:\n  - name: files\n    select: {{volume: x, {key}: {value}}}\n");
        assert_eq!(
            mistake(&text),
            format!(
                "line 3: policies[0].select.{key}: means nothing in a policy for volumes; leave it away, or make two policies"
            )
        );
    }
}

#[test]
fn a_policy_for_volumes_has_the_rest_as_in_default_without_what_asks_databases() {
    let text = r#"
default:
  drill: {schedule: weekly, host: lab-1, sql: ["select true"]}
  checks: [{name: users, count: select 1}]
  hooks: {stop: [web]}
  rpo: 26h
policies:
  - name: files
    select: {volume: ["shop_*"], host: "web-*", label: {tier: gold}}
    backup: {schedule: hourly, stop: true}
"#;
    let set = read(text).unwrap();
    let files = set.named("files").unwrap();
    assert_eq!(
        files.select.to_string(),
        "host web-*, volume shop_*, label tier=gold"
    );
    let plan = files.plan().unwrap();
    assert!(plan.stop);
    assert_eq!((plan.checks.len(), &plan.hooks), (0, &Hooks::default()));
    let drill = plan.drill.as_ref().unwrap();
    assert_eq!(drill.timing.to_string(), "weekly (UTC)");
    assert_eq!(drill.assertions, [""; 0]);
    assert_eq!(drill.host.as_ref().unwrap().as_str(), "lab-1");
    assert_eq!(plan.targets.rpo, Some(Duration::from_hours(26)));
    let text = write(&set).unwrap();
    assert_eq!(read(&text), Ok(set), "{text}");
}
