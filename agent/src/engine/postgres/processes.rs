//! PostgreSQL servers among the processes of the host, whatever image or package they came from.
//!
//! A postmaster is a `postgres` process whose parent is none. It works in its data directory,
//! where `postmaster.pid` tells port and socket.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Programs that are PostgreSQL servers, as the kernel shortens their names.
const PROGRAMS: [&str; 3] = ["postgres", "postmaster", "edb-postgres"];
const DEFAULT_PORT: u16 = 5432;

/// One running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postmaster {
    /// In our numbering.
    pub pid: i32,
    pub uid: u32,
    pub namespaces: Namespaces,
    /// 64 hex digits from its control group; empty when there are none.
    pub cgroup_container: String,
    /// First process of its own namespace.
    pub is_init: bool,
    /// As the server sees it; empty when nothing tells yet.
    pub data_directory: String,
    pub port: u16,
    /// As the server sees it; unset when it listens on no socket.
    pub socket_directory: Option<String>,
    /// Epoch seconds, from `postmaster.pid`: the same number again is the same run.
    pub started: i64,
    pub mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Serving,
    /// Started by an image's entrypoint to set the data directory up: takes no connections from
    /// outside and goes away again.
    Initialising,
    /// `postgres --single`: a repair is under way.
    SingleUser,
}

/// Which namespaces a process lives in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    pub mount: String,
    pub pid: String,
}

/// What `postmaster.pid` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct PidFile {
    pid: i64,
    data_directory: String,
    started: i64,
    port: Option<u16>,
    socket_directory: Option<String>,
    listen: Option<String>,
}

/// All servers that run now. A process that ends meanwhile is left out.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn scan(proc: &Path) -> io::Result<Vec<Postmaster>> {
    let mut candidates = Vec::new();
    for entry in fs::read_dir(proc)? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let directory = entry.path();
        let Ok(comm) = fs::read_to_string(directory.join("comm")) else {
            continue;
        };
        if PROGRAMS.contains(&comm.trim_end()) {
            candidates.push((pid, directory));
        }
    }
    let pids: Vec<i32> = candidates.iter().map(|(pid, _)| *pid).collect();
    Ok(candidates
        .iter()
        .filter(|(_, directory)| parent(directory).is_some_and(|p| !pids.contains(&p)))
        .filter_map(|(pid, directory)| look(*pid, directory))
        .collect())
}

/// The namespaces of a process; `None` when it is gone or not ours to look at.
#[must_use]
pub fn namespaces(proc: &Path, pid: i32) -> Option<Namespaces> {
    let of = |kind: &str| {
        let link = fs::read_link(proc.join(format!("{pid}/ns/{kind}"))).ok()?;
        Some(link.to_string_lossy().into_owned())
    };
    Some(Namespaces {
        mount: of("mnt")?,
        pid: of("pid")?,
    })
}

fn look(pid: i32, directory: &Path) -> Option<Postmaster> {
    let status = fs::read_to_string(directory.join("status")).ok()?;
    let uid = field(&status, "Uid:")?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()?;
    let is_init = field(&status, "NSpid:")
        .and_then(|ids| ids.split_whitespace().nth(1).map(|_| ids.ends_with("\t1")))
        .unwrap_or(false);
    let arguments = arguments(directory);
    let file = fs::read_to_string(directory.join("cwd/postmaster.pid"))
        .map(|text| parse_pid_file(&text))
        .unwrap_or_default();
    let port = file
        .port
        .or_else(|| option(&arguments, "-p").and_then(|p| p.parse().ok()))
        .unwrap_or(DEFAULT_PORT);
    let mode = if file.pid < 0 || arguments.iter().any(|a| a == "--single") {
        Mode::SingleUser
    } else if !is_init && listens_nowhere_by_command(&arguments) {
        Mode::Initialising
    } else {
        Mode::Serving
    };
    let proc = directory.parent()?;
    Some(Postmaster {
        pid,
        uid,
        namespaces: namespaces(proc, pid)?,
        cgroup_container: fs::read_to_string(directory.join("cgroup"))
            .map(|text| container_of_cgroup(&text))
            .unwrap_or_default(),
        is_init,
        data_directory: [
            file.data_directory,
            working_in(directory, &["PG_VERSION"]),
            option(&arguments, "-D").unwrap_or_default().to_owned(),
        ]
        .into_iter()
        .find(|told| !told.is_empty())
        .unwrap_or_default(),
        port,
        socket_directory: file.socket_directory,
        started: file.started,
        mode,
    })
}

pub(crate) fn parent(directory: &Path) -> Option<i32> {
    let status = fs::read_to_string(directory.join("status")).ok()?;
    field(&status, "PPid:")?.parse().ok()
}

