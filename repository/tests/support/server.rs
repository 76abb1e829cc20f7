//! What the storages of the tests have in common: a server on loopback that ends with the test.
#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::{
    collections::BTreeMap,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast_repository::{
    Blobs,
    storage::{Bucket, Place, Storage},
};

/// A server with one bucket, `backups`.
pub trait Server: Sized {
    /// Objects that it lists at once.
    const PAGE: usize;

    fn start() -> Self;

    /// The folder `holdfast` of its bucket, with these options beside those that are needed.
    fn bucket(&self, options: &[(&str, &str)]) -> Bucket;

    /// Options of somebody else, and a part of his secret.
    fn stranger(&self) -> (BTreeMap<String, String>, &'static str);

    fn process(&mut self) -> &mut Process;

    /// The folder of one host.
    fn open(&self, host: &str, options: &[(&str, &str)]) -> Arc<dyn Blobs> {
        opened(&self.bucket(options), host)
    }
}

pub fn opened(bucket: &Bucket, host: &str) -> Arc<dyn Blobs> {
    let storage = Storage::open(&Place::Bucket(bucket.clone())).unwrap();
    Arc::new(storage.folder(host))
}

pub fn options(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// Killed when it is dropped.
pub struct Process(Child);

impl Process {
    /// Starts it, and waits until it answers on this port of loopback.
    pub fn start(command: &mut Command, port: u16) -> Self {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut started = Self(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = started.0.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} ended: {ended:?}");
            assert!(Instant::now() < deadline, "{command:?} does not answer");
            std::thread::yield_now();
        }
        started
    }

    pub fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port()
}

/// Runs `tests/machine/NAME`, which installs a server once; where it is.
pub fn installed(name: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/machine")
        .join(name);
    let found = Command::new(script).output().unwrap();
    assert!(
        found.status.success(),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    let place = String::from_utf8(found.stdout).unwrap();
    place.trim().to_owned()
}
