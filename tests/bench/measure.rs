//! Wall time, CPU seconds of the machine, and peak memory of chosen processes while a command runs.

use std::{
    fmt, fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    pub wall_s: f64,
    pub cpu_s: f64,
    pub rss_mib: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} s, {:.1} CPU s, {} MiB",
            self.wall_s, self.cpu_s, self.rss_mib
        )
    }
}

/// Runs the command to its successful end. Memory: the peak sum over processes with one of `names`,
/// or the highest of the processes `pids` (each alone: agents on different hosts).
pub fn measure(mut command: Command, names: &[&'static str], pids: &[u32]) -> Figures {
    let peak = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let sampler = {
        let (peak, ended) = (Arc::clone(&peak), Arc::clone(&ended));
        let (names, pids) = (names.to_vec(), pids.to_vec());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let now =
                    by_name(&names) + pids.iter().map(|pid| resident(*pid)).max().unwrap_or(0);
                peak.fetch_max(now, Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(200));
            }
        })
    };
    let (start, cpu) = (Instant::now(), machine_cpu_seconds());
    let output = command.output().expect("the contender starts");
    let wall_s = start.elapsed().as_secs_f64();
    let cpu_s = machine_cpu_seconds() - cpu;
    ended.store(true, Ordering::Relaxed);
    sampler.thread().unpark();
    sampler.join().expect("the sampler ends");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Figures {
        wall_s,
        cpu_s,
        rss_mib: peak.load(Ordering::Relaxed) >> 20,
    }
}

/// By wall time.
pub fn median(all: &[Figures]) -> Figures {
    let mut sorted = all.to_vec();
    sorted.sort_by(|a, b| a.wall_s.total_cmp(&b.wall_s));
    sorted[sorted.len() / 2]
}

fn machine_cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").expect("/proc/stat");
    let line = stat.lines().next().expect("a line");
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .map(|word| word.parse().expect("a number"))
        .collect();
    // user, nice, system, irq, softirq
    (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / 100.0
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

fn by_name(names: &[&str]) -> u64 {
    if names.is_empty() {
        return 0;
    }
    let processes = fs::read_dir("/proc").expect("/proc");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| names.contains(&name.trim()))
        })
        .map(resident)
        .sum()
}
