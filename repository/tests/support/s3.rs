//! A real S3 server: signatures and conditional writes enforced.
#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use holdfast_repository::storage::Bucket;
use tempfile::TempDir;

use super::server::{Process, Server, free_port, installed, options};

pub const ACCESS: &str = "holdfast-test";
pub const SECRET: &str = "holdfast-test-secret";

pub struct S3 {
    process: Process,
    pub endpoint: String,
    folder: TempDir,
}

impl Server for S3 {
    const PAGE: usize = 1000;

    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("backups")).unwrap();
        let port = free_port();
        let mut server = Command::new(installed("s3"));
        server
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--access-key", ACCESS, "--secret-key", SECRET])
            .arg(folder.path());
        Self {
            process: Process::start(&mut server, port),
            endpoint: format!("http://127.0.0.1:{port}"),
            folder,
        }
    }

    fn bucket(&self, more: &[(&str, &str)]) -> Bucket {
        let mut all = options(&[
            ("endpoint", self.endpoint.as_str()),
            ("region", "us-east-1"),
            ("access_key_id", ACCESS),
            ("secret_access_key", SECRET),
            ("allow_http", "true"),
        ]);
        all.extend(options(more));
        Bucket {
            url: "s3://backups/holdfast".to_owned(),
            options: all,
            authority: None,
        }
    }

    fn stranger(&self) -> (BTreeMap<String, String>, &'static str) {
        (
            options(&[("secret_access_key", "hunter2hunter2")]),
            "hunter2",
        )
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl S3 {
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
