//! Two servers and an image between them, without a network in the middle.

#![allow(dead_code, reason = "each test binary uses its part of it")]

#[path = "proxy.rs"]
mod proxy;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use holdfast_agent::engine::postgres::{
    image::{Body, ImagePeer, Piece, SendError},
    meter::Meter,
    receive::{Receiver, Reception, Refusal, Target},
    route::Target as Address,
    send::{Purpose, Request, Sender},
};
use holdfast_proto::{
    image::{DataPath, ImageStream, OpenStream, ProofLevel, Receipt},
    task::{
        DatabaseProperties, DatabaseTarget, ReceiveImage, ReceivedImage, Selection, SentImage,
        TaskFailure,
    },
};
use tokio::sync::mpsc;

use self::proxy::Proxy;
use crate::support::Server;

pub const STAGING: &str = "shop__staging_7";

pub struct Pair {
    pub source: Server,
    pub target: Server,
    source_version: u32,
    target_version: u32,
    /// How both ends were created.
    create: String,
}

pub struct Copy {
    pub selection: Selection,
    pub proof: ProofLevel,
    pub jobs: u32,
    pub cpus: u32,
    pub flaky: bool,
    /// Nobody waits any more for a stream's reception when its COMMIT is on its way, the first time.
    pub deserted: bool,
    /// Bytes a second.
    pub bandwidth: u64,
}

impl Default for Copy {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            proof: ProofLevel::Full,
            jobs: 2,
            cpus: 2,
            flaky: false,
            deserted: false,
            bandwidth: 0,
        }
    }
}

/// Hands streams over in this process.
struct Local {
    reception: Arc<Reception>,
    /// Every third stream breaks off in the middle, every third arrives and its receipt is lost.
    flaky: bool,
    proxy: Option<Arc<Proxy>>,
    calls: AtomicUsize,
}

#[async_trait]
impl ImagePeer for Local {
    async fn send(
        &self,
        stream: ImageStream,
        receiver_run: &str,
        body: mpsc::Receiver<Piece>,
    ) -> Result<Receipt, SendError> {
        let open = OpenStream {
            grant: vec![7; 32],
            sender_run: "sender".to_owned(),
            receiver_run: receiver_run.to_owned(),
            stream,
        };
        let begins = matches!(open.stream, ImageStream::Begin { .. });
        let fault = if self.flaky && !begins {
            self.calls.fetch_add(1, Ordering::Relaxed) % 3
        } else {
            2
        };
        let cut = fault == 0;
        let body: Body = Box::pin(futures::stream::unfold(body, move |mut body| async move {
            let piece = body.recv().await?;
            let closed = matches!(piece, Piece::Close(_));
            (!(cut && closed)).then_some((Ok(piece), body))
        }));
        let carries_rows = matches!(open.stream, ImageStream::Data { .. });
        let accepting = self.reception.accept("source", open, body);
        let answer = match &self.proxy {
            Some(proxy) => {
                let first = self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
                let committing = async {
                    // A COMMIT of the schema may have told before.
                    loop {
                        proxy.committing.notified().await;
                        if carries_rows && first {
                            return;
                        }
                        proxy.answer();
                    }
                };
                let answer = tokio::select! {
                    answer = accepting => answer,
                    () = committing => {
                        proxy.answer();
                        return Err(SendError::Lost("the connection broke".to_owned()));
                    }
                };
                answer
            }
            None => accepting.await,
        };
        let answer = answer.map_err(|refusal| match refusal {
            Refusal::Interrupted(interrupted) => SendError::Lost(interrupted.0),
            Refusal::No { kind, message, .. } => SendError::Refused { kind, message },
        });
        match answer {
            Ok(_) if fault == 1 => Err(SendError::Lost("the receipt was lost".to_owned())),
            answer => answer,
        }
    }

    fn path(&self) -> Option<DataPath> {
        Some(DataPath::Direct)
    }
}

impl Pair {
    pub fn start(source_version: u32, target_version: u32) -> Self {
        let locale = "encoding 'UTF8' locale 'C.UTF-8'";
        Self::start_with(source_version, target_version, locale)
    }

    /// Both databases with this encoding and locale.
    pub fn start_with(source_version: u32, target_version: u32, locale: &str) -> Self {
        let source = Server::start(source_version);
        let target = Server::start(target_version);
        let create = format!("template template0 {locale}");
        let _ = source.psql("postgres", &format!("create database shop {create}"));
        let _ = target.psql("postgres", &format!("create database {STAGING} {create}"));
        for role in ["every owner", "every \"reader\"", "every.team"] {
            let role = role.replace('"', "\"\"");
            let _ = target.psql("postgres", &format!("create role \"{role}\""));
        }
        Self {
            source,
            target,
            source_version,
            target_version,
            create,
        }
    }

    pub fn fill(&self, script: &str) {
        self.source.script("shop", script);
    }

