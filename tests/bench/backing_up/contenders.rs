//! Who runs, in which order, and what each of them stored.

use std::{fmt, process::Command};

use e2e::{
    fleet::Fleet,
    host::{Host, succeed},
    postgres::psql,
};

use super::{
    dataset::{DATABASE, SERVER, judge},
    measure::{Figures, measure},
    peers::Peers,
};

const RESTORED: &str = "restored";

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Contender {
    DumpZstd,
    First,
    DumpRestic,
    DumpResticSecond,
    Second,
    PgRestore,
    Restore,
    Drill,
    DumpResticScattered,
    Scattered,
}

#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub figures: Figures,
    /// Bytes that it added; 0: it does not store.
    pub stored: u64,
}

/// A host whose repositories were empty when it began.
#[derive(Debug)]
pub struct Round<'a> {
    pub host: &'a Host,
    fleet: &'a Fleet,
    name: &'a str,
    peers: &'a Peers,
}

impl Contender {
    pub const ALL: [Self; 10] = [
        Self::DumpZstd,
        Self::First,
        Self::DumpRestic,
        Self::DumpResticSecond,
        Self::Second,
        Self::PgRestore,
        Self::Restore,
        Self::Drill,
        Self::DumpResticScattered,
        Self::Scattered,
    ];
    pub const FIRST_AFTER_CHANGE: Self = Self::DumpResticSecond;
    pub const FIRST_AFTER_SCATTER: Self = Self::DumpResticScattered;

    pub fn name(self) -> &'static str {
        match self {
            Self::DumpZstd => "pg_dump -Fc -Z0 | zstd -3 -T2",
            Self::First => "holdfast, first backup",
            Self::DumpRestic => "pg_dump | restic, first",
            Self::DumpResticSecond => "pg_dump | restic, second",
            Self::Second => "holdfast, second backup",
            Self::PgRestore => "pg_restore -j2",
            Self::Restore => "holdfast, restore",
            Self::Drill => "holdfast, drill",
            Self::DumpResticScattered => "pg_dump | restic, scattered 1 %",
            Self::Scattered => "holdfast, scattered 1 %",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {:.1} MB stored",
            self.figures,
            self.stored as f64 / 1e6
        )
    }
}

impl<'a> Round<'a> {
    pub fn begin(fleet: &'a Fleet, peers: &'a Peers) -> Self {
        let member = fleet.members.first().expect("a host");
        Self {
            host: &member.host,
            fleet,
            name: &member.name,
            peers,
        }
    }

    pub fn run(&self, contender: Contender) -> Outcome {
        let restores = matches!(contender, Contender::PgRestore | Contender::Restore);
        if restores {
            let drop = format!("drop database if exists {RESTORED} with (force)");
            psql(self.host, SERVER, "postgres", &drop);
        }
        if contender == Contender::PgRestore {
            psql(
                self.host,
                SERVER,
                "postgres",
                &format!("create database {RESTORED}"),
            );
        }
        psql(self.host, SERVER, "postgres", "checkpoint");
        succeed(Command::new("sync"));
        let before = self.stored(contender);
        let figures = self.measure(contender);
        let after = self.stored(contender);
        if restores {
            judge(self.host, RESTORED);
        }
        Outcome {
            figures,
            stored: after.saturating_sub(before),
        }
    }

    fn measure(&self, contender: Contender) -> Figures {
        let (peers, host) = (self.peers, self.host);
        let database = format!("{}/{SERVER}/{DATABASE}", self.name);
        match contender {
            Contender::DumpZstd => measure(peers.dump_zstd(host), &["pg_dump", "zstd"], &[]),
            // The dynamic linker of the newest Debian runs it.
            Contender::DumpRestic
            | Contender::DumpResticSecond
            | Contender::DumpResticScattered => measure(
                peers.dump_restic(host),
                &["pg_dump", "restic", "ld-linux-x86-64"],
                &[],
            ),
            Contender::PgRestore => measure(peers.restore(host, RESTORED), &["pg_restore"], &[]),
            Contender::First | Contender::Second | Contender::Scattered => {
                self.ours(&["backup", "create", &database])
            }
            Contender::Restore => {
                let target = format!("{}/{SERVER}/{RESTORED}", self.name);
                self.ours(&["restore", &format!("{database}@latest"), "--to", &target])
            }
            Contender::Drill => self.ours(&["drill", "run", &database]),
        }
    }

    fn ours(&self, words: &[&str]) -> Figures {
        let mut command = self.fleet.ctl.command();
        command.args(words);
        let pids = [
            self.fleet.member(self.name).agent.pid(),
            self.fleet.controller.pid(),
        ];
        let figures = measure(command, &[], &pids);
        if std::env::var_os("HOLDFAST_BENCH_EVENTS").is_some() {
            let newest = self.newest_job();
            eprintln!("{}", self.fleet.ctl.ok(&["job", "show", &newest]));
        }
        figures
    }

    fn newest_job(&self) -> String {
        let jobs = self.fleet.ctl.json(&["job", "list"]);
        let numbers = jobs["jobs"].as_array().into_iter().flatten();
        let newest = numbers.filter_map(|job| job["id"].as_u64()).max();
        newest.expect("a job").to_string()
    }

    /// So much lies in the contender's store.
    fn stored(&self, contender: Contender) -> u64 {
        match contender {
            Contender::DumpZstd => match std::fs::metadata(self.peers.zstd_file()) {
                Ok(file) => file.len(),
                Err(_) => 0,
            },
            Contender::DumpRestic
            | Contender::DumpResticSecond
            | Contender::DumpResticScattered => self.peers.stored("restic"),
            Contender::First | Contender::Second | Contender::Scattered => self.in_repository(),
            Contender::PgRestore | Contender::Restore | Contender::Drill => 0,
        }
    }

    fn in_repository(&self) -> u64 {
        let list = self.fleet.ctl.json(&["repository", "list"]);
        let known = list["repositories"].as_array().into_iter().flatten();
        if !known.into_iter().any(|one| one["host"] == self.name) {
            return 0;
        }
        let stats = self.fleet.ctl.json(&["repository", "stats", self.name]);
        stats["stored_bytes"].as_u64().expect("bytes")
    }
}
