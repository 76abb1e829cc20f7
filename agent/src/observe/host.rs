//! The machine itself: system, processors, memory.

use std::fs;

/// "Debian GNU/Linux 12 (bookworm)".
#[must_use]
pub fn operating_system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

/// Release of the kernel.
#[must_use]
pub fn kernel() -> String {
    let uname = rustix::system::uname();
    uname.release().to_string_lossy().into_owned()
}

/// Processors that this process may use.
#[must_use]
pub fn cpus() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Bytes of memory of the machine; 0 when the kernel does not tell.
#[must_use]
pub fn memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_the_machine_are_there() {
        assert!(cpus() >= 1 && memory() > 1 << 20);
        assert!(!operating_system().is_empty() && !kernel().is_empty());
    }
}
