//! A real S3 server on loopback, with one bucket, that ends with the test.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use holdfast_repository::storage::Bucket;
use tempfile::TempDir;

const ACCESS: &str = "holdfast-test";
const SECRET: &str = "holdfast-test-secret";

pub struct S3 {
    server: Child,
    endpoint: String,
    folder: TempDir,
}

impl S3 {
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/machine/s3");
        let found = Command::new(script).output().unwrap();
        assert!(
            found.status.success(),
            "{}",
            String::from_utf8_lossy(&found.stderr)
        );
        let program = String::from_utf8(found.stdout).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("backups")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let server = Command::new(program.trim())
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--access-key", ACCESS, "--secret-key", SECRET])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self {
            server,
            endpoint: format!("http://127.0.0.1:{port}"),
            folder,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the S3 server does not answer");
            std::thread::yield_now();
        }
        started
    }

    pub fn bucket(&self, options: &[(&str, &str)]) -> Bucket {
        let mut all = BTreeMap::from([
            ("endpoint", self.endpoint.as_str()),
            ("region", "us-east-1"),
            ("access_key_id", ACCESS),
            ("secret_access_key", SECRET),
            ("allow_http", "true"),
        ]);
        all.extend(options.iter().copied());
        Bucket {
            url: "s3://backups/holdfast".to_owned(),
            options: all
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            authority: None,
        }
    }

    /// What lies in the bucket below this name.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join("backups/holdfast").join(name)
    }

    /// Debian's, on the repository of web-1.
    pub fn restic(&self, password: &str, arguments: &[&str]) -> Vec<u8> {
        let repository = format!("s3:{}/backups/holdfast/web-1", self.endpoint);
        let output = Command::new("/usr/bin/restic")
            .args(["--no-cache", "-r", &repository])
            .args(arguments)
            .env("RESTIC_PASSWORD", password)
            .env("AWS_ACCESS_KEY_ID", ACCESS)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .output()
            .expect("restic is needed: tests/machine/packages --yes");
        assert!(
            output.status.success(),
            "restic {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
