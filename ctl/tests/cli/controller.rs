//! A controller for one test: its own authority, real mTLS on loopback, a scripted service, and `ctl` to run against it.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use holdfast_chassis::{
    clock::SystemClock,
    identity::{Authority, Credentials, EnrolmentToken, Identity, NewKey, Role, Secret, Validity},
    tls::{Revoked, Roots, RotatingIdentity, ServerTls, serve_incoming, server},
};
use holdfast_ctl::context::{Context, Contexts};
use holdfast_proto::wire::{
    EnrolRequest, EnrolResponse,
    enrolment_server::{Enrolment, EnrolmentServer},
    operator_server::OperatorServer,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::{Request, Response, Status};

use crate::scripted::{Answers, Failure, Scripted};

pub struct Controller {
    pub authority: Arc<Authority>,
    pub address: SocketAddr,
    pub script: Scripted,
    pub revoked: Revoked,
    pub home: TempDir,
    tokens: Arc<Mutex<Vec<String>>>,
    // Ends the server with the test.
    _runtime: Runtime,
}

/// What a run of `ctl` left.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Takes each token once.
struct Enrol {
    authority: Arc<Authority>,
    tokens: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl Enrolment for Enrol {
    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        let request = request.into_inner();
        let mut tokens = self.tokens.lock().unwrap();
        let known = tokens.iter().position(|token| *token == request.token);
        let index = known
            .ok_or_else(|| Status::permission_denied("this token was used before, or is wrong"))?;
        tokens.remove(index);
        let validity = Validity::starting(Utc::now(), TimeDelta::days(30));
        let issued = self.authority.issue(&request.csr, &admin(), validity);
        let (_, certificate_chain) =
            issued.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Response::new(EnrolResponse {
            certificate_chain,
            authorities: self.authority.certificate_pem().to_owned(),
            name: "alice".to_owned(),
        }))
    }
}

impl Controller {
    /// Nobody is logged in.
    pub fn start() -> Self {
        let (authority, _) = Authority::make(Utc::now()).unwrap();
        let authority = Arc::new(authority);
        let script = Scripted::new(authority.clone());
        let revoked = Revoked::default();
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let identity = credentials(
            &authority,
            &Identity::Controller,
            TimeDelta::zero(),
            TimeDelta::days(1),
        );
        let roots = Roots::from_pem(authority.certificate_pem()).unwrap();
        let tls = ServerTls::new(
            RotatingIdentity::new(identity),
            &roots,
            revoked.clone(),
            Arc::new(SystemClock),
        )
        .unwrap();
        let enrol = Enrol {
            authority: authority.clone(),
            tokens: tokens.clone(),
        };
        let operator = script.clone();
        runtime.spawn(async move {
            let incoming = serve_incoming(listener, tls, |_| ());
            server()
                .add_service(OperatorServer::new(operator))
                .add_service(EnrolmentServer::new(enrol))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Self {
            authority,
            address,
            script,
            revoked,
            home: tempfile::tempdir().unwrap(),
            tokens,
            _runtime: runtime,
        }
    }

    /// Alice is logged in as admin.
    pub fn with_login() -> Self {
        let controller = Self::start();
        let valid = credentials(
            &controller.authority,
            &admin(),
            TimeDelta::zero(),
            TimeDelta::days(30),
        );
        controller.log_in_with(&valid);
        controller
    }

    /// Writes the context file as a login with these would have.
    pub fn log_in_with(&self, credentials: &Credentials) {
        let context = Context {
            controller: self.address.to_string(),
            authorities: self.authority.certificate_pem().to_owned(),
            certificate: credentials.chain_pem().to_owned(),
            key: credentials.key_pem().to_owned(),
        };
        self.write_context(context);
    }

    pub fn write_context(&self, context: Context) {
        let contexts = Contexts {
            current: Some("prod".to_owned()),
            contexts: [("prod".to_owned(), context)].into(),
        };
        contexts.save(&self.contexts_file()).unwrap();
    }

    pub fn contexts_file(&self) -> PathBuf {
        self.home.path().join(".config/holdfast/contexts.toml")
    }

    pub fn contexts(&self) -> Contexts {
        Contexts::load(&self.contexts_file()).unwrap()
    }

    pub fn mode(&self) -> u32 {
        let metadata = std::fs::metadata(self.contexts_file()).unwrap();
        metadata.permissions().mode() & 0o777
    }

    /// A token that works once.
    pub fn token(&self) -> String {
        let token = EnrolmentToken {
            secret: Secret::random(),
            authority: self.authority.fingerprint(),
        };
        self.tokens.lock().unwrap().push(token.secret.reveal());
        token.reveal()
    }

    pub fn answer(&self, change: impl FnOnce(&mut Answers)) -> &Self {
        change(&mut self.script.answers.lock().unwrap());
        self
    }

    pub fn fail(&self, method: &'static str, status: Status) -> &Self {
        self.answer(|answers| {
            answers
                .failures
                .insert(method, Failure::Status(Box::new(status)));
        })
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctl"));
        for (name, _) in std::env::vars() {
            if name.starts_with("HOLDFAST_") || name.starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .env("HOME", self.home.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("NO_COLOR")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    pub fn ctl(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().unwrap())
    }

    /// stdout of a run that succeeds.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.ctl(args);
        assert_eq!(said.code, 0, "{args:?}: {said:#?}");
        said.out
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let mut all = vec!["-o", "json"];
        all.extend(args);
        serde_json::from_str(&self.ok(&all)).unwrap()
    }
}

impl Said {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Exit code and stderr of a run that was refused; nothing went to stdout.
    #[track_caller]
    pub fn refused(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        assert_eq!(self.out, "", "{self:#?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {self:#?}");
        }
    }
}

pub fn admin() -> Identity {
    Identity::Operator {
        name: "alice".to_owned(),
        role: Role::Admin,
    }
}

/// Valid for `life` from `age` ago on.
pub fn credentials(
    authority: &Authority,
    identity: &Identity,
    age: TimeDelta,
    life: TimeDelta,
) -> Credentials {
    let key = NewKey::make().unwrap();
    let validity = Validity::starting(Utc::now() - age, life);
    let (_, chain) = authority
        .issue(&key.request().unwrap(), identity, validity)
        .unwrap();
    Credentials::from_answer(&key, &chain).unwrap()
}

/// Polls until it holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "{what} did not happen within 20 s"
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
