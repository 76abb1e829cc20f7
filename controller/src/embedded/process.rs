//! Processes that are not our children: whether they live, what they are, how to end them.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const POLL: Duration = Duration::from_millis(20);

/// Whether the process runs; one that waits for its parent to notice its end does not.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        // The name stands in brackets and may hold anything; the state follows the last one.
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    })
}

/// Whether the process is a PostgreSQL that works in this data directory.
pub fn is_postgres_in(pid: u32, data: &Path) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    let is_postgres = program.is_ok_and(|path| {
        // "postgres (deleted)" after the package was upgraded.
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("postgres"))
    });
    let works_there = std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|path| path == data);
    is_postgres && works_there
}

/// The program's name, for messages.
pub fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// No error when it has ended already.
pub fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a process id",
        ));
    };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the process was gone before the patience ended.
pub async fn wait_gone(pid: u32, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while is_alive(pid) {
        if Instant::now() > until {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
    true
}
