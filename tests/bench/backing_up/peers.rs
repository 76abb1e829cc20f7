//! What ours is measured against: `pg_dump` and `pg_restore` beside the server, zstd, restic.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::host::{Host, succeed};

use super::dataset::{DATABASE, SERVER};

#[derive(Debug)]
pub struct Peers {
    dir: PathBuf,
    /// Options of the PostgreSQL programs.
    server: String,
    restic: String,
}

impl Peers {
    /// Where they find the server, and the dump that `pg_restore` reads.
    pub fn prepare(dir: &Path, host: &Host) -> Self {
        let dir = dir.join("peers");
        fs::create_dir_all(&dir).expect("a directory");
        let pid = host.docker(&["inspect", "-f", "{{.State.Pid}}", SERVER]);
        let peers = Self {
            dir,
            server: format!("-U postgres -h /proc/{}/root/run/postgresql", pid.trim()),
            restic: std::env::var("HOLDFAST_RESTIC").expect("run tests/bench/backup"),
        };
        let dump = peers.path("dump");
        let script = format!("pg_dump {} -Fd -j2 -f {dump} {DATABASE}", peers.server);
        succeed(peers.shell(host, &script));
        peers
    }

    pub fn zstd_file(&self) -> PathBuf {
        self.dir.join("dump.zst")
    }

    /// Nothing is stored yet.
    pub fn empty(&self) {
        if self.zstd_file().exists() {
            fs::remove_file(self.zstd_file()).expect("the dump goes");
        }
        let repository = self.dir.join("restic");
        if repository.exists() {
            fs::remove_dir_all(&repository).expect("the repository goes");
        }
        let mut init = Command::new("bash");
        init.args(["-c", &format!("{} init", self.restic())]);
        init.env("RESTIC_PASSWORD", "bench");
        succeed(init);
    }

    pub fn dump_zstd(&self, host: &Host) -> Command {
        let (server, file) = (&self.server, self.path("dump.zst"));
        let script = format!("pg_dump {server} -Fc -Z0 {DATABASE} | zstd -q -f -3 -T2 -o {file}");
        self.shell(host, &script)
    }

    pub fn dump_restic(&self, host: &Host) -> Command {
        let (server, restic) = (&self.server, self.restic());
        let script = format!(
            "pg_dump {server} {DATABASE} | {restic} backup -q --stdin --stdin-filename {DATABASE}.sql"
        );
        self.shell(host, &script)
    }

    pub fn restore(&self, host: &Host, database: &str) -> Command {
        let (server, dump) = (&self.server, self.path("dump"));
        let script = format!("pg_restore {server} -j2 -d {database} {dump}");
        self.shell(host, &script)
    }

    /// Bytes that the dump took, or that the repository has.
    pub fn stored(&self, name: &str) -> u64 {
        let mut du = Command::new("du");
        du.args(["-sb", &self.path(name)]);
        let said = succeed(du);
        let bytes = said.split_whitespace().next().unwrap_or_default();
        bytes.parse().expect("a number")
    }

    pub fn versions(&self) -> String {
        let version = |script: &str| {
            let mut command = Command::new("bash");
            command.args(["-c", script]);
            let said = succeed(command);
            said.lines().next().unwrap_or_default().to_owned()
        };
        [
            version("pg_dump --version"),
            version("zstd --version"),
            version(&format!("{} version", self.restic)),
        ]
        .join(", ")
    }

    fn restic(&self) -> String {
        format!("{} -r {}", self.restic, self.path("restic"))
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn shell(&self, host: &Host, script: &str) -> Command {
        let mut command = host.command("bash");
        command.args(["-o", "pipefail", "-c", script]);
        command.env("RESTIC_PASSWORD", "bench");
        command
    }
}