pub(crate) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

pub(crate) fn arguments(directory: &Path) -> Vec<String> {
    let raw = fs::read(directory.join("cmdline")).unwrap_or_default();
    raw.split(|b| *b == 0)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

fn option<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|a| a == flag)?;
    arguments.get(at + 1).map(String::as_str)
}

/// `-c listen_addresses=` (with or without quotes) on the command line, as entrypoints do it.
fn listens_nowhere_by_command(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| {
        argument
            .trim_start_matches("-c")
            .trim_start_matches("--")
            .trim()
            .strip_prefix("listen_addresses=")
            .or_else(|| argument.strip_prefix("--listen-addresses="))
            .is_some_and(|value| value.trim_matches(['\'', '"']).is_empty())
    })
}

/// Where a process works, once that is a directory with one of these in it: a server that has just begun works
/// somewhere else, in `/` for the most part.
pub(crate) fn working_in(directory: &Path, holding: &[&str]) -> String {
    let works_in = directory.join("cwd");
    if !holding.iter().any(|name| works_in.join(name).exists()) {
        return String::new();
    }
    fs::read_link(works_in)
        .unwrap_or_else(|_| PathBuf::new())
        .to_string_lossy()
        .into_owned()
}

fn parse_pid_file(text: &str) -> PidFile {
    let mut lines = text.lines().map(str::trim);
    let mut next = || lines.next().unwrap_or_default();
    PidFile {
        pid: next().parse().unwrap_or_default(),
        data_directory: next().to_owned(),
        started: next().parse().unwrap_or_default(),
        port: next().parse().ok(),
        socket_directory: Some(next().to_owned()).filter(|d| !d.is_empty()),
        listen: Some(next().to_owned()).filter(|l| !l.is_empty()),
    }
}

/// The container id in a control group path of Docker or Podman, with either cgroup driver.
pub(crate) fn container_of_cgroup(text: &str) -> String {
    text.split(|c: char| !c.is_ascii_hexdigit())
        .find(|run| run.len() == 64)
        .unwrap_or_default()
        .to_owned()
}

/// Whether there is a process of that number.
#[must_use]
pub fn is_alive(proc: &Path, pid: i32) -> bool {
    proc.join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_of_a_server_and_of_a_single_user_session() {
        let file = parse_pid_file(
            "1\n/var/lib/postgresql/data\n1795220184\n5433\n/var/run/postgresql\n*\n  5432001\nready   \n",
        );
        assert_eq!(file.pid, 1);
        assert_eq!(file.port, Some(5433));
        assert_eq!(
            file.socket_directory.as_deref(),
            Some("/var/run/postgresql")
        );
        assert_eq!(file.listen.as_deref(), Some("*"));
        let single = parse_pid_file("-77\n/data\n1795220184\n5432\n\n\n");
        assert!(single.pid < 0 && single.socket_directory.is_none());
        assert_eq!(parse_pid_file(""), PidFile::default());
    }

    #[test]
    fn a_server_that_does_not_work_in_its_data_yet_tells_no_directory() {
        let process = tempfile::tempdir().unwrap();
        let data = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(data.path(), process.path().join("cwd")).unwrap();
        assert_eq!(working_in(process.path(), &["PG_VERSION"]), "");
        fs::write(data.path().join("PG_VERSION"), "15").unwrap();
        let told = working_in(process.path(), &["PG_VERSION"]);
        assert_eq!(told, data.path().display().to_string());
    }

    #[test]
    fn container_ids_are_found_under_either_cgroup_driver() {
        let id = "16262765cacfcc93afadf7d808791ade740d5cdcd543f089948c280f73ddd81c";
        for text in [
            format!("9:name=systemd:/docker/{id}\n"),
            format!("0::/system.slice/docker-{id}.scope\n"),
            format!("0::/machine.slice/libpod-{id}.scope/container\n"),
        ] {
            assert_eq!(container_of_cgroup(&text), id, "{text}");
        }
        assert_eq!(container_of_cgroup("0::/user.slice\n"), "");
    }

    #[test]
    fn the_entrypoints_own_server_is_told_from_one_that_serves() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for line in [
            "postgres -D /data -c listen_addresses= -p 5432",
            "postgres -c listen_addresses=''",
            "postgres --listen_addresses=",
        ] {
            assert!(listens_nowhere_by_command(&words(line)), "{line}");
        }
        for line in ["postgres", "postgres -c listen_addresses=*"] {
            assert!(!listens_nowhere_by_command(&words(line)), "{line}");
        }
    }
}
