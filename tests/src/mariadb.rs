//! MariaDB and MySQL servers in containers on the test hosts, and their own client in them as the judge.

use std::time::Duration;

use crate::{eventually::eventually, host::Host};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V10,
    V11,
    Mysql9,
}

impl Version {
    #[must_use]
    pub fn image(self) -> &'static str {
        match self {
            Self::V10 => "holdfast-test/mariadb:10.11",
            Self::V11 => "holdfast-test/mariadb:11.8",
            Self::Mysql9 => "holdfast-test/mysql:9.7",
        }
    }
}

/// The server's own client, whichever it is; a password on its command line is worth a remark to one of them.
const CLIENT: &str = r#"exec "$(command -v mariadb || command -v mysql)" -uroot -psecret -N "$@" 2> >(grep -v 'Using a password' >&2)"#;

/// Starts a server in the container `name` on a volume `<name>-data` and waits until it answers. Its root's
/// password is "secret".
pub fn start_mariadb(host: &Host, name: &str, version: Version) {
    if version == Version::Mysql9 {
        // One test needs it: it is not in the store that every host begins with.
        host.load("mysql9");
    }
    let volume = format!("{name}-data:/var/lib/mysql");
    host.docker(&[
        "run",
        "-d",
        "--name",
        name,
        "-e",
        "MYSQL_ROOT_PASSWORD=secret",
        "--restart",
        "unless-stopped",
        "-v",
        &volume,
        version.image(),
    ]);
    // Over TCP: the server of the initialisation does not listen there.
    eventually(
        Duration::from_secs(60),
        &format!("an answer from {name}"),
        || try_sql(host, name, &["-h127.0.0.1"], "select 1").map(drop),
    );
}

/// Runs statements as root; values come with tabs between them, without the last newline.
///
/// # Panics
/// With what the server said, when a statement fails.
#[track_caller]
pub fn sql(host: &Host, container: &str, database: &str, statements: &str) -> String {
    try_sql(host, container, &[database], statements)
        .unwrap_or_else(|error| panic!("{container}: {error}"))
}

fn try_sql(
    host: &Host,
    container: &str,
    options: &[&str],
    statements: &str,
) -> Result<String, String> {
    let output = host
        .command("docker")
        .args(["exec", container, "bash", "-c", CLIENT, "client"])
        .args(["-e", statements])
        .args(options)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
