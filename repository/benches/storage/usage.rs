//! What one process took: wall time, processor time, peak memory, and what it said.

use std::{
    fs,
    io::Read as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Processor time is counted in these (`USER_HZ`).
const TICKS: f64 = 100.0;
const PAUSE: Duration = Duration::from_millis(5);

pub struct Usage {
    pub wall_s: f64,
    pub cpu_s: f64,
    pub peak_mib: u64,
    pub said: String,
}

/// Runs it to its successful end. It must say little: nobody reads before the end.
pub fn used(mut command: Command) -> Usage {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the contender starts");
    let mut peak_kib = 0;
    // As long as nobody waits for it, what it took stays readable.
    while !ended(&child) {
        peak_kib = peak(&child).unwrap_or(0).max(peak_kib);
        std::thread::park_timeout(PAUSE);
    }
    let wall_s = start.elapsed().as_secs_f64();
    let cpu_s = cpu(&child);
    let status = child.wait().expect("the contender ends");
    let (mut said, mut complaint) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    if let (Some(stdout), Some(stderr)) = (&mut stdout, &mut stderr) {
        stdout.read_to_string(&mut said).expect("text");
        stderr.read_to_string(&mut complaint).expect("text");
    }
    assert!(status.success(), "{command:?}: {status}\n{complaint}");
    Usage {
        wall_s,
        cpu_s,
        peak_mib: peak_kib >> 10,
        said,
    }
}

/// The fields of its `stat` from the state on.
fn stat(child: &Child) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("a child has it");
    let (_, fields) = stat.rsplit_once(')').expect("the name ends");
    fields.split_whitespace().map(str::to_owned).collect()
}

fn ended(child: &Child) -> bool {
    stat(child).first().is_some_and(|state| state == "Z")
}

fn cpu(child: &Child) -> f64 {
    let stat = stat(child);
    let ticks = |field: usize| -> f64 { stat[field].parse().expect("a number") };
    (ticks(11) + ticks(12)) / TICKS
}

fn peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
