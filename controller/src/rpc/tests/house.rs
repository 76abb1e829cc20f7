//! A controller with all of its services on loopback, and those who come to it.

use std::{path::Path, sync::Arc, time::Duration};

use holdfast_chassis::{
    clock::SystemClock,
    identity::{CONTROLLER_NAME, EnrolmentToken, NewKey, Role, write_private},
    tls::{RotatingIdentity, accept_answer, client_channel, enrolment_channel},
};
use holdfast_proto::wire::{
    self, agent_link_client::AgentLinkClient, enrolment_client::EnrolmentClient,
    operator_client::OperatorClient, session_request::Message as Said,
    session_response::Message as Heard,
};
use holdfast_repository::storage::Place;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming, transport::Channel};

use crate::{
    audit::{NewEntry, Outcome},
    catalog::testing::TestCatalog,
    config::RepositoryConfig,
    dispatch::{SessionDispatch, sessions::Sessions},
    fleet::Fleet,
    identity::{Registrar, Settings},
    job::engine::{Engine, Settings as JobSettings},
    reconcile::{enrolled::Enrolled, push::Push},
    repository::{Repositories, direct::Direct},
    rpc::{assembly, operator::Services},
};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct House {
    pub services: Services,
    pub catalog: TestCatalog,
    address: String,
    state_dir: tempfile::TempDir,
    _running: DropGuard,
}

/// An agent's end of a session.
pub struct Agent {
    say: mpsc::Sender<wire::SessionRequest>,
    hear: Streaming<wire::SessionResponse>,
}

impl House {
    pub async fn open() -> Self {
        Self::with_heartbeat(Duration::from_secs(10)).await
    }

    pub async fn with_heartbeat(heartbeat_interval: Duration) -> Self {
        Self::with(heartbeat_interval, |_| None).await
    }

    /// Hosts are handed out what stands in files of the state directory, named `{host}.toml`.
    pub async fn handing_out() -> Self {
        Self::with(Duration::from_secs(10), |state_dir| {
            let own = state_dir.join("own.toml");
            write_private(&own, b"secret_access_key = \"the controller's\"").unwrap();
            let config = RepositoryConfig {
                location: Some("s3://backups/holdfast".to_owned()),
                credentials_file: Some(own),
                direct_credentials_file: Some(state_dir.join("{host}.toml")),
                ..RepositoryConfig::default()
            };
            let place = config.place(state_dir, |_| None).unwrap();
            Direct::of(&config, &place, |_| None).unwrap()
        })
        .await
    }

    async fn with(
        heartbeat_interval: Duration,
        direct: impl FnOnce(&Path) -> Option<Direct>,
    ) -> Self {
        let catalog = TestCatalog::new().await;
        let clock = Arc::new(SystemClock);
        let state_dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let settings = Settings {
            state_dir: state_dir.path().to_owned(),
            certificate_life: Duration::from_secs(86_400),
            token_life: Duration::from_secs(3600),
            address: address.clone(),
        };
        let registrar = Registrar::open(settings, catalog.clone()).await.unwrap();
        let fleet = Fleet::default();
        let sessions = Sessions::new(clock.clone());
        let dispatch = Arc::new(SessionDispatch::new(sessions.clone(), PATIENCE));
        let place = Place::Directory(state_dir.path().join("repositories"));
        let repositories = Repositories::open(state_dir.path(), &place, catalog.clone())
            .await
            .unwrap()
            .handing_out(direct(state_dir.path()));
        let jobs = Engine::new(
            catalog.clone(),
            dispatch.clone(),
            Arc::new(fleet.clone()),
            Arc::new(repositories.clone()),
            clock.clone(),
            JobSettings::default(),
        );
        let services = Services {
            repositories,
            registrar: registrar.clone(),
            push: Push::new(catalog.clone(), sessions.clone(), clock.clone()),
            enrolled: Enrolled::new(catalog.clone(), fleet.clone(), sessions.clone()),
            catalog: catalog.clone(),
            fleet,
            sessions,
            dispatch,
            jobs,
            clock,
        };
        let stop = CancellationToken::new();
        let router = assembly::router(&services, heartbeat_interval, stop.clone());
        tokio::spawn(router.serve_with_incoming(registrar.incoming(listener).unwrap()));
        Self {
            services,
            catalog,
            address,
            state_dir,
            _running: stop.drop_guard(),
        }
    }

    pub fn state_dir(&self) -> &std::path::Path {
        self.state_dir.path()
    }

    /// A job that has begun, whatever it does.
    pub async fn a_job(&self) -> u64 {
        let (id,): (i64,) = sqlx::query_as(
            "insert into job (kind, spec, title, requested_by, created_at, state, summary, not_before)
             values ('x', '{}', 'x', 'x', now(), 'running', '{}', now() + interval '1 day') returning id",
        )
        .fetch_one(&self.catalog.pool)
        .await
        .unwrap();
        id.cast_unsigned()
    }

    pub async fn end_job(&self, job: u64) {
        sqlx::query("update job set ended_at = now(), state = 'succeeded' where id = $1")
            .bind(job.cast_signed())
            .execute(&self.catalog.pool)
            .await
            .unwrap();
    }

