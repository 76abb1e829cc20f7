//! Containers of a test, and an observer that watches the engine they run in.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast_agent::{
    container::{ContainerEngine, client::USUAL_SOCKETS},
    observe::{
        instances::Instances,
        observer::{self, Ask, Parts},
        reports::Reports,
    },
};
use holdfast_chassis::clock::SystemClock;
use holdfast_proto::{
    fleet::{Container, HostSnapshot, Instance},
    task::ProbedInstance,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub const SERVER_START: Duration = Duration::from_secs(60);
pub const EVENT: Duration = Duration::from_secs(15);

/// A container of this test, removed with its volumes at the end.
pub struct Started(pub String);

impl Started {
    pub fn run(word: &str, options: &[&str], image: &str, command: &[&str]) -> Self {
        let name = format!("observe-{word}-{}", std::process::id());
        let _ = docker(&["rm", "-fv", &name]);
        let mut arguments = vec!["run", "-d", "--name", &name];
        arguments.extend(options);
        arguments.push(image);
        arguments.extend(command);
        let output = docker(&arguments);
        assert!(output.status.success(), "docker {arguments:?}: {output:?}");
        Self(name)
    }
}

impl Started {
    /// A PostgreSQL of the official image's contract; its superuser's password is "secret".
    pub fn server(word: &str, version: u32, options: &[&str], settings: &[&str]) -> Self {
        let image = format!("holdfast-test/postgres:{version}");
        let mut all = vec!["-e", "POSTGRES_PASSWORD=secret"];
        all.extend(options);
        let mut command = vec!["postgres"];
        command.extend(settings.iter().flat_map(|setting| ["-c", *setting]));
        Self::run(word, &all, &image, &command)
    }

    /// Runs a command in it; gives what it said.
    #[track_caller]
    pub fn exec(&self, command: &[&str]) -> String {
        let mut arguments = vec!["exec", &self.0];
        arguments.extend(command);
        said(&arguments)
    }

    /// Runs a statement as the superuser.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        let psql = ["psql", "-U", "postgres", "-XqAt", "-v", "ON_ERROR_STOP=1"];
        self.exec(&[&psql[..], &["-c", sql]].concat())
    }

    /// What the engine says of it.
    #[track_caller]
    pub fn inspect(&self, format: &str) -> String {
        said(&["inspect", "-f", format, &self.0])
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = docker(&["rm", "-fv", &self.0]);
    }
}

pub struct Observed {
    pub reports: Reports,
    pub instances: Instances,
    pub ask: mpsc::Sender<Ask>,
    /// Where its operator keeps passwords.
    pub credentials: PathBuf,
    _registered: watch::Sender<Vec<holdfast_proto::link::RegisteredInstance>>,
    _state: tempfile::TempDir,
    _stop: DropGuard,
}

impl Observed {
    pub fn start() -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let (ask, asked) = mpsc::channel(4);
        let (registered, registrations) = watch::channel(Vec::new());
        let reports = Reports::default();
        let instances = Instances::default();
        let stop = CancellationToken::new();
        let credentials = state.path().join("credentials.toml");
        let parts = Parts {
            engine: engine(),
            credentials: credentials.clone(),
            clock: Arc::new(SystemClock),
            interval: Duration::from_secs(30),
            reports: reports.clone(),
            instances: instances.clone(),
            registered: registrations,
            asked,
        };
        tokio::spawn(observer::run(parts, stop.clone()));
        Self {
            reports,
            instances,
            ask,
            credentials,
            _registered: registered,
            _state: state,
            _stop: stop.drop_guard(),
        }
    }

    /// Has it look at an instance now.
    pub async fn look_at(&self, instance: &str) -> ProbedInstance {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let ask = Ask {
            instance: instance.to_owned(),
            answer,
        };
        self.ask.send(ask).await.expect("the observer lives");
        answered.await.expect("an answer")
    }

    /// Waits until the newest snapshot shows it; returns it and how long that took.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        show: impl Fn(&HostSnapshot) -> Option<T>,
    ) -> (T, Duration) {
        let begun = Instant::now();
        let mut reader = self.reports.subscribe();
        let wait = async {
            loop {
                let newest = reader.borrow_and_update().clone();
                if let Some(shown) = newest.as_deref().and_then(&show) {
                    return shown;
                }
                reader.changed().await.expect("the observer lives");
            }
        };
        match tokio::time::timeout(limit, wait).await {
            Ok(shown) => (shown, begun.elapsed()),
            Err(_) => panic!("not within {limit:?}: {what}\n{:#?}", reader.borrow()),
        }
    }
}

pub fn docker(arguments: &[&str]) -> Output {
    Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker runs")
}

/// What a command of docker that must succeed says.
#[track_caller]
pub fn said(arguments: &[&str]) -> String {
    let output = docker(arguments);
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn engine() -> ContainerEngine {
    ContainerEngine::new(USUAL_SOCKETS.iter().map(Into::into).collect())
}

pub fn container<'a>(snapshot: &'a HostSnapshot, name: &str) -> Option<&'a Container> {
    snapshot.containers.iter().find(|c| c.name == name)
}

pub fn instance<'a>(snapshot: &'a HostSnapshot, name: &str) -> Option<&'a Instance> {
    snapshot.instances.iter().find(|i| i.name == name)
}

pub fn up(snapshot: &HostSnapshot, name: &str) -> Option<Instance> {
    instance(snapshot, name).filter(|i| i.is_up()).cloned()
}

pub fn down(snapshot: &HostSnapshot, name: &str, words: &str) -> Option<Instance> {
    instance(snapshot, name)
        .filter(|i| i.down_reason.contains(words))
        .cloned()
}
