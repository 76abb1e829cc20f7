//! PostgreSQL servers in containers on the test hosts, and `psql` in them as the judge.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Stdio},
    time::Duration,
};

use crate::{eventually::eventually, host::Host};

#[derive(Debug, Clone, Copy)]
pub enum Version {
    V15,
    V17,
}

impl Version {
    /// As `tests/machine/images` calls it.
    #[must_use]
    pub fn archive(self) -> &'static str {
        match self {
            Self::V15 => "pg15",
            Self::V17 => "pg17",
        }
    }

    #[must_use]
    pub fn image(self) -> &'static str {
        match self {
            Self::V15 => "holdfast-test/postgres:15",
            Self::V17 => "holdfast-test/postgres:17",
        }
    }
}

/// Starts a server in the container `name` on a volume `<name>-data` and waits until it answers.
pub fn start_postgres(host: &Host, name: &str, version: Version) {
    run_postgres(host, name, version, &[], &[]);
}

/// The same with options of `docker run` and settings of the server (`name=value`).
pub fn run_postgres(host: &Host, name: &str, version: Version, docker: &[&str], settings: &[&str]) {
    let volume = format!("{name}-data:/var/lib/postgresql/data");
    let mut args = vec![
        "run",
        "-d",
        "--name",
        name,
        "-e",
        "POSTGRES_PASSWORD=secret",
    ];
    args.extend(["--restart", "unless-stopped"]);
    if !docker.contains(&"-v") {
        args.extend(["-v", &volume]);
    }
    args.extend(docker);
    args.extend([version.image(), "postgres"]);
    args.extend(settings.iter().flat_map(|setting| ["-c", setting]));
    host.docker(&args);
    wait_for_postgres(host, name);
}

/// Waits until the server answers over TCP: the server of the initialisation does not listen there.
pub fn wait_for_postgres(host: &Host, name: &str) {
    eventually(
        Duration::from_secs(60),
        &format!("an answer from {name}"),
        || {
            let output = host
                .command("docker")
                .args(["exec", name, "pg_isready", "-q", "-h", "127.0.0.1"])
                .output()
                .map_err(|error| error.to_string())?;
            if output.status.success() {
                Ok(())
            } else {
                Err(format!("{:?}", output.status))
            }
        },
    );
}

/// Runs statements as the superuser and gives unaligned tuples, without the last newline.
///
/// # Panics
/// With what the server said, when a statement fails.
#[track_caller]
pub fn psql(host: &Host, container: &str, database: &str, sql: &str) -> String {
    try_psql(host, container, database, sql).unwrap_or_else(|error| panic!("{container}: {error}"))
}

/// # Errors
/// With what the server said.
pub fn try_psql(host: &Host, container: &str, database: &str, sql: &str) -> Result<String, String> {
    let mut child = host
        .command("docker")
        .args([
            "exec", "-i", container, "psql", "-U", "postgres", "-X", "-q", "-A", "-t",
        ])
        .args(["-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().expect("a pipe");
    let sql = sql.to_owned();
    // A thread of its own: the server may answer before it has read everything.
    let writer = std::thread::spawn(move || input.write_all(sql.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let _ = writer.join();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// An open transaction: what it has locked stays locked until it is dropped.
#[derive(Debug)]
pub struct Transaction {
    psql: Child,
    input: Option<ChildStdin>,
}

impl Transaction {
    /// # Panics
    /// When the statements fail.
    #[track_caller]
    pub fn begin(host: &Host, container: &str, database: &str, sql: &str) -> Self {
        let mut psql = host
            .command("docker")
            .args([
                "exec", "-i", container, "psql", "-U", "postgres", "-XqAt", "-v",
            ])
            .args(["ON_ERROR_STOP=1", "-d", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let mut input = psql.stdin.take().expect("a pipe");
        writeln!(input, "begin; {sql};\n\\echo held").expect("psql reads");
        let mut said = String::new();
        let mut output = BufReader::new(psql.stdout.take().expect("a pipe"));
        output.read_line(&mut said).expect("UTF-8");
        assert_eq!(said.trim(), "held", "{container}: {sql}");
        Self {
            psql,
            input: Some(input),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.input.take();
        let _ = self.psql.wait();
    }
}

/// `pg_dump` of the schema, without what differs by nature between two servers.
#[track_caller]
pub fn schema_of(host: &Host, container: &str, database: &str) -> String {
    let mut command = host.command("docker");
    command.args([
        "exec",
        container,
        "pg_dump",
        "-U",
        "postgres",
        "--schema-only",
        "-d",
        database,
    ]);
    crate::host::succeed(command)
        .lines()
        .filter(|line| {
            !line.starts_with("-- Dumped")
                && !line.starts_with("\\restrict")
                && !line.starts_with("\\unrestrict")
        })
        .collect::<Vec<_>>()
        .join("\n")
}
