//! A real PostgreSQL server in a container, for one test.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::{collections::BTreeMap, process::Command, sync::Arc, time::Duration};

use holdfast_agent::{
    backups::Backups,
    container::ContainerEngine,
    engine::postgres::route::{Route, Target},
    observe::instances::{ContainerRef, Instances, LocalAddress, Located, Standing},
    peer::{Grants, Peers, Refusals},
    secret::Secret,
    task::{Context, ProgressSender},
};
use holdfast_chassis::{
    clock::SystemClock,
    identity::{Authority, Credentials, Identity, NewKey, Validity},
    tls::{Roots, RotatingIdentity},
};
use holdfast_proto::{
    fleet::Engine,
    link::TlsMode,
    task::{RepositoryRef, TaskFailure},
};
use holdfast_repository::{
    Repository, RepositoryKey,
    storage::{Place, Storage},
};
use tokio_util::sync::CancellationToken;

/// Removed when dropped.
#[derive(Debug)]
pub struct Server {
    id: String,
    address: String,
    version: u32,
}

impl Server {
    /// # Panics
    /// When no Docker daemon answers, or the image is not there: `tests/run` makes both.
    #[must_use]
    pub fn start(version: u32) -> Self {
        let image = format!("holdfast-test/postgres:{version}");
        let id = docker(&["run", "-d", "-e", "POSTGRES_PASSWORD=secret", &image]);
        let address = docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &id]);
        let server = Self {
            id,
            address,
            version,
        };
        server.wait();
        server
    }

    #[must_use]
    pub fn context(&self, state_dir: &std::path::Path) -> Context {
        let instances = Instances::default();
        let located = Located {
            name: "shop-db".to_owned(),
            engine: Engine::Postgres,
            route: self.route(),
            container: Some(ContainerRef {
                id: self.id.clone(),
                name: "shop-db".to_owned(),
                image: format!("holdfast-test/postgres:{}", self.version),
                image_digest: String::new(),
            }),
            server_pid: None,
            data_directory: String::new(),
            local: LocalAddress {
                socket_directory: Some("/run/postgresql".to_owned()),
                port: 5432,
            },
        };
        instances.replace(BTreeMap::from([(
            "shop-db".to_owned(),
            Standing::Up(Box::new(located)),
        )]));
        context(instances, state_dir)
    }

    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    #[must_use]
    pub fn route(&self) -> Route {
        Route {
            how: format!("tcp {}:5432", self.address),
            target: Target::Tcp(self.address.clone()),
            port: 5432,
            user: "postgres".to_owned(),
            password: Some(Secret::new("secret".to_owned())),
            tls: TlsMode::Disable,
        }
    }

    /// Every new session loads this module.
    pub fn preload(&self, module: &str) {
        let library = format!("/usr/lib/postgresql/{}/lib/preloaded.so", self.version);
        docker(&["cp", module, &format!("{}:{library}", self.id)]);
        let _ = self.psql(
            "postgres",
            "alter system set session_preload_libraries = 'preloaded'",
        );
        let _ = self.psql("postgres", "select pg_reload_conf()");
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while self.psql("postgres", "show session_preload_libraries") != "preloaded" {
            assert!(
                std::time::Instant::now() < end,
                "the settings were not read again"
            );
        }
    }

    /// Makes an extension installable: its control file and the script of its version 1.0.
    pub fn bring_extension(&self, name: &str, control: &str, script: &str) {
        let files = tempfile::tempdir().expect("a directory");
        for (file, text) in [
            (format!("{name}.control"), control),
            (format!("{name}--1.0.sql"), script),
        ] {
            let path = files.path().join(&file);
            std::fs::write(&path, text).expect("written");
            let folder = format!("/usr/share/postgresql/{}/extension", self.version);
            let into = format!("{}:{folder}/{file}", self.id);
            docker(&["cp", &path.display().to_string(), &into]);
        }
    }

    /// From here on the server does nothing, and takes no connection, until it is resumed.
    pub fn pause(&self) {
        docker(&["pause", &self.id]);
    }

    pub fn resume(&self) {
        docker(&["unpause", &self.id]);
    }

    /// Runs statements as the superuser; unaligned tuples come back.
    #[track_caller]
    #[must_use]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        docker(&[
            "exec",
            "-e",
            "PGCLIENTENCODING=UTF8",
            &self.id,
            "psql",
            "-U",
            "postgres",
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
            "-c",
            sql,
        ])
    }

    /// Runs a script through psql.
    #[track_caller]
    pub fn script(&self, database: &str, script: &str) {
        use std::io::Write;
        let mut psql = Command::new("docker")
            .args([
                "exec",
                "-i",
                "-e",
                "PGCLIENTENCODING=UTF8",
                &self.id,
                "psql",
                "-XqU",
                "postgres",
                "-d",
                database,
            ])
            .args(["-v", "ON_ERROR_STOP=1"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("docker runs");
        let mut stdin = psql.stdin.take().expect("a pipe");
        stdin.write_all(script.as_bytes()).expect("written");
        drop(stdin);
        assert!(psql.wait().expect("psql ends").success(), "the script ran");
    }

    /// What pg_dump of a version says of a database here, without what differs from run to run.
    #[track_caller]
    #[must_use]
    pub fn dump(&self, database: &str, version: u32, arguments: &[&str]) -> String {
        let image = format!("holdfast-test/postgres:{version}");
        let program = format!("/usr/lib/postgresql/{version}/bin/pg_dump");
        let mut words = vec![
            "run",
            "--rm",
            "-e",
            "PGPASSWORD=secret",
            "-e",
            "PGCLIENTENCODING=UTF8",
            "--entrypoint",
            &program,
            &image,
        ];
        words.extend(["-h", &self.address, "-U", "postgres", "-d", database]);
        words.extend(arguments);
        let text = docker(&words);
        let lines = text.lines().filter(|line| {
            !line.starts_with("\\restrict")
                && !line.starts_with("\\unrestrict")
                && !line.starts_with("-- Dumped from database version")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Makes the schema of another server's database here, as an operator would: the source's
    /// own pg_dump, this server's pg_restore.
    #[track_caller]
    pub fn restore_from(&self, source: &Self, database: &str, into: &str) {
        let bin = |version: u32| format!("/usr/lib/postgresql/{version}/bin");
        let pipe = format!(
            "docker exec {} {}/pg_dump -U postgres -Fc --schema-only {database} \
             | docker exec -i {} {}/pg_restore -U postgres --exit-on-error -d {into}",
            source.id,
            bin(source.version),
            self.id,
            bin(self.version)
        );
        let restored = Command::new("sh").args(["-c", &pipe]).status();
        assert!(restored.expect("sh runs").success(), "the reference");
    }

    /// Command lines of all processes in the container.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        let listed = docker(&["top", &self.id, "-eo", "pid,args"]);
        listed.lines().skip(1).map(str::to_owned).collect()
    }

    /// Everything that the server has said.
    #[must_use]
    pub fn log(&self) -> String {
        let output = Command::new("docker").args(["logs", &self.id]).output();
        let output = output.expect("docker runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn wait(&self) {
        let end = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let ready = Command::new("docker")
                .args(["exec", &self.id, "pg_isready", "-q", "-h", "127.0.0.1"])
                .status()
                .expect("docker runs");
            if ready.success() {
                return;
            }
            assert!(
                std::time::Instant::now() < end,
                "the server did not come up"
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

/// What tasks on these instances work with.
pub fn context(instances: Instances, state_dir: &std::path::Path) -> Context {
    Context {
        instances,
        containers: ContainerEngine::new(vec!["/var/run/docker.sock".into()]),
        backups: Arc::new(LocalRepository(state_dir.join("repository"))),
        state_dir: state_dir.to_owned(),
        peers: peers(),
        clock: Arc::new(SystemClock),
        progress: ProgressSender::new().0,
        cancel: CancellationToken::new(),
        observer: tokio::sync::mpsc::channel(1).0,
    }
}

/// A repository in a directory, with its key beside it.
#[derive(Debug)]
struct LocalRepository(std::path::PathBuf);

#[async_trait::async_trait]
impl Backups for LocalRepository {
    async fn open(&self, _: &RepositoryRef) -> Result<Repository, TaskFailure> {
        let key_file = self.0.with_extension("key");
        let storage = Storage::open(&Place::Directory(self.0.clone())).expect("a directory");
        let opened = match std::fs::read(&key_file) {
            Ok(key) => {
                let key = serde_json::from_slice(&key).expect("a key");
                Repository::open(Arc::new(storage), key).await
            }
            Err(_) => {
                let key = RepositoryKey::random();
                std::fs::write(&key_file, serde_json::to_vec(&key).expect("json")).expect("a file");
                Repository::create(Arc::new(storage), key).await
            }
        };
        Ok(opened.expect("a repository"))
    }
}

/// Of a fleet of one.
fn peers() -> Peers {
    let (authority, _) = Authority::make(chrono::Utc::now()).expect("an authority");
    let key = NewKey::make().expect("a key");
    let host = Identity::Host("web-1".to_owned());
    let validity = Validity::starting(chrono::Utc::now(), chrono::TimeDelta::days(1));
    let request = key.request().expect("a request");
    let (_, chain) = authority.issue(&request, &host, validity).expect("issued");
    let credentials = Credentials::from_answer(&key, &chain).expect("they belong together");
    Peers {
        identity: RotatingIdentity::new(credentials),
        roots: Roots::from_pem(authority.certificate_pem()).expect("roots"),
        controllers: Vec::new().into(),
        grants: Grants::default(),
        refusals: Refusals::default(),
    }
}

#[track_caller]
fn docker(args: &[&str]) -> String {
    let output = Command::new("docker")
        .args(args)
        .output()
        .expect("docker runs");
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim_end()
        .to_owned()
}
