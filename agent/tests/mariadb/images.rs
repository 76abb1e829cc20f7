//! Images between real servers: everything that a database holds, proven by what the servers themselves show.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use holdfast_agent::{
    engine::{
        mariadb::{
            databases, describe,
            plan::Cutting,
            publication,
            receive::{Receiver, Target},
            send::{Request, Sender},
        },
        postgres::{
            image::{Body, ImagePeer, ImageSink, Piece, SendError},
            meter::Meter,
            receive::Refusal,
        },
    },
    task::Context,
};
use holdfast_proto::{
    image::{DataPath, ImageStream, OpenStream, ProofLevel, Receipt},
    task::{
        DatabaseProperties, DatabaseTarget, DescribeDatabase, FailureKind, PublishDatabase,
        ReceiveImage, ReceivedImage, Selection, SentImage, StageDatabase, TaskFailure,
        UnpublishDatabase,
    },
};
use tokio::sync::mpsc;

use crate::server::Server;

const EVERY: &str = include_str!("every.sql");
const EVERY_OF_MYSQL: &str = include_str!("every_mysql.sql");
const STAGING: &str = "shop__staging_7";

/// Hands streams over in this process; every third breaks off, of every third the receipt is lost.
struct Local {
    sink: Arc<dyn ImageSink>,
    flaky: bool,
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
        let begins = matches!(stream, ImageStream::Begin { .. });
        let open = OpenStream {
            grant: vec![7; 32],
            sender_run: "sender".to_owned(),
            receiver_run: receiver_run.to_owned(),
            stream,
        };
        let fault = if self.flaky && !begins {
            self.calls.fetch_add(1, Ordering::Relaxed) % 3
        } else {
            2
        };
        let body: Body = Box::pin(futures::stream::unfold(body, move |mut body| async move {
            let piece = body.recv().await?;
            let closed = matches!(piece, Piece::Close(_));
            (!(fault == 0 && closed)).then_some((Ok(piece), body))
        }));
        let answer = Arc::clone(&self.sink).take("source", open, body).await;
        match answer {
            Ok(_) if fault == 1 => Err(SendError::Lost("the receipt was lost".to_owned())),
            Ok(receipt) => Ok(receipt),
            Err(Refusal::Interrupted(interrupted)) => Err(SendError::Lost(interrupted.0)),
            Err(Refusal::No { kind, message, .. }) => Err(SendError::Refused { kind, message }),
        }
    }

    fn path(&self) -> Option<DataPath> {
        Some(DataPath::Direct)
    }
}

/// Makes the database `shop` with everything that the server knows.
pub fn fill(server: &Server) {
    let every = match server.client() {
        "mysql" => EVERY_OF_MYSQL,
        _ => EVERY,
    };
    server.sql("", every);
}

struct Pair {
    source: Server,
    target: Server,
    state: tempfile::TempDir,
}

impl Pair {
    fn start(source: &str, target: &str) -> Self {
        Self {
            source: Server::start_with(source, &["--log-bin"]),
            target: Server::start(target),
            state: tempfile::tempdir().expect("a directory"),
        }
    }

    fn context(&self) -> Context {
        self.target.context(self.state.path())
    }

