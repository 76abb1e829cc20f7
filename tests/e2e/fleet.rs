//! What the fleet shows: in time, after a reconnection, on Podman, of a server outside containers, at what cost.

use std::{
    io::Write as _,
    process::Stdio,
    time::{Duration, Instant},
};

use e2e::{
    eventually::eventually,
    fleet::Fleet,
    host::{Engine, Host},
    idle::{self, Idle},
    postgres::{Version, psql, run_postgres, start_postgres},
};
use serde_json::Value;

use crate::copy::fill_users;

fn containers(fleet: &Fleet) -> Vec<String> {
    let list = fleet.ctl.json(&["container", "list"]);
    let all = list["containers"].as_array().into_iter().flatten();
    let mut names: Vec<_> = all
        .filter_map(|container| container["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn instance(fleet: &Fleet, name: &str) -> Result<Value, Value> {
    let list = fleet.ctl.json(&["instance", "list"]);
    let mut all = list["instances"].as_array().into_iter().flatten();
    all.find(|line| line["name"] == name)
        .cloned()
        .ok_or_else(|| list.clone())
}

/// A look of `ctl` costs a part of the second; a machine that is busy for a moment does not count.
#[test]
fn a_container_that_was_started_is_seen_within_a_second() {
    let fleet = Fleet::start(1);
    let times: Vec<Duration> = ["first", "second", "third"]
        .into_iter()
        .map(|name| {
            fleet.host("web-1").sleeper(name);
            let started = Instant::now();
            eventually(Duration::from_secs(10), "the new container", || {
                let seen = containers(&fleet);
                let found = seen.iter().any(|seen| seen == name);
                if found { Ok(()) } else { Err(seen) }
            });
            started.elapsed()
        })
        .collect();
    let best = times.iter().min().expect("three");
    assert!(*best < Duration::from_secs(1), "{times:?}");
}

#[test]
fn what_happened_while_the_controller_was_away_is_known_when_it_is_back() {
    let mut fleet = Fleet::start(1);
    let other_way = |fleet: &Fleet, gone: &str, came: &str| {
        fleet.host("web-1").docker(&["rm", "-f", gone]);
        fleet.host("web-1").sleeper(came);
    };
    let shows = |fleet: &Fleet, name: &str| {
        eventually(Duration::from_secs(40), &format!("{name} alone"), || {
            let seen = containers(fleet);
            if seen == [name] { Ok(()) } else { Err(seen) }
        });
    };
    fleet.host("web-1").sleeper("one");
    shows(&fleet, "one");
    fleet.controller.stop();
    other_way(&fleet, "one", "two");
    fleet.restart_controller();
    shows(&fleet, "two");
    fleet.host("web-1").cut();
    other_way(&fleet, "two", "three");
    fleet.host("web-1").heal();
    shows(&fleet, "three");
}

#[test]
fn a_host_with_podman_is_watched_and_copied_to_like_any_other() {
    let mut fleet = Fleet::start(1);
    let podman = Host::start_with(Engine::Podman);
    podman.load(Version::V15.archive());
    fleet.enrol("web-2", podman);
    start_postgres(fleet.host("web-1"), "shop-db", Version::V15);
    start_postgres(fleet.host("web-2"), "pod-db", Version::V15);
    fill_users(fleet.host("web-1"), 1000);
    fleet.wait_instance("web-1/shop-db");
    fleet.wait_instance("web-2/pod-db");
    let list = fleet.ctl.json(&["host", "list"]);
    let engines = format!("{} {}", list["hosts"][0], list["hosts"][1]);
    assert!(
        engines.contains("podman 4") || engines.contains("podman 5"),
        "{engines}"
    );
    let volumes = fleet.ctl.json(&["volume", "list"]);
    let mut all = volumes["volumes"].as_array().into_iter().flatten();
    let volume = all.find(|volume| volume["name"] == "pod-db-data");
    let used_by = volume.map(|volume| volume["used_by"].to_string());
    assert!(
        used_by.is_some_and(|by| by.contains("pod-db")),
        "{volumes:#}"
    );

    let copy = [
        "copy",
        "database",
        "web-1/shop-db/shop",
        "web-2/pod-db/shop",
    ];
    let copy = fleet.ctl.json(&copy);
    assert_eq!(
        (&copy["green"], &copy["rows"]),
        (&true.into(), &1000.into()),
        "{copy:#}"
    );
    fleet.host("web-2").docker(&["stop", "pod-db"]);
    eventually(Duration::from_secs(40), "the end of pod-db", || {
        let instance = instance(&fleet, "pod-db")?;
        if instance["up"] == false {
            Ok(())
        } else {
            Err(instance)
        }
    });
}

/// The agent of web-1 reaches it over the network; its password never leaves web-1.
#[test]
fn a_server_outside_containers_is_registered_and_its_password_stays_on_the_host() {
    const PASSWORD: &str = "only-on-web-1";
    let fleet = Fleet::start(2);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    let outside = Host::start();
    run_postgres(&outside, "shop-db", Version::V15, &["-p", "5433:5432"], &[]);
    start_postgres(two, "shop-db", Version::V17);
    let role = format!("create role watcher superuser login password '{PASSWORD}'");
    psql(&outside, "shop-db", "postgres", &role);
    fill_users(&outside, 700);
    fleet.wait_instance("web-2/shop-db");

    let address = outside.address();
    let mut add = vec!["instance", "add", "web-1/billing", "--address", &address];
    add.extend(["--port", "5433", "--user", "watcher"]);
    fleet.ctl.ok(&add);
    let down = eventually(Duration::from_secs(30), "a reason why it is down", || {
        let instance = instance(&fleet, "billing")?;
        let says = instance["down_reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if says.is_empty() {
            Err(instance)
        } else {
            Ok(says)
        }
    });
    assert!(down.contains("credential set billing"), "{down}");

    let state = fleet.member("web-1").state_dir();
    let store = |password: &str| {
        let mut set = one.command(e2e::host::binary("holdfast-agent"));
        set.args([
            "credential",
            "set",
            "billing",
            "--password-file",
            "-",
            "--state-dir",
        ]);
        let mut set = set
            .arg(&state)
            .stdin(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut input = set.stdin.take().expect("a pipe");
        writeln!(input, "{password}").expect("it reads");
        drop(input);
        assert!(set.wait().expect("it ends").success());
    };
    store("wrong");
    eventually(Duration::from_secs(90), "a refused password", || {
        let instance = instance(&fleet, "billing")?;
        let says = instance["down_reason"].to_string();
        if says.contains("password") && !says.contains("credential set billing --") {
            Ok(())
        } else {
            Err(instance)
        }
    });
    store(PASSWORD);
    fleet.wait_instance("web-1/billing");
    let shown = instance(&fleet, "billing").expect("it is there");
    let reached = shown["reached_by"].as_str().unwrap_or_default();
    assert!(reached.starts_with("tcp"), "{shown:#}");
    let copy = [
        "copy",
        "database",
        "web-1/billing/shop",
        "web-2/shop-db/shop",
    ];
    let copy = fleet.ctl.json(&copy);
    assert_eq!(
        (&copy["green"], &copy["rows"]),
        (&true.into(), &700.into()),
        "{copy:#}"
    );

    let mut grep = std::process::Command::new("grep");
    grep.args(["-rlF", PASSWORD]).arg(fleet.dir());
    let found = grep.output().expect("grep runs");
    let found = String::from_utf8(found.stdout).expect("UTF-8");
    let credentials = state.join("credentials.toml");
    assert_eq!(found.trim(), credentials.to_str().expect("UTF-8"));
}

/// Goals for release builds; a build for tests must not be far from them either. Where everything that sleeps costs a
/// multiple (tests/bench/idle says how much), the agent is held to the same share of what the engine beside it takes.
#[test]
fn an_idle_agent_with_fifty_containers_costs_little() {
    let fleet = Fleet::start(1);
    idle::crowd(&fleet, 50);
    // Two periods of its listing.
    let (agent, host) = (&fleet.member("web-1").agent, fleet.host("web-1"));
    let idle = Idle::of(agent, host, Duration::from_secs(60));
    eprintln!("idle: {idle}");
    let most = f64::max(0.005, 0.3 * idle.engine_share_of_a_core);
    assert!(idle.share_of_a_core < most, "{idle}");
    assert!(idle.wakes_per_minute < 250.0, "{idle}");
    assert!(idle.resident_bytes < 25 << 20, "{idle}");
    assert!(idle.own_bytes < 7 << 20, "{idle}");
}