    async fn enrol(&self, token: &EnrolmentToken) -> RotatingIdentity {
        let channel = enrolment_channel(&self.address, token).await.unwrap();
        let key = NewKey::make().unwrap();
        let request = wire::EnrolRequest {
            token: token.secret.reveal(),
            csr: key.request().unwrap(),
        };
        let answer = EnrolmentClient::new(channel).enrol(request).await.unwrap();
        let answer = answer.into_inner();
        let enrolled = accept_answer(&key, &answer.certificate_chain, &answer.authorities, token);
        RotatingIdentity::new(enrolled.unwrap().credentials)
    }

    /// The channel of an enrolled host.
    pub async fn host(&self, name: &str) -> Channel {
        let name = name.parse().unwrap();
        let registrar = &self.services.registrar;
        let invitation = registrar.enrol_host(&name, None, "operator/setup").await;
        let identity = self.enrol(&invitation.unwrap().token).await;
        self.dial(&identity).await
    }

    /// An operator who has logged in.
    pub async fn operator(&self, name: &str, role: Role) -> OperatorClient<Channel> {
        OperatorClient::new(self.operator_channel(name, role).await)
    }

    pub async fn operator_channel(&self, name: &str, role: Role) -> Channel {
        let name = name.parse().unwrap();
        let registrar = &self.services.registrar;
        let invitation = registrar
            .invite_operator(&name, role, None, "operator/setup")
            .await;
        let identity = self.enrol(&invitation.unwrap().token).await;
        self.dial(&identity).await
    }

    async fn dial(&self, identity: &RotatingIdentity) -> Channel {
        let roots = self.services.registrar.roots();
        client_channel(&self.address, CONTROLLER_NAME, identity, roots)
            .await
            .unwrap()
    }

    /// An agent of this host with an open session, greeted.
    pub async fn agent(&self, name: &str) -> Agent {
        let mut agent = Agent::dial(self.host(name).await, name).await.unwrap();
        agent.greeted().await;
        agent
    }

    /// The first refused line of the audit log that holds these words; waits for it.
    pub async fn refused(&self, words: &str) -> NewEntry {
        let entry = self.audited(|entry| entry.detail.contains(words)).await;
        assert_eq!(entry.outcome, Outcome::Refused);
        entry
    }

    pub async fn audited(&self, wanted: impl Fn(&NewEntry) -> bool) -> NewEntry {
        let mut found = None;
        eventually("the audit line", async || {
            let entries = self.catalog.list_audit(1000).await.unwrap();
            let mut lines = entries.into_iter().map(|entry| entry.content);
            found = lines.find(|entry| wanted(entry));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub async fn is_away(&self, host: &str) {
        let host = host.parse().unwrap();
        let fleet = &self.services.fleet;
        eventually("the host is away", async || !fleet.is_connected(&host)).await;
    }
}

impl Agent {
    pub async fn dial(channel: Channel, host: &str) -> Result<Self, Status> {
        let (say, said) = mpsc::channel(16);
        let mut link = AgentLinkClient::new(channel);
        let hello = wire::Hello {
            host: host.to_owned(),
            agent_version: "0.1.0".to_owned(),
            run_id: "run-a".to_owned(),
            started_at: Some(prost_types::Timestamp::default()),
            peer_addresses: vec!["10.77.0.1:7444".to_owned()],
            cpus: 2,
            ..wire::Hello::default()
        };
        say.send(request(Said::Hello(hello))).await.unwrap();
        let hear = link.session(ReceiverStream::new(said)).await?.into_inner();
        Ok(Self { say, hear })
    }

    pub async fn says(&self, message: Said) {
        self.say.send(request(message)).await.unwrap();
    }

    pub async fn hears(&mut self) -> Heard {
        self.next().await.unwrap()
    }

    pub async fn next(&mut self) -> Result<Heard, Status> {
        let next = tokio::time::timeout(PATIENCE, self.hear.message());
        let message = next.await.expect("heard nothing")?;
        Ok(message.expect("the session ended").message.unwrap())
    }

    /// Welcome, registered instances, checks: in this order.
    pub async fn greeted(&mut self) -> (wire::Welcome, wire::RegisteredInstances) {
        let Heard::Welcome(welcome) = self.hears().await else {
            panic!("no welcome");
        };
        let Heard::Registered(registered) = self.hears().await else {
            panic!("no registered instances");
        };
        assert!(matches!(self.hears().await, Heard::Checks(_)));
        (welcome, registered)
    }

    pub async fn is_told_to_start(&mut self) -> wire::StartTask {
        match self.hears().await {
            Heard::StartTask(start) => start,
            other => panic!("expected a task, got {other:?}"),
        }
    }

    /// The end of a task.
    pub async fn ends(&self, task: &wire::StartTask, result: wire::task_result::Result) {
        let done = wire::TaskResult {
            result: Some(result),
        };
        self.says(Said::Task(wire::TaskEvent {
            task_id: task.task_id.clone(),
            epoch: task.epoch,
            event: Some(wire::task_event::Event::Done(done)),
        }))
        .await;
    }
}

fn request(message: Said) -> wire::SessionRequest {
    wire::SessionRequest {
        message: Some(message),
    }
}

/// Looks again and again until it is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