    /// Describes, stages, sends and receives as the controller's job does.
    async fn copy(
        &self,
        selection: Selection,
        proof: ProofLevel,
        flaky: bool,
    ) -> Result<(SentImage, ReceivedImage), TaskFailure> {
        let (from, to) = (self.source.located(), self.target.located());
        let place = |database: &str| DatabaseTarget {
            instance: "shop-db".to_owned(),
            database: database.to_owned(),
        };
        let describe = DescribeDatabase {
            target: place("shop"),
            as_source: true,
            selection: selection.clone(),
        };
        let facts = describe::read(&from, &describe).await?;
        assert_eq!(facts.obstacles, Vec::<String>::new());
        let of_target = DescribeDatabase {
            as_source: false,
            ..describe
        };
        let there = describe::read(&to, &of_target).await?;
        assert_eq!(there.obstacles, Vec::<String>::new());
        assert!(there.locales.contains(&facts.collate), "{}", facts.collate);
        let stage = StageDatabase {
            staging: place(STAGING),
            owner: facts.owner,
            encoding: facts.encoding,
            collate: facts.collate,
            ctype: facts.ctype,
            locale_provider: facts.locale_provider,
            icu_locale: facts.icu_locale,
            roles: facts.roles,
            job: 7,
        };
        databases::stage(&to, &stage).await?;
        let spec = ReceiveImage {
            staging: place(STAGING),
            peer_host: "source".to_owned(),
            grant: vec![7; 32],
            jobs: 2,
            proof,
            properties: DatabaseProperties::default(),
        };
        let target = Target {
            located: to,
            database: STAGING.to_owned(),
            permits: 2,
            meter: Arc::new(Meter::default()),
        };
        let receiver = Receiver::new(spec, target);
        let peer = Local {
            sink: receiver.reception(),
            flaky,
            calls: AtomicUsize::new(0),
        };
        let request = Request {
            source: place("shop"),
            selection,
            jobs: 2,
            bandwidth: 0,
        };
        let sender = Sender {
            request: &request,
            located: &from,
            peer: Arc::new(peer),
            meter: Arc::new(Meter::default()),
            cutting: Cutting::Server { cpus: 2 },
        };
        let (sent, received) = tokio::join!(Box::pin(sender.run()), Box::pin(receiver.run()));
        match (sent, received) {
            (Ok(sent), Ok(received)) => Ok((sent, received)),
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
        }
    }

    async fn publish(&self, keep_as: &str) -> Result<String, TaskFailure> {
        let spec = PublishDatabase {
            instance: "shop-db".to_owned(),
            staging: STAGING.to_owned(),
            name: "shop".to_owned(),
            keep_as: keep_as.to_owned(),
            job: 7,
        };
        let context = self.context();
        let published =
            Box::pin(publication::publish(spec, &self.target.located(), &context)).await?;
        Ok(published.kept_as)
    }

    async fn unpublish(&self, kept_as: &str, aside: &str) -> Result<bool, TaskFailure> {
        let spec = UnpublishDatabase {
            instance: "shop-db".to_owned(),
            name: "shop".to_owned(),
            kept_as: kept_as.to_owned(),
            set_aside_as: aside.to_owned(),
            staging: STAGING.to_owned(),
            job: 0,
        };
        let context = self.context();
        Ok(Box::pin(publication::unpublish(
            spec,
            &self.target.located(),
            &context,
        ))
        .await?
        .restored)
    }
}

fn equal(sent: &SentImage, received: &ReceivedImage) {
    let (left, right) = (&sent.manifest.relations, &received.relations);
    assert_eq!(left.len(), right.len());
    for relation in left {
        let other = right
            .iter()
            .find(|other| other.name == relation.name)
            .expect("the same relations");
        assert_eq!(
            (relation.rows, relation.fingerprint, relation.server_rows),
            (other.rows, other.fingerprint, other.server_rows),
            "{}",
            relation.name
        );
    }
    assert_eq!(sent.manifest.sequences, received.sequences);
    assert_eq!(sent.manifest.schema_hash, received.schema_hash);
}

/// Everything that the server's own tool says of a database, without its name and what differs from run to run.
pub fn dump(server: &Server, tool: &Server, database: &str) -> Vec<String> {
    let text = tool.dump_of(server, database);
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("--") && !line.contains("sandbox mode"));
    lines
        .map(|line| {
            line.replace(&format!("`{database}`"), "`X`")
                .replace("DISABLE ON SLAVE", "ENABLE")
                .replace("DISABLE ON REPLICA", "ENABLE")
                .replace("INVISIBLE DEFAULT 7", "DEFAULT 7 INVISIBLE")
                // A MySQL says it where a statement said it, and its own statements always do.
                .replace("CHARACTER SET utf8mb4 COLLATE", "COLLATE")
        })
        .filter(|line| !line.contains("character_set_client") && !line.is_empty())
        // The statement that makes a trigger is put together again: its words are the same, their form is the server's.
        .map(
            |line| match line.contains("50003 TRIGGER") || line.contains("50003 trigger") {
                true => line.to_lowercase().replace(['`'], "").replace("shop.", ""),
                false => line,
            },
        )
        .collect()
}

#[track_caller]
pub fn same(left: &[String], right: &[String], about: &str) {
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left, right, "{about}");
    }
    assert_eq!(left.len(), right.len(), "{about}");
}

