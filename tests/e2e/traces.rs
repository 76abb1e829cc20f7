//! One trace from `ctl` through the controller to both agents, at a real collector.

use std::{collections::BTreeSet, time::Duration};

use e2e::{
    ctl::Ctl,
    eventually::eventually,
    fleet::{BRIDGE, Fleet, Plan},
    otlp::{Collector, Span},
    postgres::{Version, psql, start_postgres},
};

#[test]
fn a_command_that_fails_exports_its_span_before_it_ends() {
    let collector = Collector::start();
    let home = tempfile::tempdir().expect("a directory");
    let output = Ctl::with_home(home.path())
        .command()
        .envs(collector.environment("127.0.0.1"))
        .arg("status")
        .output()
        .expect("ctl starts");
    assert!(!output.status.success(), "nobody is logged in: {output:?}");
    let span = eventually(Duration::from_secs(10), "a span of ctl", || {
        let mut spans = collector.spans();
        spans.pop().ok_or("nothing was received")
    });
    assert_eq!(
        (span.service.as_str(), span.name.as_str()),
        ("ctl", "ctl status")
    );
    assert!(span.attributes.contains_key("exit"), "{span:#?}");
    assert_eq!(span.parent_id, "");
}

#[test]
fn a_copy_is_one_trace_from_ctl_to_both_agents() {
    let collector = Collector::start();
    let fleet = Fleet::start_with(
        2,
        Plan {
            environment: collector.environment(BRIDGE),
            ..Plan::default()
        },
    );
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    start_postgres(one, "shop-db", Version::V15);
    start_postgres(two, "shop-db", Version::V15);
    psql(one, "shop-db", "postgres", "create database shop");
    fleet.wait_instance("web-1/shop-db");
    fleet.wait_instance("web-2/shop-db");

    let output = fleet
        .ctl
        .command()
        .envs(collector.environment("127.0.0.1"))
        .args(["-o", "json", "copy", "database"])
        .args(["web-1/shop-db/shop", "web-2/shop-db/shop_test"])
        .output()
        .expect("ctl starts");
    assert!(output.status.success(), "{output:?}");
    let copy: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let trace_id = copy["job"]["trace_id"].as_str().expect("a trace id");

    eventually(
        Duration::from_secs(30),
        "the spans of ctl, the controller and both agents in one trace",
        || is_whole(&of_trace(&collector, trace_id)),
    );

    // The logs of all three kinds of process carry its id.
    let logs = [
        fleet.controller.log(),
        fleet.member("web-1").agent.log(),
        fleet.member("web-2").agent.log(),
    ];
    for log in logs {
        assert!(log.contains(&format!("trace_id={trace_id}")), "{log}");
    }
}

fn of_trace(collector: &Collector, trace_id: &str) -> Vec<Span> {
    let mut spans = collector.spans();
    spans.retain(|span| span.trace_id == trace_id);
    spans
}

/// One `ctl`, one controller, two agents; and every span but the first of `ctl` hangs below another.
fn is_whole(spans: &[Span]) -> Result<(), String> {
    let processes: BTreeSet<_> = spans
        .iter()
        .map(|span| (span.service.as_str(), span.host.as_str()))
        .collect();
    for (service, wanted) in [
        ("ctl", 1),
        ("holdfast-controller", 1),
        ("holdfast-agent", 2),
    ] {
        let seen = processes
            .iter()
            .filter(|(name, _)| *name == service)
            .count();
        if seen != wanted {
            return Err(format!("{seen} of {service}: {processes:?}"));
        }
    }
    let known: BTreeSet<_> = spans.iter().map(|span| span.id.as_str()).collect();
    let firsts: Vec<_> = spans
        .iter()
        .filter(|span| !known.contains(span.parent_id.as_str()))
        .collect();
    match firsts.as_slice() {
        [first] if first.service == "ctl" => {}
        others => return Err(format!("these have no parent in the trace: {others:#?}")),
    }
    for step in ["preflight", "stage", "transfer", "prove", "publish"] {
        below(spans, "step", ("step", step), "job")?;
    }
    // Each end of the image hangs below the step that moved it.
    for verb in ["send-image", "receive-image"] {
        below(spans, "task", ("verb", verb), "step")?;
    }
    Ok(())
}

/// There is such a span, and its parent has this name.
fn below(
    spans: &[Span],
    name: &str,
    (attribute, value): (&str, &str),
    parent: &str,
) -> Result<(), String> {
    let mut named = spans.iter().filter(|span| span.name == name);
    let wanted = named.find(|span| span.attributes.get(attribute).is_some_and(|v| v == value));
    let span = wanted.ok_or_else(|| format!("no {name} with {attribute} {value}: {spans:#?}"))?;
    let above = spans.iter().find(|other| other.id == span.parent_id);
    match above {
        Some(above) if above.name == parent => Ok(()),
        other => Err(format!("{name} {value} hangs below {other:?}")),
    }
}
