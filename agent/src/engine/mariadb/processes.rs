//! MariaDB and MySQL servers among the processes of the host, whatever image or package they came from.
//!
//! A server works in its data directory. Where it listens, the kernel tells: the sockets among its open files.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use holdfast_proto::fleet::Engine;

use crate::engine::postgres::processes::{
    Mode, Namespaces, arguments, container_of_cgroup, field, namespaces, parent, working_in,
};

/// Programs that are servers, as the kernel shortens their names.
const PROGRAMS: [&str; 2] = ["mariadbd", "mysqld"];
const DEFAULT_PORT: u16 = 3306;
const DEFAULT_SOCKET: &str = "/run/mysqld/mysqld.sock";
/// What a data directory has: the system tables' directory, before it is there the first file of InnoDB.
const SYSTEM: [&str; 2] = ["mysql", "ibdata1"];
/// Other things that such a server listens for: the X protocol, Galera's group and its transfers.
const OTHER_PORTS: [u16; 6] = [33060, 33062, 4444, 4567, 4568, 9200];
/// A listening TCP socket, as `/proc/net/tcp` writes its state.
const LISTEN: &str = "0A";
/// A listening unix socket, as `/proc/net/unix` writes its flags.
const ACCEPTS: &str = "00010000";

/// One running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mariadbd {
    /// In our numbering.
    pub pid: i32,
    pub uid: u32,
    /// By its program's name; an older MariaDB calls itself mysqld.
    pub engine: Engine,
    pub namespaces: Namespaces,
    /// 64 hex digits from its control group; empty when there are none.
    pub cgroup_container: String,
    /// As the server sees it; empty when nothing tells yet.
    pub data_directory: String,
    pub port: u16,
    /// As the server sees it; unset when it listens on none.
    pub socket: Option<String>,
    /// Whether it listens on the network.
    pub listens: bool,
    /// In clock ticks since the machine started: the same number again is the same run.
    pub started: u64,
    pub mode: Mode,
}

/// Where a process listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Listening {
    ports: Vec<u16>,
    sockets: Vec<String>,
}

/// All servers that run now. A process that ends meanwhile is left out.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn scan(proc: &Path) -> io::Result<Vec<Mariadbd>> {
    let mut candidates: Vec<(i32, PathBuf, Engine)> = Vec::new();
    for entry in fs::read_dir(proc)? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let directory = entry.path();
        let Ok(comm) = fs::read_to_string(directory.join("comm")) else {
            continue;
        };
        let Some(at) = PROGRAMS
            .iter()
            .position(|program| *program == comm.trim_end())
        else {
            continue;
        };
        let engine = [Engine::Mariadb, Engine::Mysql][at];
        candidates.push((pid, directory, engine));
    }
    let pids: BTreeSet<i32> = candidates.iter().map(|(pid, ..)| *pid).collect();
    Ok(candidates
        .iter()
        .filter(|(_, directory, _)| parent(directory).is_some_and(|p| !pids.contains(&p)))
        .filter_map(|(pid, directory, engine)| look(*pid, directory, *engine))
        .collect())
}

fn look(pid: i32, directory: &Path, engine: Engine) -> Option<Mariadbd> {
    let status = fs::read_to_string(directory.join("status")).ok()?;
    let uid = field(&status, "Uid:")?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()?;
    let is_init = field(&status, "NSpid:")
        .is_some_and(|ids| ids.split_whitespace().count() > 1 && ids.ends_with("\t1"));
    let arguments = arguments(directory);
    // Not to be seen without the right to look into other users' processes: then the usual places have to do.
    let (listening, seen) = match inodes(directory) {
        Some(inodes) => (listening(directory, &inodes), true),
        None => (Listening::default(), false),
    };
    let mode = if sets_up(&arguments, is_init) {
        Mode::Initialising
    } else {
        Mode::Serving
    };
    let asked = option(&arguments, "port").and_then(|port| port.parse().ok());
    let socket = socket(&listening.sockets, option(&arguments, "socket"));
    let proc = directory.parent()?;
    Some(Mariadbd {
        pid,
        uid,
        engine,
        namespaces: namespaces(proc, pid)?,
        cgroup_container: fs::read_to_string(directory.join("cgroup"))
            .map(|text| container_of_cgroup(&text))
            .unwrap_or_default(),
        data_directory: data_directory(directory, &arguments),
        port: port(&listening.ports, asked),
        socket: if seen {
            socket
        } else {
            socket.or(Some(DEFAULT_SOCKET.to_owned()))
        },
        listens: !seen || !listening.ports.is_empty(),
        started: started(directory).unwrap_or_default(),
        mode,
    })
}

/// A server that an entrypoint or an installation runs for itself: it goes away again.
fn sets_up(arguments: &[String], is_init: bool) -> bool {
    let has = |names: &[&str]| {
        arguments.iter().skip(1).any(|argument| {
            let name = argument.split('=').next().unwrap_or_default();
            let name = name.trim_start_matches("--").replace('_', "-");
            argument.starts_with("--") && names.contains(&name.as_str())
        })
    };
    has(&["bootstrap", "initialize", "initialize-insecure"])
        || !is_init && has(&["skip-networking"])
}

fn data_directory(directory: &Path, arguments: &[String]) -> String {
    match working_in(directory, &SYSTEM) {
        // It has just begun.
        none if none.is_empty() => option(arguments, "datadir").unwrap_or_default(),
        works_in => works_in,
    }
}

/// The value of `--name=value`; underscores and dashes are the same to these servers.
fn option(arguments: &[String], name: &str) -> Option<String> {
    arguments.iter().rev().find_map(|argument| {
        let (key, value) = argument.strip_prefix("--")?.split_once('=')?;
        (key.replace('_', "-") == name && !value.is_empty()).then(|| value.to_owned())
    })
}