/// Who has a right through two roles has them again, from its login on; whom nothing of the database was given is not there.
pub fn roles_came_along(server: &Server) {
    let roles = server.sql("", "show grants for member@'%'");
    assert!(
        roles.contains("`team`") && !roles.contains("elsewhere"),
        "{roles}"
    );
    let of_team = server.sql("", "show grants for team");
    assert!(of_team.contains("`writers`"), "{of_team}");
    let default = if server.is_mysql() {
        "select default_role_user from mysql.default_roles where user = 'member'"
    } else {
        "select default_role from mysql.user where user = 'member'"
    };
    assert_eq!(server.sql("", default), "team");
    let strangers = "select count(*) from mysql.user where user in ('stranger', 'elsewhere')";
    assert_eq!(server.sql("", strangers), "0");
}

pub fn grants(server: &Server, database: &str) -> String {
    let escaped = database.replace('_', "\\\\_");
    let shown = server.sql("", "show grants for app@'%'; show grants for reader@'10.%'");
    let lines: Vec<_> = shown
        .lines()
        .filter(|line| !line.contains("ON *.*"))
        .collect();
    let lines = lines
        .join("\n")
        .replace(&escaped, "X")
        .replace(&database.replace('_', "\\_"), "X");
    let mut lines: Vec<_> = lines
        .replace(database, "X")
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_object_arrives_as_it_was() {
    for (from, to) in [
        ("10.11", "11.8"),
        ("11.8", "11.8"),
        ("10.11", "10.11"),
        ("9.7", "9.7"),
    ] {
        let pair = Pair::start(from, to);
        fill(&pair.source);
        let (sent, received) = pair
            .copy(Selection::default(), ProofLevel::Full, true)
            .await
            .unwrap();
        equal(&sent, &received);
        assert!(sent.resent_parts > 0);
        assert!(sent.manifest.relations.len() > 10 && !sent.manifest.lsn.is_empty());
        uuid::Uuid::parse_str(&sent.manifest.system_identifier).unwrap();
        let told = received.notices.join("\n");
        assert!(received.notices.is_empty(), "{told}");
        // One tool judges both servers, so that its own version makes no difference.
        let (left, right) = (
            dump(&pair.source, &pair.source, "shop"),
            dump(&pair.target, &pair.source, STAGING),
        );
        same(&left, &right, &format!("{from} to {to}"));
        if from == to {
            // A newer version knows rights that an older one had within others.
            assert_eq!(
                grants(&pair.source, "shop"),
                grants(&pair.target, STAGING),
                "{from} to {to}"
            );
        }
        roles_came_along(&pair.target);
        // Nothing stays on the source, and nobody can log in as an account that came along.
        assert_eq!(
            pair.source
                .sql("", "select count(*) from information_schema.innodb_trx"),
            "0"
        );
        let account = pair.target.sql("", "show create user app@'%'");
        assert!(
            account.contains("invalid") || account.contains("ACCOUNT LOCK"),
            "{account}"
        );

        // In its place it is itself again: views read their tables, triggers fire, the event runs.
        assert_eq!(pair.publish("").await.unwrap(), "");
        let (left, right) = (
            dump(&pair.source, &pair.source, "shop"),
            dump(&pair.target, &pair.source, "shop"),
        );
        same(&left, &right, &format!("{from} to {to}, published"));
        if from == to {
            assert_eq!(
                grants(&pair.source, "shop"),
                grants(&pair.target, "shop"),
                "{from} to {to}, published"
            );
        }
        let events = "select event_name, status from information_schema.events order by 1";
        assert_eq!(pair.target.sql("", events), pair.source.sql("", events));
        pair.target
            .sql("shop", "insert into orders (user_id, total) values (1, 5)");
        assert_eq!(
            pair.target
                .sql("shop", "select what from log order by id desc limit 1"),
            "order of 1"
        );
        assert_eq!(pair.target.sql("", "show databases like 'shop%'"), "shop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_database_is_kept_whole_and_comes_back() {
    for (from, to) in [("10.11", "11.8"), ("9.7", "9.7")] {
        replaced(&Pair::start(from, to)).await;
    }
}

async fn replaced(pair: &Pair) {
    fill(&pair.source);
    pair.target.sql(
        "",
        "create database shop; use shop; create table orders (id int primary key, old int); insert into orders values (1, 1); \
         create table only_here (id int primary key); create view v as select old from orders; create table log (a int); \
         create trigger t before insert on orders for each row insert into log values (new.id); \
         create procedure p() select 1; create event e on schedule every 1 day do delete from log; \
         create user app@'%' identified by 'kept'; grant select, insert on shop.* to app@'%'; grant update on shop.orders to app@'%'",
    );
    let former = dump(&pair.target, &pair.target, "shop");
    let rights = pair.target.sql("", "show grants for app@'%'");
    pair.copy(Selection::default(), ProofLevel::Transit, false)
        .await
        .unwrap();

    let refused = pair.publish("").await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Conflict, "{refused:?}");
    assert_eq!(
        pair.publish("shop__before_7").await.unwrap(),
        "shop__before_7"
    );
    assert_eq!(
        pair.publish("shop__before_7").await.unwrap(),
        "shop__before_7",
        "repeated"
    );
    same(
        &dump(&pair.target, &pair.target, "shop__before_7"),
        &former,
        "kept",
    );
    let copy = dump(&pair.target, &pair.source, "shop");
    assert_eq!(dump(&pair.source, &pair.source, "shop").len(), copy.len());
    let by = pair.target.sql("", "show grants for app@'%'");
    assert!(by.contains("`shop\\_\\_before\\_7`.*"), "{by}");

    for _ in 0..2 {
        let restored = pair
            .unpublish("shop__before_7", "shop__undone_7")
            .await
            .unwrap();
        same(
            &dump(&pair.target, &pair.target, "shop"),
            &former,
            &format!("back {restored}"),
        );
    }
    let by = pair.target.sql("", "show grants for app@'%'");
    let by: Vec<_> = by.lines().filter(|line| !line.contains("undone")).collect();
    assert_eq!(by.join("\n"), rights);
    assert_eq!(
        pair.target.sql(
            "shop",
            "select status from information_schema.events where event_schema = 'shop'"
        ),
        "ENABLED"
    );
    assert_eq!(
        dump(&pair.target, &pair.source, "shop__undone_7").len(),
        copy.len()
    );
    assert!(
        databases::drop_copy(&pair.target.located(), "shop__undone_7")
            .await
            .unwrap()
    );
    assert_eq!(pair.target.sql("", "show databases like 'shop%'"), "shop");
    assert_eq!(
        pair.target.sql("", "show grants for app@'%'"),
        rights,
        "and its rights with it"
    );
    let unmarked = databases::drop_copy(&pair.target.located(), "shop")
        .await
        .unwrap_err();
    assert_eq!(unmarked.kind, FailureKind::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_written_meanwhile_are_in_the_image_or_not_but_never_half() {
    let pair = Pair::start("11.8", "11.8");
    pair.source.sql(
        "",
        "create database shop; use shop; create table a (id int primary key auto_increment, n bigint); \
         create table b (id int primary key auto_increment, n bigint); \
         insert into a (n) select seq from seq_1_to_200000; insert into b (n) select seq from seq_1_to_200000",
    );
    let id = pair.source.id.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut rounds = 0;
        while stopped.try_recv().is_err() {
            // Every transaction puts the same number into both tables.
            let sql = "start transaction; insert into a (n) values (7); insert into b (n) values (7); commit";
            crate::observed::said(&[
                "exec", &id, "mariadb", "-uroot", "-psecret", "shop", "-e", sql,
            ]);
            rounds += 1;
        }
        rounds
    });
    let (sent, received) = pair
        .copy(Selection::default(), ProofLevel::Full, false)
        .await
        .unwrap();
    stop.send(()).unwrap();
    assert!(writer.join().unwrap() > 0);
    equal(&sent, &received);
    let counts = pair.target.sql(
        STAGING,
        "select (select count(*) from a) - (select count(*) from b)",
    );
    assert_eq!(counts, "0");
    let partial = Selection {
        tables: vec!["a".to_owned()],
        ..Selection::default()
    };
    let (sent, received) = pair
        .copy(partial, ProofLevel::Transit, false)
        .await
        .unwrap();
    assert_eq!(
        (sent.manifest.relations.len(), received.relations.len()),
        (1, 1)
    );
    assert_eq!(pair.target.sql(STAGING, "show tables"), "a");
}
