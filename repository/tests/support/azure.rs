//! Azurite, Microsoft's emulator of Azure's blob storage: signatures and conditional writes enforced.
#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use holdfast_repository::storage::Bucket;
use sha2::{Digest as _, Sha256};

use super::server::{Process, Server, free_port, installed, options};

const ACCOUNT: &str = "holdfasttest";
const SECRET: &[u8] = b"holdfast-test-secret";

pub struct Azure {
    process: Process,
    endpoint: String,
}

impl Server for Azure {
    const PAGE: usize = 5000;

    fn start() -> Self {
        let port = free_port();
        let mut server = Command::new("node");
        server
            .arg(installed("azure"))
            .args([
                "--silent",
                "--inMemoryPersistence",
                "--blobPort",
                &port.to_string(),
            ])
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", key(SECRET)));
        let process = Process::start(&mut server, port);
        make_container(port);
        Self {
            process,
            endpoint: format!("http://127.0.0.1:{port}/{ACCOUNT}"),
        }
    }

    fn bucket(&self, more: &[(&str, &str)]) -> Bucket {
        let mut all = options(&[
            ("endpoint", self.endpoint.as_str()),
            ("account_name", ACCOUNT),
            ("account_key", &key(SECRET)),
            ("allow_http", "true"),
        ]);
        all.extend(options(more));
        Bucket {
            url: "az://backups/holdfast".to_owned(),
            options: all,
            authority: None,
        }
    }

    fn stranger(&self) -> (BTreeMap<String, String>, &'static str) {
        // The base64 of "hunter2…", which is what would be seen.
        (
            options(&[("account_key", &key(b"hunter2hunter2"))]),
            "aHVudGVyMm",
        )
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Azure {
    /// The bucket by a signature for these permissions, without the account's key.
    pub fn shared(&self, permissions: &str) -> Bucket {
        let (version, end) = ("2021-12-02", "2099-01-01T00:00:00Z");
        // The fields of a service SAS in their order; those without a value are empty lines.
        let fields = format!(
            "{permissions}\n\n{end}\n/blob/{ACCOUNT}/backups\n\n\n\n{version}\nc\n\n\n\n\n\n\n"
        );
        let signature = BASE64_STANDARD.encode(hmac(SECRET, fields.as_bytes()));
        let percent = signature
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        let token = format!("sv={version}&sr=c&sp={permissions}&se={end}&sig={percent}");
        let mut bucket = self.bucket(&[("sas_token", &token)]);
        bucket.options.remove("account_key");
        bucket
    }
}

fn key(secret: &[u8]) -> String {
    BASE64_STANDARD.encode(secret)
}

/// What object_store has no call for: Create Container, signed with the account's key.
fn make_container(port: u16) {
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-12-02");
    // The address of an emulator names the account once more.
    let resource = format!("/{ACCOUNT}/{ACCOUNT}/backups\nrestype:container");
    let signature = BASE64_STANDARD.encode(hmac(
        SECRET,
        format!("PUT{}{headers}\n{resource}", "\n".repeat(12)).as_bytes(),
    ));
    let request = format!(
        "PUT /{ACCOUNT}/backups?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{}\r\n\
         Authorization: SharedKey {ACCOUNT}:{signature}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        headers.replace('\n', "\r\n"),
    );
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// HMAC-SHA256 (RFC 2104), for keys of at most a block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(padded(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}
