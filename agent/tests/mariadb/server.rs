//! A real server of MariaDB or MySQL in a container, for one test.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use holdfast_agent::{
    engine::postgres::route::{Route, Target},
    observe::instances::{ContainerRef, Instances, LocalAddress, Located, Standing},
    secret::Secret,
    task::Context,
};
use holdfast_proto::{fleet::Engine, link::TlsMode};

use crate::{observed::said, support::context};

/// Removed when dropped. Its root's password is "secret".
#[derive(Debug)]
pub struct Server {
    pub id: String,
    address: String,
    engine: Engine,
    image: String,
}

/// The version says whose it is: MySQL left its eighth behind before MariaDB came to its tenth.
fn image(version: &str) -> (Engine, String) {
    if version.starts_with("9.") {
        (Engine::Mysql, format!("holdfast-test/mysql:{version}"))
    } else {
        (Engine::Mariadb, format!("holdfast-test/mariadb:{version}"))
    }
}

/// A MySQL takes no rows over a connection unless it is told to.
fn program(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Mysql => &["mysqld", "--local-infile=ON"],
        Engine::Mariadb | Engine::Postgres => &["mariadbd"],
    }
}

impl Server {
    /// # Panics
    /// When no Docker daemon answers, or the image is not there: `tests/run` makes both.
    #[must_use]
    pub fn start(version: &str) -> Self {
        Self::start_with(version, &[])
    }

    /// With options of the server.
    #[must_use]
    pub fn start_with(version: &str, options: &[&str]) -> Self {
        let (engine, image) = image(version);
        let mut words = vec!["run", "-d", "-e", "MYSQL_ROOT_PASSWORD=secret", &image];
        words.extend(program(engine));
        words.extend(options);
        let id = said(&words);
        let server = Self {
            address: said(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &id]),
            id,
            engine,
            image,
        };
        server.wait();
        server
    }

    #[must_use]
    pub fn context(&self, state_dir: &Path) -> Context {
        let instances = Instances::default();
        instances.replace(BTreeMap::from([(
            "shop-db".to_owned(),
            Standing::Up(Box::new(self.located())),
        )]));
        context(instances, state_dir)
    }

    #[must_use]
    pub fn located(&self) -> Located {
        Located {
            name: "shop-db".to_owned(),
            engine: self.engine,
            route: Route {
                how: format!("tcp {}:3306", self.address),
                target: Target::Tcp(self.address.clone()),
                port: 3306,
                user: "root".to_owned(),
                password: Some(Secret::new("secret".to_owned())),
                tls: TlsMode::Disable,
            },
            container: Some(ContainerRef {
                id: self.id.clone(),
                name: "shop-db".to_owned(),
                image: self.image.clone(),
                image_digest: String::new(),
            }),
            server_pid: said(&["inspect", "-f", "{{.State.Pid}}", &self.id])
                .parse()
                .ok(),
            data_directory: "/var/lib/mysql".to_owned(),
            local: LocalAddress {
                socket_directory: Some("/run/mysqld/mysqld.sock".to_owned()),
                port: 3306,
            },
        }
    }

    #[must_use]
    pub fn is_mysql(&self) -> bool {
        self.engine == Engine::Mysql
    }

    /// The server's own client.
    #[must_use]
    pub fn client(&self) -> &'static str {
        match self.engine {
            Engine::Mysql => "mysql",
            Engine::Mariadb | Engine::Postgres => "mariadb",
        }
    }

    /// Runs statements as root; rows come back with tabs between their values.
    #[track_caller]
    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.try_sql(database, statements)
            .unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    /// The same, through the client's own input, so that it reads DELIMITER.
    ///
    /// # Errors
    /// With what the server said.
    pub fn try_sql(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut client = Command::new("docker")
            .args([
                "exec",
                "-i",
                &self.id,
                self.client(),
                "-uroot",
                "-psecret",
                "-N",
                "-r",
            ])
            .args(["--default-character-set=utf8mb4", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker runs");
        let mut stdin = client.stdin.take().expect("a pipe");
        let statements = statements.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(statements.as_bytes()));
        let output = client.wait_with_output().expect("the client ends");
        let _ = writer.join();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// What the dump program of this server's container says of a database on another.
    #[track_caller]
    pub fn dump_of(&self, server: &Self, database: &str) -> String {
        let (program, own): (_, &[&str]) = match self.engine {
            Engine::Mysql => ("mysqldump", &["--set-gtid-purged=OFF", "--no-tablespaces"]),
            Engine::Mariadb | Engine::Postgres => ("mariadb-dump", &["--skip-ssl"]),
        };
        let mut words = vec!["exec", &self.id, program, "-uroot", "-psecret"];
        words.extend(["-h", &server.address]);
        words.extend(own);
        words.extend([
            "--routines",
            "--events",
            "--triggers",
            "--hex-blob",
            "--skip-dump-date",
        ]);
        words.extend([
            "--default-character-set=utf8mb4",
            "--order-by-primary",
            "--skip-extended-insert",
            database,
        ]);
        said(&words)
    }

    /// Runs a shell's script in the container; gives what it printed.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        said(&["exec", &self.id, "bash", "-c", script])
    }

    /// Puts a folder into the container.
    #[track_caller]
    pub fn bring(&self, folder: &Path, to: &str) {
        let _ = said(&[
            "cp",
            &folder.display().to_string(),
            &format!("{}:{to}", self.id),
        ]);
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let ready = Command::new("docker")
                .args([
                    "exec",
                    &self.id,
                    self.client(),
                    "-uroot",
                    "-psecret",
                    "-h127.0.0.1",
                    "-e",
                    "SELECT 1",
                ])
                .output()
                .expect("docker runs");
            if ready.status.success() {
                return;
            }
            assert!(
                Instant::now() < end,
                "the server did not come up: {ready:?}"
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "-fv", &self.id])
            .output();
    }
}
