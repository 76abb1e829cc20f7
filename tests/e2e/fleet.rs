//! What the fleet shows: in time, after a reconnection, on Podman, of a server outside containers, at what cost.

use std::{
    fs,
    io::Write as _,
    process::Stdio,
    time::{Duration, Instant},
};

use e2e::{
    eventually::eventually,
    fleet::Fleet,
    host::{Engine, Host},
    postgres::{Version, psql, run_postgres, start_postgres},
};
use serde_json::Value;

use crate::copy::fill_users;

fn sleeper(host: &Host, name: &str) {
    let image = Version::V15.image();
    host.docker(&[
        "run",
        "-d",
        "--name",
        name,
        "--entrypoint",
        "sleep",
        image,
        "6000",
    ]);
}

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
            sleeper(fleet.host("web-1"), name);
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
        sleeper(fleet.host("web-1"), came);
    };
    let shows = |fleet: &Fleet, name: &str| {
        eventually(Duration::from_secs(40), &format!("{name} alone"), || {
            let seen = containers(fleet);
            if seen == [name] { Ok(()) } else { Err(seen) }
        });
    };
    sleeper(fleet.host("web-1"), "one");
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

/// A goal for release builds; a build for tests must not be far from it either.
#[test]
fn an_idle_agent_with_fifty_containers_costs_little() {
    const CONTAINERS: usize = 50;
    let fleet = Fleet::start(1);
    let host = fleet.host("web-1");
    start_postgres(host, "shop-db", Version::V15);
    for n in 1..CONTAINERS {
        sleeper(host, &format!("sleeper-{n}"));
    }
    eventually(Duration::from_secs(60), "fifty containers", || {
        let seen = containers(&fleet).len();
        if seen == CONTAINERS {
            Ok(())
        } else {
            Err(seen)
        }
    });
    fleet.wait_instance("web-1/shop-db");
    let agent = &fleet.member("web-1").agent;
    let (begun, before) = (Instant::now(), cpu_seconds(agent.pid()));
    // Two periods of its listing.
    let window = Duration::from_secs(60);
    eventually(window * 2, "a minute", || {
        if begun.elapsed() >= window {
            Ok(())
        } else {
            Err("")
        }
    });
    let share = (cpu_seconds(agent.pid()) - before) / begun.elapsed().as_secs_f64();
    let (resident, own) = (agent.resident_bytes(), agent.own_bytes());
    eprintln!(
        "idle: {:.2} % of a core, {} KiB, {} KiB of them its own",
        share * 100.0,
        resident >> 10,
        own >> 10
    );
    assert!(share < 0.005, "{:.2} % of a core", share * 100.0);
    assert!(resident < 25 << 20, "{} KiB", resident >> 10);
    assert!(own < 10 << 20, "{} KiB", own >> 10);
}

/// User and system time of a process.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    // After the name, which may hold anything.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}
