//! An agent while nothing happens on its host with fifty containers, beside the container engine of that host.
//!
//! Processor time by the clock depends on how the machine treats processes that sleep; the ratio to the engine,
//! which sleeps as they do, depends less on it.

use std::time::Duration;

use e2e::{
    fleet::Fleet,
    idle::{self, Idle},
};
use serde_json::json;

const CONTAINERS: usize = 50;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` runs benches too; only tests/bench/idle means it.
        return;
    }
    let minutes: u32 =
        std::env::var("HOLDFAST_BENCH_ROUNDS").map_or(3, |text| text.parse().expect("a number"));
    let fleet = Fleet::start(1);
    idle::crowd(&fleet, CONTAINERS);
    let (agent, host) = (&fleet.member("web-1").agent, fleet.host("web-1"));
    // What starting fifty containers left to do ends first.
    let minute = Duration::from_secs(60);
    eprintln!("the first minute: {}", Idle::of(agent, host, minute));
    let idle = Idle::of(agent, host, minute * minutes);
    println!("{idle}");
    let ratio = idle.share_of_a_core / idle.engine_share_of_a_core;
    println!("agent / engine: {ratio:.2}");
    let figures = json!({
        "containers": CONTAINERS,
        "share_of_a_core": idle.share_of_a_core,
        "wakes_per_minute": idle.wakes_per_minute,
        "resident_bytes": idle.resident_bytes,
        "own_bytes": idle.own_bytes,
        "engine_share_of_a_core": idle.engine_share_of_a_core,
    });
    println!("{figures}");
}
