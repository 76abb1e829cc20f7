//! Copying a database between two hosts: ours against `pgcopydb` and `pg_dump | psql`, alternating, in one run.
//!
//! Every contender moves the same 2 GB database over the same virtual cable into an empty database of the
//! same server. A warm-up round, then the median of the rounds. CPU seconds are those of the whole machine
//! (servers included); memory is the peak of the contender's own processes.

#[path = "dataset.rs"]
mod dataset;
#[path = "measure.rs"]
mod measure;

use std::collections::BTreeMap;

use dataset::{fill, judge, round, start_server};
use e2e::{
    fleet::Fleet,
    host::{Host, succeed},
    postgres::psql,
};
use measure::{Figures, measure, median};
use serde_json::json;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` runs benches too; only tests/bench/copy means it.
        return;
    }
    let rounds: usize =
        std::env::var("HOLDFAST_BENCH_ROUNDS").map_or(3, |text| text.parse().expect("a number"));
    let fleet = Fleet::start(2);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    for host in [one, two] {
        start_server(host);
    }
    load_peer_image(two);
    eprintln!("filling the source");
    fill(one);
    fleet.wait_instance("web-1/shop-db");
    fleet.wait_instance("web-2/shop-db");
    let bench = Bench {
        fleet: &fleet,
        source: server_uri(one, "bench"),
        target: server_uri(two, "copy"),
    };

    let mut results: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
    for round in 0..=rounds {
        for contender in Contender::ALL {
            let figures = bench.run(contender);
            eprintln!("round {round}: {:<28} {figures}", contender.name());
            if round > 0 {
                results.entry(contender.name()).or_default().push(figures);
            }
        }
    }
    report(&results, two);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Contender {
    DumpPsql,
    Pgcopydb,
    PgcopydbCompare,
    Transit,
    Full,
}

impl Contender {
    // The comparison reads what the clone before it left.
    const ALL: [Self; 5] = [
        Self::DumpPsql,
        Self::Transit,
        Self::Pgcopydb,
        Self::PgcopydbCompare,
        Self::Full,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::DumpPsql => "pg_dump | psql",
            Self::Pgcopydb => "pgcopydb clone",
            Self::PgcopydbCompare => "pgcopydb compare data",
            Self::Transit => "holdfast --proof transit",
            Self::Full => "holdfast --proof full",
        }
    }
}

struct Bench<'a> {
    fleet: &'a Fleet,
    source: String,
    target: String,
}

impl Bench<'_> {
    fn run(&self, contender: Contender) -> Figures {
        let (one, two) = (self.fleet.host("web-1"), self.fleet.host("web-2"));
        if contender != Contender::PgcopydbCompare {
            psql(
                two,
                "shop-db",
                "postgres",
                "drop database if exists copy with (force)",
            );
            if !matches!(contender, Contender::Transit | Contender::Full) {
                psql(two, "shop-db", "postgres", "create database copy");
            }
        }
        for host in [one, two] {
            psql(host, "shop-db", "postgres", "checkpoint");
        }
        let figures = match contender {
            Contender::DumpPsql => self.dump_psql(two),
            Contender::Pgcopydb => {
                self.pgcopydb(two, &["clone", "--table-jobs", "2", "--index-jobs", "2"])
            }
            Contender::PgcopydbCompare => self.pgcopydb(two, &["compare", "data"]),
            Contender::Transit => self.ours("transit"),
            Contender::Full => self.ours("full"),
        };
        judge(two, "copy");
        figures
    }

    fn dump_psql(&self, two: &Host) -> Figures {
        let script = format!(
            "pg_dump '{}' | psql -q -X -v ON_ERROR_STOP=1 -d copy -U postgres >/dev/null",
            self.source
        );
        let mut command = two.command("docker");
        command.args(["exec", "shop-db", "bash", "-o", "pipefail", "-c", &script]);
        measure(command, &["pg_dump", "psql"], &[])
    }

    fn pgcopydb(&self, two: &Host, words: &[&str]) -> Figures {
        let mut command = two.command("docker");
        command.args([
            "run",
            "--rm",
            "--network",
            "host",
            "holdfast-test/pgcopydb:sid",
            "pgcopydb",
        ]);
        command
            .args(words)
            .args(["--source", &self.source, "--target", &self.target]);
        if words[0] == "clone" {
            command.args(["--no-acl", "--no-owner", "--restart", "--not-consistent"]);
            // A snapshot is taken all the same; without a replication slot there is nothing to keep.
            command.args(["--dir", "/tmp/pgcopydb"]);
        }
        measure(command, &["pgcopydb", "pg_dump", "pg_restore"], &[])
    }

    fn ours(&self, proof: &str) -> Figures {
        let mut command = self.fleet.ctl.command();
        command.args([
            "copy",
            "database",
            "web-1/shop-db/bench",
            "web-2/shop-db/copy",
            "--proof",
            proof,
        ]);
        let agents = ["web-1", "web-2"].map(|name| self.fleet.member(name).agent.pid());
        let figures = measure(command, &[], &agents);
        if std::env::var_os("HOLDFAST_BENCH_EVENTS").is_some() {
            eprintln!(
                "{}",
                self.fleet.ctl.ok(&["job", "show", &self.newest_job()])
            );
        }
        figures
    }

    fn newest_job(&self) -> String {
        let jobs = self.fleet.ctl.json(&["job", "list"]);
        let numbers = jobs["jobs"].as_array().into_iter().flatten();
        let newest = numbers.filter_map(|job| job["id"].as_u64()).max();
        newest.expect("a job").to_string()
    }
}

fn load_peer_image(host: &Host) {
    let archive = std::env::var("HOLDFAST_PGCOPYDB").expect("run tests/bench/copy");
    let mut load = host.command("bash");
    load.args(["-c", &format!("zstd -dcq '{archive}' | docker load -q")]);
    succeed(load);
}

fn server_uri(host: &Host, database: &str) -> String {
    format!("postgres://postgres:secret@{}/{database}", host.address())
}

fn report(results: &BTreeMap<&str, Vec<Figures>>, two: &Host) {
    let of = |contender: Contender| median(&results[contender.name()]);
    println!(
        "{:<28} {:>8} {:>8} {:>9}",
        "", "wall s", "CPU s", "peak MiB"
    );
    for contender in Contender::ALL {
        let figures = of(contender);
        println!(
            "{:<28} {:>8.1} {:>8.1} {:>9}",
            contender.name(),
            figures.wall_s,
            figures.cpu_s,
            figures.rss_mib
        );
    }
    let (transit, full) = (of(Contender::Transit), of(Contender::Full));
    let (dump, clone, compare) = (
        of(Contender::DumpPsql),
        of(Contender::Pgcopydb),
        of(Contender::PgcopydbCompare),
    );
    let mut version = two.command("docker");
    version.args([
        "run",
        "--rm",
        "holdfast-test/pgcopydb:sid",
        "pgcopydb",
        "--version",
    ]);
    let mut tools = two.command("docker");
    tools.args(["exec", "shop-db", "pg_dump", "--version"]);
    let first = |command| {
        succeed(command)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    println!("peers: {}, {}", first(version), first(tools));
    let line = json!({
        "bench": "copy",
        "ours": transit,
        "ours_full": full,
        "peers": { "pgcopydb": clone, "pgcopydb compare": compare, "pg_dump|psql": dump },
        "ratios": {
            "pgcopydb": round(transit.wall_s / clone.wall_s),
            "pg_dump|psql": round(transit.wall_s / dump.wall_s),
            "full/pgcopydb+compare": round(full.wall_s / (clone.wall_s + compare.wall_s)),
            "full/pgcopydb": round(full.wall_s / clone.wall_s),
        }
    });
    println!("{line}");
}
