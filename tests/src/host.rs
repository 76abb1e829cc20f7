//! A test host: namespaces with a Docker daemon of their own (`tests/machine/host`).

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::postgres::Version;

/// Goes down, with everything in it, when dropped.
#[derive(Debug)]
pub struct Host {
    number: u8,
    engine: Engine,
    // Held while this process uses the number.
    _claim: File,
}

/// What runs its containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Docker,
    /// Its Docker-compatible service.
    Podman,
}

impl Host {
    /// Claims a free number and starts the machine.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Engine::Docker)
    }

    #[must_use]
    pub fn start_with(engine: Engine) -> Self {
        let (number, claim) = claim_number();
        let host = Self {
            number,
            engine,
            _claim: claim,
        };
        // What a killed test run left under this number goes first.
        host.machine(&["down"]);
        host.up();
        host
    }

    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    #[must_use]
    pub fn address(&self) -> String {
        format!("10.77.0.{}", self.number)
    }

    /// The settings file of its Docker, as this machine sees it.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        let home = hosts_dir().join(self.number.to_string());
        home.join("etc/daemon.json")
    }

    pub fn up(&self) {
        self.machine(&["up"]);
    }

    /// Power cut.
    pub fn power_cut(&self) {
        self.machine(&["kill"]);
    }

    /// Unplugs the network cable.
    pub fn cut(&self) {
        self.machine(&["cut"]);
    }

    pub fn heal(&self) {
        self.machine(&["heal"]);
    }

    /// It reaches the controller but no other host that is alone.
    pub fn alone(&self) {
        self.machine(&["alone"]);
    }

    /// Limits what it sends, as `tc` names rates.
    pub fn slow(&self, rate: &str) {
        self.machine(&["slow", rate]);
    }

    /// Loses this share of the packets that it gets.
    pub fn lossy(&self, share: &str) {
        self.machine(&["lossy", share]);
    }

    /// Loads one of the images that `tests/machine/images` made; a Docker host begins with them.
    #[track_caller]
    pub fn load(&self, name: &str) {
        let images = cache_dir().join("images");
        let mut files = fs::read_dir(&images).expect("the images").flatten();
        let prefix = format!("{name}-");
        let archive = files
            .find(|file| file.file_name().to_string_lossy().starts_with(&prefix))
            .unwrap_or_else(|| panic!("no {name} in {}", images.display()));
        let socket = hosts_dir()
            .join(self.number.to_string())
            .join("run/docker.sock");
        let mut load = Command::new("sh");
        load.args([
            "-ec",
            "zstd -dcq \"$1\" | docker -H \"unix://$2\" load -q",
            "sh",
        ])
        .arg(archive.path())
        .arg(socket);
        succeed(load);
    }

    /// A command inside the host.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let init = fs::read_to_string(hosts_dir().join(self.number.to_string()).join("init.pid"))
            .expect("the host is up");
        let mut command = Command::new("nsenter");
        command.args(["-t", init.trim(), "-a", "--"]).arg(program);
        if self.engine == Engine::Podman {
            // For its Docker client.
            command.env("DOCKER_HOST", "unix:///run/podman/podman.sock");
            // For Podman itself.
            command.env("CONTAINERS_CONF", "/run/containers.conf");
        }
        command
    }

    /// Runs the host's Docker client and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> String {
        let mut command = Command::new("docker");
        let socket = hosts_dir()
            .join(self.number.to_string())
            .join("run/docker.sock");
        command
            .arg("-H")
            .arg(format!("unix://{}", socket.display()))
            .args(args);
        succeed(command)
    }

    /// Starts a container that does nothing.
    #[track_caller]
    pub fn sleeper(&self, name: &str) {
        let image = Version::V15.image();
        self.docker(&[
            "run",
            "-d",
            "--name",
            name,
            "--entrypoint",
            "sleep",
            image,
            "6000",
        ]);
    }

    #[track_caller]
    fn machine(&self, args: &[&str]) {
        let mut command = Command::new(repository().join("tests/machine/host"));
        command
            .arg(args[0])
            .arg(self.number.to_string())
            .args(&args[1..]);
        if self.engine == Engine::Podman {
            command.env("HOLDFAST_ENGINE", "podman");
        }
        // `up` leaves the daemon behind: it must not hold a pipe of ours open.
        let log = hosts_dir().join("machine.log");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let status = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .status()
            .expect("tests/machine/host runs");
        assert!(
            status.success(),
            "host {args:?} {} failed: see {}",
            self.number,
            log.display()
        );
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::env::var_os("HOLDFAST_KEEP").is_none() {
            self.machine(&["down"]);
        }
    }
}

/// Root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a parent")
        .to_owned()
}

/// Directory of the binaries under test: beside the test's own.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    let path = own.ancestors().nth(2).expect("target directory").join(name);
    assert!(
        path.exists(),
        "{} is not built: run tests/run",
        path.display()
    );
    path
}

/// Runs a command and gives its standard output.
///
/// # Panics
/// When it fails, with what it said.
#[track_caller]
pub fn succeed(mut command: Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the command starts");
    assert!(
        status.success(),
        "{command:?} ended with {status}\n{}\n{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).expect("UTF-8")
}

fn cache_dir() -> PathBuf {
    std::env::var_os("HOLDFAST_CACHE").map_or_else(
        || {
            let home = std::env::var_os("HOME").expect("HOME");
            Path::new(&home).join(".cache/holdfast")
        },
        PathBuf::from,
    )
}

fn hosts_dir() -> PathBuf {
    std::env::var_os("HOLDFAST_HOSTS").map_or_else(|| "/tmp/holdfast-hosts".into(), PathBuf::from)
}

fn claim_number() -> (u8, File) {
    let dir = hosts_dir();
    fs::create_dir_all(&dir).expect("the hosts' directory");
    for number in 1..200 {
        let path = dir.join(format!("{number}.claim"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .expect("a claim file");
        if file.try_lock().is_ok() {
            return (number, file);
        }
    }
    panic!("no free test host number");
}
