//! What an agent costs while nothing happens on its host.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    time::{Duration, Instant},
};

use crate::{
    daemon::Daemon,
    eventually::eventually,
    fleet::Fleet,
    host::Host,
    postgres::{Version, start_postgres},
};

/// Names of the daemons that run a host's containers, as `/proc/PID/stat` writes them.
const ENGINE: [&str; 3] = ["(dockerd)", "(containerd)", "(containerd-shim)"];

/// Between two looks at its containers an agent does little more than tell that it lives …
const SLICE: Duration = Duration::from_secs(5);
/// … which takes so many wakes at most.
const REST: u64 = 12;

/// Of an agent over one window, beside the container engine of its host.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// Processor time by the clock; 0.01 is one hundredth of a core.
    pub share_of_a_core: f64,
    /// Of the engine's daemons together, in the same window: they sleep and wake on the same machine.
    pub engine_share_of_a_core: f64,
    /// Times that a thread went to sleep and was woken: work done, whatever the machine makes of it.
    pub wakes_per_minute: f64,
    pub resident_bytes: u64,
    /// Not backed by a file: what the process holds itself.
    pub own_bytes: u64,
}

impl Idle {
    #[must_use]
    pub fn of(process: &Daemon, host: &Host, window: Duration) -> Self {
        let pid = process.pid();
        come_to_rest(pid);
        let engine_before = engine_seconds(host);
        let (begun, cpu_before, wakes_before) = (Instant::now(), cpu_seconds(pid), wakes(pid));
        pass(window);
        let seconds = begun.elapsed().as_secs_f64();
        Self {
            share_of_a_core: (cpu_seconds(pid) - cpu_before) / seconds,
            engine_share_of_a_core: (engine_seconds(host) - engine_before) / seconds,
            wakes_per_minute: wakes_since(&wakes_before, pid) as f64 * 60.0 / seconds,
            resident_bytes: process.resident_bytes(),
            own_bytes: process.own_bytes(),
        }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} % of a core (the engine {:.2} %), {:.0} wakes a minute, {} KiB, {} KiB of them its own",
            self.share_of_a_core * 100.0,
            self.engine_share_of_a_core * 100.0,
            self.wakes_per_minute,
            self.resident_bytes >> 10,
            self.own_bytes >> 10
        )
    }
}

/// A server "shop-db" and sleepers on the only host of the fleet, until `ctl` lists them all.
pub fn crowd(fleet: &Fleet, containers: usize) {
    let host = fleet.host("web-1");
    start_postgres(host, "shop-db", Version::V15);
    for n in 1..containers {
        host.sleeper(&format!("sleeper-{n}"));
    }
    eventually(
        Duration::from_secs(60),
        "every container in the list",
        || {
            let list = fleet.ctl.json(&["container", "list"]);
            let seen = list["containers"].as_array().map_or(0, Vec::len);
            if seen == containers {
                Ok(())
            } else {
                Err(seen)
            }
        },
    );
    fleet.wait_instance("web-1/shop-db");
}

/// What has just happened on the host, the start of its containers say, is worked off: on a machine that is busy with
/// something else that takes a while.
fn come_to_rest(pid: u32) {
    eventually(Duration::from_secs(120), "the agent is at rest", || {
        let before = wakes(pid);
        pass(SLICE);
        match wakes_since(&before, pid) {
            ..=REST => Ok(()),
            more => Err(format!("{more} wakes in {} s", SLICE.as_secs())),
        }
    });
}

fn pass(time: Duration) {
    let begun = Instant::now();
    eventually(time * 2, "the window", || {
        if begun.elapsed() >= time {
            Ok(())
        } else {
            Err("")
        }
    });
}

fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    cpu_seconds_in(&stat)
}

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

/// User and system time in what `/proc/PID/stat` says.
fn cpu_seconds_in(stat: &str) -> f64 {
    // After the name, which may hold anything.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

/// How often each thread that lives now was put to sleep until something came.
fn wakes(pid: u32) -> BTreeMap<OsString, u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let of = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((thread.file_name(), line.trim().parse().ok()?))
    };
    threads.filter_map(|thread| of(thread.ok()?)).collect()
}

/// What a thread did that ended meanwhile is not known.
fn wakes_since(before: &BTreeMap<OsString, u64>, pid: u32) -> u64 {
    let now = wakes(pid).into_iter();
    now.map(|(thread, count)| count - before.get(&thread).copied().unwrap_or(0))
        .sum()
}