fn port(listening: &[u16], asked: Option<u16>) -> u16 {
    let own = |port: &&u16| !OTHER_PORTS.contains(*port);
    asked
        .filter(|port| listening.is_empty() || listening.contains(port))
        .or_else(|| listening.contains(&DEFAULT_PORT).then_some(DEFAULT_PORT))
        .or_else(|| listening.iter().find(own).copied())
        .unwrap_or(DEFAULT_PORT)
}

fn socket(listening: &[String], asked: Option<String>) -> Option<String> {
    let own = |path: &&String| path.starts_with('/') && !path.contains("mysqlx");
    asked
        .filter(|path| path.starts_with('/') && (listening.is_empty() || listening.contains(path)))
        .or_else(|| listening.iter().find(own).cloned())
}

/// Of the sockets that a process has open; `None` when we may not look.
fn inodes(directory: &Path) -> Option<BTreeSet<u64>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(directory.join("fd")).ok()?.flatten() {
        let Ok(link) = fs::read_link(entry.path()) else {
            continue;
        };
        let text = link.to_string_lossy();
        let inode = text
            .strip_prefix("socket:[")
            .and_then(|t| t.strip_suffix(']'));
        inodes.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
    }
    Some(inodes)
}

/// In the process's own network namespace.
fn listening(directory: &Path, inodes: &BTreeSet<u64>) -> Listening {
    let table =
        |name: &str| fs::read_to_string(directory.join("net").join(name)).unwrap_or_default();
    let mut ports: Vec<u16> = ["tcp", "tcp6"]
        .iter()
        .flat_map(|name| tcp(&table(name), inodes))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    Listening {
        ports,
        sockets: unix(&table("unix"), inodes),
    }
}

fn tcp(table: &str, inodes: &BTreeSet<u64>) -> Vec<u16> {
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let ours = *state == LISTEN && inodes.contains(&inode.parse().ok()?);
        let port = u16::from_str_radix(address.rsplit(':').next()?, 16).ok()?;
        ours.then_some(port)
    })
    .collect()
}

fn unix(table: &str, inodes: &BTreeSet<u64>) -> Vec<String> {
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let mut fields = row.split_whitespace();
        let flags = fields.nth(3)?;
        let inode = fields.nth(2)?;
        let path = fields.collect::<Vec<_>>().join(" ");
        let ours = flags == ACCEPTS && inodes.contains(&inode.parse().ok()?);
        (ours && !path.is_empty()).then_some(path)
    })
    .collect()
}

/// The 22nd word of `stat`; the second may hold spaces, in brackets.
fn started(directory: &Path) -> Option<u64> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn where_it_listens_is_what_the_kernel_says() {
        let tcp_table = "  sl  local_address rem_address   st tx rx tr tm retr uid timeout inode\n   \
            0: 00000000:0CEA 00000000:0000 0A 0 0 0 999 0 4711 1 0\n   \
            1: 00000000:11D7 00000000:0000 0A 0 0 0 999 0 4712 1 0\n   \
            2: 0100007F:0CEA 0100007F:8000 01 0 0 0 999 0 4713 1 0\n   \
            3: 00000000:0050 00000000:0000 0A 0 0 0 0 0 99 1 0\n";
        let ours = BTreeSet::from([4711, 4712, 4713, 4715, 4716]);
        assert_eq!(tcp(tcp_table, &ours), [3306, 4567]);
        let unix_table = "Num RefCount Protocol Flags Type St Inode Path\n\
            0000: 00000002 00000000 00010000 0001 01 4715 /run/mysqld/mysqld.sock\n\
            0001: 00000003 00000000 00000000 0001 03 4716 /run/mysqld/mysqld.sock\n\
            0002: 00000002 00000000 00010000 0001 01 7 /run/other.sock\n";
        assert_eq!(unix(unix_table, &ours), ["/run/mysqld/mysqld.sock"]);
    }

    #[test]
    fn the_port_for_clients_is_told_from_the_others() {
        assert_eq!(port(&[3306, 4567, 33060], None), 3306);
        assert_eq!(port(&[3307, 4567], None), 3307);
        assert_eq!(port(&[3306, 3308], Some(3308)), 3308);
        assert_eq!(
            port(&[3307], Some(3308)),
            3307,
            "an option that something else overrode"
        );
        assert_eq!(port(&[], None), DEFAULT_PORT);
    }

    #[test]
    fn the_socket_for_clients_is_told_from_the_x_protocols() {
        let both = ["/run/mysqld/mysqlx.sock", "/run/mysqld/mysqld.sock"].map(str::to_owned);
        assert_eq!(
            socket(&both, None).as_deref(),
            Some("/run/mysqld/mysqld.sock")
        );
        assert_eq!(socket(&[], None), None);
        assert_eq!(
            socket(&[], Some("/tmp/a.sock".into())).as_deref(),
            Some("/tmp/a.sock")
        );
    }

    #[test]
    fn a_set_up_is_told_from_a_server_that_serves() {
        for (line, is_init, is) in [
            ("mariadbd", true, false),
            (
                "mariadbd --skip-networking --socket=/run/mysqld/mysqld.sock",
                false,
                true,
            ),
            ("mariadbd --skip_networking", false, true),
            ("mariadbd --skip-networking", true, false),
            (
                "/usr/sbin/mariadbd --bootstrap --datadir=/var/lib/mysql",
                false,
                true,
            ),
            ("mysqld --initialize-insecure", true, true),
        ] {
            assert_eq!(sets_up(&words(line), is_init), is, "{line}");
        }
        assert_eq!(
            option(&words("mariadbd --port=3307"), "port").as_deref(),
            Some("3307")
        );
    }
}
