//! What stands in for Google Cloud Storage: no emulator of others that can be had speaks the API that object_store
//! speaks. It checks signatures of a service account and conditions of writes as Google documents them.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use holdfast_repository::storage::Bucket;
use tempfile::TempDir;

use super::server::{Process, Server, free_port, options};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/gcs_server.py");

pub struct Gcs {
    process: Process,
    endpoint: String,
    folder: TempDir,
}

impl Server for Gcs {
    const PAGE: usize = 1000;

    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("buckets/backups")).unwrap();
        let modulus = service_account(&folder.path().join("ours.json"));
        service_account(&folder.path().join("hunter2.json"));
        let port = free_port();
        let mut server = Command::new("/usr/bin/python3");
        server
            .args([SERVER, &port.to_string()])
            .arg(folder.path().join("buckets"))
            .arg(modulus);
        Self {
            process: Process::start(&mut server, port),
            endpoint: format!("http://127.0.0.1:{port}"),
            folder,
        }
    }

    fn bucket(&self, more: &[(&str, &str)]) -> Bucket {
        let mut all = options(&[
            ("endpoint", self.endpoint.as_str()),
            ("service_account", &self.file("ours.json")),
            ("allow_http", "true"),
        ]);
        all.extend(options(more));
        Bucket {
            url: "gs://backups/holdfast".to_owned(),
            options: all,
            authority: None,
        }
    }

    fn stranger(&self) -> (BTreeMap<String, String>, &'static str) {
        (
            options(&[("service_account", &self.file("hunter2.json"))]),
            "PRIVATE KEY",
        )
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Gcs {
    /// The same account, its key among the options.
    pub fn without_file(&self) -> Bucket {
        let key = fs::read_to_string(self.file("ours.json")).unwrap();
        let mut bucket = self.bucket(&[("service_account_key", &key)]);
        bucket.options.remove("service_account");
        bucket
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// Writes a file like those that Google gives for a service account; the public key's modulus in hex.
fn service_account(file: &Path) -> String {
    let key = openssl(
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ],
        "",
    );
    let account = serde_json::json!({
        "type": "service_account",
        "private_key_id": "1",
        "private_key": key,
        "client_email": "holdfast@test.invalid",
    });
    fs::write(file, account.to_string()).unwrap();
    let told = openssl(&["rsa", "-noout", "-modulus"], &key);
    told.trim().trim_start_matches("Modulus=").to_owned()
}

fn openssl(arguments: &[&str], input: &str) -> String {
    use std::{io::Write as _, process::Stdio};
    let mut child = Command::new("/usr/bin/openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is needed: tests/machine/packages --yes");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
