//! The same backup in each kind of storage, again after 1 % changed, read back whole, the first one pruned: ours
//! and Debian's restic, alternating, in one run.
//!
//! Every round begins with empty repositories. Each step of each contender is a process of its own, which reads the
//! data from files; time, processor time and peak memory are those of that process, servers not counted. What is
//! read back goes nowhere.
#![allow(
    clippy::unwrap_used,
    reason = "the servers are those of the tests, and what panics here has failed the bench"
)]

#[path = "storage/contender.rs"]
mod contender;
#[path = "storage/data.rs"]
mod data;
#[path = "storage/restic.rs"]
mod restic;
#[path = "storage/usage.rs"]
mod usage;
#[path = "storage/worker.rs"]
mod worker;

#[path = "../tests/support/azure.rs"]
mod azure;
#[path = "../tests/support/s3.rs"]
mod s3;
#[path = "../tests/support/server.rs"]
mod server;

use std::collections::BTreeMap;

use azure::Azure;
use contender::{Contender, Outcome, Places, Round, Step};
use data::Data;
use s3::S3;
use serde_json::{Map, Value, json};
use server::Server as _;

type Results = BTreeMap<(Step, Contender), Vec<Outcome>>;

fn main() {
    if let Some(task) = std::env::var_os(worker::TASK) {
        return worker::run(&task);
    }
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` runs benches too; only tests/bench/storage means it.
        return;
    }
    let rounds: usize =
        std::env::var("HOLDFAST_BENCH_ROUNDS").map_or(3, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a directory");
    let (s3, azure) = (S3::start(), Azure::start());
    let places = Places::new(folder.path(), &s3, &azure);

    let mut results = Results::new();
    for number in 0..=rounds {
        let mut data = Data::new(folder.path(), number as u64);
        let mut round = Round::begin(&places, number);
        for step in Step::ALL {
            if step == Step::Second {
                data.change();
            }
            for contender in Contender::ALL.into_iter().filter(|one| one.does(step)) {
                let outcome = round.run(contender, step, &data);
                eprintln!(
                    "round {number}: {:<20} {:<6} {outcome}",
                    contender.name(),
                    step.name()
                );
                if number > 0 {
                    results.entry((step, contender)).or_default().push(outcome);
                }
            }
        }
        round.end();
    }
    report(&results);
}

fn report(results: &Results) {
    println!(
        "{:<28} {:>8} {:>8} {:>9} {:>10}",
        "", "wall s", "CPU s", "peak MiB", "stored MB"
    );
    let mut figures: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (&(step, contender), all) in results {
        let Outcome {
            wall_s,
            cpu_s,
            peak_mib,
            stored_mb,
        } = Outcome::median(all);
        println!(
            "{:<28} {wall_s:>8.2} {cpu_s:>8.2} {peak_mib:>9} {stored_mb:>10.1}",
            format!("{}, {}", contender.name(), step.name())
        );
        figures.entry(contender.name()).or_default().insert(
            step.name().to_owned(),
            json!({ "wall_s": round(wall_s), "cpu_s": round(cpu_s), "peak_mib": peak_mib, "stored_mb": round(stored_mb) }),
        );
    }
    println!("peer: {}", restic::version());
    let mut ratios = Map::new();
    for (ours, peer) in Contender::PAIRS {
        for step in Step::ALL {
            let (Some(ours_did), Some(peer_did)) =
                (results.get(&(step, ours)), results.get(&(step, peer)))
            else {
                continue;
            };
            let ratio = Outcome::median(ours_did).wall_s / Outcome::median(peer_did).wall_s;
            let name = format!("{} / {}, {}", ours.name(), peer.name(), step.name());
            ratios.insert(name, json!(round(ratio)));
        }
    }
    println!(
        "{}",
        json!({ "bench": "storage", "data_mb": data::BYTES / 1_000_000, "figures": figures, "ratios": ratios })
    );
}

fn round(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}