    pub async fn copy(&self, copy: Copy) -> Result<(SentImage, ReceivedImage), TaskFailure> {
        let state_dir = std::env::temp_dir();
        let (from, to) = (
            self.source.context(&state_dir),
            self.target.context(&state_dir),
        );
        let mut at = to.instances.locate("shop-db")?;
        let proxy = if copy.deserted {
            let Address::Tcp(address) = &at.route.target else {
                panic!("{:?}", at.route)
            };
            let proxy = Proxy::start(format!("{address}:{}", at.route.port)).await;
            at.route.target = Address::Tcp("127.0.0.1".to_owned());
            at.route.port = proxy.port;
            Some(Arc::new(proxy))
        } else {
            None
        };
        let receiver = Receiver::new(
            ReceiveImage {
                staging: DatabaseTarget {
                    instance: "shop-db".to_owned(),
                    database: STAGING.to_owned(),
                },
                peer_host: "source".to_owned(),
                grant: vec![7; 32],
                jobs: copy.jobs,
                proof: copy.proof,
                properties: DatabaseProperties::default(),
            },
            Target {
                located: at,
                containers: to.containers.clone(),
                database: STAGING.to_owned(),
                version_num: self.target_version * 10_000,
                application: "holdfast receive".to_owned(),
                permits: 2,
                free_memory: 1 << 30,
                meter: Arc::new(Meter::default()),
                partial: false,
            },
        );
        let request = Request {
            source: DatabaseTarget {
                instance: "shop-db".to_owned(),
                database: "shop".to_owned(),
            },
            selection: copy.selection,
            jobs: copy.jobs,
            bandwidth: copy.bandwidth,
            purpose: Purpose::Server {
                version_num: self.target_version * 10_000,
                extensions: Vec::new(),
                no_tablespaces: false,
                cpus: copy.cpus,
            },
        };
        let located = from.instances.locate("shop-db")?;
        let sender = Sender {
            request: &request,
            located: &located,
            containers: &from.containers,
            peer: Arc::new(Local {
                reception: receiver.reception(),
                flaky: copy.flaky,
                proxy,
                calls: AtomicUsize::new(0),
            }),
            meter: Arc::new(Meter::default()),
            application: "holdfast send".to_owned(),
        };
        // As the job does it: one side failing ends the other.
        let receiving = receiver.run();
        tokio::try_join!(sender.run(), receiving)
    }

    /// Asks both ends the same; gives the answer, which is the same.
    #[track_caller]
    pub fn both_say(&self, sql: &str) -> String {
        let (left, right) = (self.source.psql("shop", sql), self.target_sql(sql));
        assert_eq!(left, right, "{sql}");
        left
    }

    #[track_caller]
    pub fn target_sql(&self, sql: &str) -> String {
        self.target.psql(STAGING, sql)
    }

    /// What the source must show the same after as before.
    pub fn source_state(&self) -> String {
        let slots = self
            .source
            .psql("shop", "select count(*) from pg_replication_slots");
        let settings = self.source.psql(
            "shop",
            "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings \
             where source in ('configuration file', 'database', 'global')",
        );
        format!(
            "{slots} {settings}\n{}",
            self.source
                .dump("shop", self.target_version, &["--data-only"])
        )
    }

    /// The copy is what pg_dump and pg_restore make of the source on the same server. The source
    /// itself is no measure across versions: newer servers word views in another way.
    #[track_caller]
    pub fn assert_same_dump(&self) {
        let arguments = ["--schema-only"];
        let expected = if self.source_version == self.target_version {
            self.source.dump("shop", self.target_version, &arguments)
        } else {
            let create = format!("create database reference {}", self.create);
            let _ = self.target.psql("postgres", &create);
            self.target.restore_from(&self.source, "shop", "reference");
            self.target
                .dump("reference", self.target_version, &arguments)
        };
        let found = self.target.dump(STAGING, self.target_version, &arguments);
        assert_eq_lines(&expected, &found);
    }

    #[track_caller]
    pub fn assert_same_rows(&self) {
        for table in self.tables() {
            let sql = format!(
                "select count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from only {table} t"
            );
            // A partition by hash of an enum holds other rows than its namesake: looked at whole.
            let sql = if table == "app.hashed" {
                sql.replace("only ", "")
            } else {
                sql
            };
            if table.starts_with("app.hashed_") {
                continue;
            }
            assert_eq!(
                self.source.psql("shop", &sql),
                self.target.psql(STAGING, &sql),
                "rows of {table}"
            );
        }
        let large = "select md5(string_agg(oid || ':' || md5(lo_get(oid)), ',' order by oid)) from pg_largeobject_metadata";
        assert_eq!(
            self.source.psql("shop", large),
            self.target.psql(STAGING, large)
        );
        let views = "select sum(n)::text || (select count(*) from app.totals) from app.totals";
        assert_eq!(
            self.source.psql("shop", views),
            self.target.psql(STAGING, views)
        );
    }

    #[track_caller]
    pub fn assert_nothing_left_running(&self) {
        for server in [&self.source, &self.target] {
            let sql = "select count(*) from pg_stat_activity where application_name like 'holdfast%' \
                       and pid <> pg_backend_pid()";
            let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while server.psql("postgres", sql) != "0" {
                assert!(std::time::Instant::now() < end, "a session was left");
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
        }
    }

    /// No tool of ours runs in the containers, and no server had to restart.
    #[track_caller]
    pub fn assert_servers_untouched(&self) {
        for server in [&self.source, &self.target] {
            let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while server
                .processes()
                .iter()
                .any(|line| line.contains("pg_dump") || line.contains("pg_restore"))
            {
                assert!(
                    std::time::Instant::now() < end,
                    "a process was left: {:?}",
                    server.processes()
                );
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
            assert!(
                !server.log().contains("terminated by signal"),
                "the server crashed"
            );
        }
    }

    fn tables(&self) -> Vec<String> {
        let sql = "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                   where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1";
        self.source
            .psql("shop", sql)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

#[track_caller]
fn assert_eq_lines(left: &str, right: &str) {
    let (left, right): (Vec<&str>, Vec<&str>) = (left.lines().collect(), right.lines().collect());
    for (at, (l, r)) in left.iter().zip(&right).enumerate() {
        assert_eq!(
            l,
            r,
            "line {at}; before it:\n{}",
            left[at.saturating_sub(15)..at].join("\n")
        );
    }
    assert_eq!(left.len(), right.len(), "as many lines");
}
