//! Backing a database up, again after a small change, restoring and drilling it: ours against `pg_dump` with
//! zstd, with restic, and `pg_restore`, alternating, in one run.
//!
//! Every round begins with empty repositories. The peers reach the server over its unix socket and write to the
//! same file system. CPU seconds are those of the whole machine (server included); memory is the peak of the
//! contender's own processes: ours the larger of agent and controller.

#[path = "backing_up/contenders.rs"]
mod contenders;
#[path = "dataset.rs"]
mod dataset;
#[path = "measure.rs"]
mod measure;
#[path = "backing_up/peers.rs"]
mod peers;

use std::collections::BTreeMap;

use contenders::{Contender, Outcome, Round};
use dataset::{DATABASE, SERVER, fill, round, start_server};
use e2e::{fleet::Fleet, host::Host, postgres::psql};
use measure::{Figures, median};
use peers::Peers;
use serde_json::json;

/// One per cent of the accounts, all in one range; another range in every round.
const RANGE: usize = 100_000;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` runs benches too; only tests/bench/backup means it.
        return;
    }
    let rounds: usize =
        std::env::var("HOLDFAST_BENCH_ROUNDS").map_or(3, |text| text.parse().expect("a number"));
    let mut fleet = Fleet::start(1);
    start_server(fleet.host("web-1"));
    eprintln!("filling the source");
    fill(fleet.host("web-1"));
    let peers = Peers::prepare(fleet.dir(), fleet.host("web-1"));

    let mut results: BTreeMap<&str, Vec<Outcome>> = BTreeMap::new();
    for number in 0..=rounds {
        rename_host(&mut fleet, &format!("round-{number}"));
        peers.empty();
        let bench = Round::begin(&fleet, &peers);
        for contender in Contender::ALL {
            if contender == Contender::FIRST_AFTER_CHANGE {
                change_one_range(bench.host, number);
            }
            if contender == Contender::FIRST_AFTER_SCATTER {
                if number < rounds {
                    break;
                }
                change_at_random(bench.host);
            }
            let outcome = bench.run(contender);
            eprintln!("round {number}: {:<34} {outcome}", contender.name());
            if number > 0 {
                results.entry(contender.name()).or_default().push(outcome);
            }
        }
    }
    report(&results, &peers);
}

/// A host under another name has a repository of its own: an empty one.
fn rename_host(fleet: &mut Fleet, name: &str) {
    let mut member = fleet.members.pop().expect("a host");
    member.agent.stop();
    let (host, _) = member.into_host();
    fleet.enrol(name, host);
    fleet.wait_instance(&format!("{name}/{SERVER}"));
}

fn change_one_range(host: &Host, number: usize) {
    let (first, last) = (number * RANGE + 1, (number + 1) * RANGE);
    let change = format!(
        "update pgbench_accounts set abalance = abalance + 1 where aid between {first} and {last}"
    );
    psql(host, SERVER, DATABASE, &change);
}

fn change_at_random(host: &Host) {
    let change =
        "update pgbench_accounts set abalance = abalance + 1 where hashint4(aid) % 100 = 0";
    psql(host, SERVER, DATABASE, change);
}

fn report(results: &BTreeMap<&str, Vec<Outcome>>, peers: &Peers) {
    println!(
        "{:<34} {:>8} {:>8} {:>9} {:>10}",
        "", "wall s", "CPU s", "peak MiB", "stored MB"
    );
    let figures = |contender: Contender| -> Figures {
        let all: Vec<_> = results[contender.name()]
            .iter()
            .map(|outcome| outcome.figures)
            .collect();
        median(&all)
    };
    let stored = |contender: Contender| {
        let mut all: Vec<u64> = results[contender.name()]
            .iter()
            .map(|outcome| outcome.stored)
            .collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    for contender in Contender::ALL {
        let (figures, stored) = (figures(contender), stored(contender));
        println!(
            "{:<34} {:>8.1} {:>8.1} {:>9} {:>10.1}",
            contender.name(),
            figures.wall_s,
            figures.cpu_s,
            figures.rss_mib,
            megabytes(stored)
        );
    }
    println!("peers: {}", peers.versions());
    let wall = |contender| figures(contender).wall_s;
    let share = |ours, peer| round(wall(ours) / wall(peer));
    let growth = |second, first| stored(second) as f64 / stored(first) as f64;
    let peer = |contender| json!({ "figures": figures(contender), "stored_mb": round(megabytes(stored(contender))) });
    let line = json!({
        "bench": "backup",
        "ours": {
            "first": peer(Contender::First),
            "second": peer(Contender::Second),
            "scattered": peer(Contender::Scattered),
            "restore": figures(Contender::Restore),
            "drill": figures(Contender::Drill),
        },
        "peers": {
            "pg_dump|zstd": peer(Contender::DumpZstd),
            "pg_dump|restic": peer(Contender::DumpRestic),
            "pg_dump|restic second": peer(Contender::DumpResticSecond),
            "pg_dump|restic scattered": peer(Contender::DumpResticScattered),
            "pg_restore -j2": figures(Contender::PgRestore),
        },
        "ratios": {
            "first/pg_dump|zstd": share(Contender::First, Contender::DumpZstd),
            "first/pg_dump|restic": share(Contender::First, Contender::DumpRestic),
            "second/pg_dump|restic": share(Contender::Second, Contender::DumpResticSecond),
            "growth/first": round(growth(Contender::Second, Contender::First)),
            "growth of scattered/first": round(growth(Contender::Scattered, Contender::First)),
            "restore/pg_restore": share(Contender::Restore, Contender::PgRestore),
            "drill/restore": share(Contender::Drill, Contender::Restore),
        }
    });
    println!("{line}");
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
