//! An agent while nothing happens on its host with fifty containers, beside the container engine of that host.
//!
//! Processor time by the clock depends on how the machine treats processes that sleep; the ratio to the engine,
//! which sleeps as they do, depends less on it.

use std::time::Duration;

use e2e::{
    fleet::Fleet,
    host::Host,
    idle::{self, Idle, cpu_seconds_in},
};
use serde_json::json;

const CONTAINERS: usize = 50;
const ENGINE: [&str; 3] = ["(dockerd)", "(containerd)", "(containerd-shim)"];

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` runs benches too; only tests/bench/idle means it.
        return;
    }
    let minutes: u32 =
        std::env::var("HOLDFAST_BENCH_ROUNDS").map_or(3, |text| text.parse().expect("a number"));
    let fleet = Fleet::start(1);
    idle::crowd(&fleet, CONTAINERS);
    let agent = &fleet.member("web-1").agent;
    // What starting fifty containers left to do ends first.
    eprintln!(
        "the first minute:  {}",
        Idle::of(agent, Duration::from_secs(60))
    );
    let window = Duration::from_secs(60) * minutes;
    let before = engine_seconds(fleet.host("web-1"));
    let idle = Idle::of(agent, window);
    let engine = (engine_seconds(fleet.host("web-1")) - before) / window.as_secs_f64();
    println!("agent:  {idle}");
    println!("engine: {:.2} % of a core", engine * 100.0);
    println!("agent / engine: {:.2}", idle.share_of_a_core / engine);
    let figures = json!({
        "containers": CONTAINERS,
        "share_of_a_core": idle.share_of_a_core,
        "wakes_per_minute": idle.wakes_per_minute,
        "resident_bytes": idle.resident_bytes,
        "own_bytes": idle.own_bytes,
        "engine_share_of_a_core": engine,
    });
    println!("{figures}");
}

/// Of the daemons that run the host's containers.
fn engine_seconds(host: &Host) -> f64 {
    let mut read = host.command("sh");
    read.args(["-c", "cat /proc/[0-9]*/stat 2>/dev/null || true"]);
    let read = read.output().expect("sh runs");
    let text = String::from_utf8_lossy(&read.stdout);
    let lines = text.lines();
    lines
        .filter(|line| ENGINE.iter().any(|name| line.contains(name)))
        .map(cpu_seconds_in)
        .sum()
}
