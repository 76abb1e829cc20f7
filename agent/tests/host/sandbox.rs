//! Throwaway servers, and the look into what was restored there.
//!
//! Needs Docker on its usual socket and the image `holdfast-test/postgres:15`.

use std::time::Duration;

use crate::observed::{EVENT, Observed, Started, docker, said};
use crate::support::{Server, context};
use holdfast_agent::task::{Context, perform};
use holdfast_proto::{
    fleet::{Engine, HostSnapshot},
    task::{
        DatabaseTarget, DescribeDatabase, ExamineDatabase, ExaminedDatabase, FailureKind,
        RemoveSandbox, SandboxLimits, Selection, StartSandbox, StartedSandbox, TaskFailure,
        TaskResult, TaskSpec,
    },
};

const IMAGE: &str = "holdfast-test/postgres:15";
const STAGING: &str = "shop__staging_1";

/// No other test, and no other run, has this job.
fn job(number: u64) -> u64 {
    u64::from(std::process::id()) * 100 + number
}

struct Sandboxes {
    observed: Observed,
    context: Context,
    _state: tempfile::TempDir,
}

impl Sandboxes {
    fn on_this_host() -> Self {
        let observed = Observed::start();
        let state = tempfile::tempdir().expect("a directory");
        let context = Context {
            observer: observed.ask.clone(),
            ..context(observed.instances.clone(), state.path())
        };
        Self {
            observed,
            context,
            _state: state,
        }
    }

    async fn start(&self, spec: StartSandbox) -> Result<StartedSandbox, TaskFailure> {
        match perform(TaskSpec::StartSandbox(spec), &self.context).await? {
            TaskResult::StartedSandbox(started) => Ok(started),
            other => panic!("{other:?}"),
        }
    }

    async fn remove(&self, job: u64) -> Result<bool, TaskFailure> {
        let spec = TaskSpec::RemoveSandbox(RemoveSandbox { job });
        match perform(spec, &self.context).await? {
            TaskResult::RemovedSandbox(removed) => Ok(removed.existed),
            other => panic!("{other:?}"),
        }
    }
}

fn spec(job: u64) -> StartSandbox {
    StartSandbox {
        job,
        image: IMAGE.to_owned(),
        image_digest: said(&["image", "inspect", "-f", "{{.Id}}", IMAGE]),
        engine: Engine::Postgres,
        preload_libraries: "pg_stat_statements".to_owned(),
        limits: SandboxLimits {
            cpu_millis: 1_000,
            memory_bytes: 1 << 30,
        },
        look_only: false,
        part: 0,
        servers: 0,
    }
}

/// Containers and volumes that wear the job's label.
fn left_of(job: u64) -> Vec<String> {
    let label = format!("label=io.holdfast.sandbox={job}");
    let containers = said(&["ps", "-aq", "--filter", &label]);
    let volumes = said(&["volume", "ls", "-q", "--filter", &label]);
    let both = containers.lines().chain(volumes.lines());
    both.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_without_a_network_is_in_no_report_and_goes_with_all_that_it_wrote() {
    let here = Sandboxes::on_this_host();
    let (one, neighbour) = (job(1), job(2));
    let looked = here.start(StartSandbox {
        look_only: true,
        ..spec(one)
    });
    let looked = looked.await.expect("the image is there");
    assert_eq!((looked.instance.as_str(), left_of(one).len()), ("", 0));

    let started = here.start(spec(one)).await.expect("started");
    let name = started.instance.clone();
    let inspect = |format: &str| said(&["inspect", "-f", format, &name]);
    let id = inspect("{{.Id}}");
    assert_eq!(inspect("{{.HostConfig.NetworkMode}}"), "none");
    let limits = inspect("{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}");
    assert_eq!(limits, "1000000000 1073741824");
    assert_eq!(left_of(one).len(), 2, "a container and its volume");
    // Whoever asks again gets the same one.
    assert_eq!(here.start(spec(one)).await, Ok(started.clone()));
    assert_eq!(inspect("{{.Id}}"), id);

    let target = DatabaseTarget {
        instance: name.clone(),
        database: STAGING.to_owned(),
    };
    let describe = TaskSpec::DescribeDatabase(DescribeDatabase {
        target: target.clone(),
        as_source: false,
        selection: Selection::default(),
    });
    let facts = match perform(describe, &here.context).await {
        Ok(TaskResult::DatabaseFacts(facts)) => facts,
        other => panic!("{other:?}"),
    };
    assert!(facts.is_superuser && facts.version_num > 150_000);
    let described = TaskSpec::DescribeDatabase(DescribeDatabase {
        target: DatabaseTarget {
            database: "postgres".to_owned(),
            ..target.clone()
        },
        as_source: true,
        selection: Selection::default(),
    });
    match perform(described, &here.context).await {
        Ok(TaskResult::DatabaseFacts(facts)) => {
            assert_eq!(facts.preload_libraries, "pg_stat_statements");
            assert_eq!(facts.image_digest, started.image_id);
        }
        other => panic!("{other:?}"),
    }

    // A neighbour that is reported says that the reports go on.
    let other = Started::server("beside-sandbox", 15, &[], &[]);
    let shows = |snapshot: &HostSnapshot| {
        crate::observed::instance(snapshot, &other.0).map(|_| snapshot.clone())
    };
    let (snapshot, _) = here.observed.until("the neighbour", EVENT, shows).await;
    assert!(crate::observed::instance(&snapshot, &name).is_none());
    assert!(crate::observed::container(&snapshot, &name).is_none());
    let volumes = left_of(one);
    assert!(
        snapshot
            .volumes
            .iter()
            .all(|volume| !volumes.contains(&volume.name))
    );

    assert_eq!(here.remove(neighbour).await, Ok(false));
    assert_eq!(left_of(one).len(), 2, "another job's is left alone");
    assert_eq!(here.remove(one).await, Ok(true));
    assert_eq!(left_of(one), [""; 0]);
    assert!(!docker(&["inspect", &id]).status.success());
    assert_eq!(here.remove(one).await, Ok(false));
}

/// A rebuild has several at once, and one that ended is made anew without its neighbours.
#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_one_job_stand_side_by_side_and_go_together() {
    let here = Sandboxes::on_this_host();
    let own = job(9);
    let part = |part| StartSandbox {
        part,
        servers: 2,
        ..spec(own)
    };
    let one = here.start(part(1)).await.expect("started");
    let two = here.start(part(2)).await.expect("started");
    let names = [1, 2].map(|part| format!("holdfast-sandbox-{own}-{part}"));
    assert_eq!([one.instance.clone(), two.instance], names);
    assert_eq!(left_of(own).len(), 4, "two containers and their volumes");
    let id = |name: &str| said(&["inspect", "-f", "{{.Id}}", name]);
    let (first, second) = (id(&names[0]), id(&names[1]));
    said(&["kill", &names[0]]);
    assert_eq!(here.start(part(1)).await, Ok(one));
    assert_ne!(id(&names[0]), first, "what had ended is worth nothing");
    assert_eq!(id(&names[1]), second, "its neighbour was left alone");
    assert_eq!(left_of(own).len(), 4);
    assert_eq!(here.remove(own).await, Ok(true));
    assert_eq!(left_of(own), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_serves_too() {
    let here = Sandboxes::on_this_host();
    let image = "holdfast-test/mariadb:10.11";
    let spec = StartSandbox {
        image: image.to_owned(),
        image_digest: said(&["image", "inspect", "-f", "{{.Id}}", image]),
        engine: Engine::Mariadb,
        preload_libraries: String::new(),
        ..spec(job(6))
    };
    let started = here.start(spec.clone()).await.expect("started");
    assert_eq!(here.start(spec).await, Ok(started.clone()));
    let describe = TaskSpec::DescribeDatabase(DescribeDatabase {
        target: DatabaseTarget {
            instance: started.instance.clone(),
            database: STAGING.to_owned(),
        },
        as_source: false,
        selection: Selection::default(),
    });
    let described = perform(describe, &here.context).await;
    let setting = |name: &str| {
        let ask = format!("select @@{name}");
        said(&[
            "exec",
            &started.instance,
            "mariadb",
            "-uroot",
            "-N",
            "-e",
            &ask,
        ])
    };
    let settings = ["log_bin", "innodb_doublewrite"].map(setting);
    assert_eq!(here.remove(job(6)).await, Ok(true));
    assert_eq!(left_of(job(6)), [""; 0]);
    match described {
        Ok(TaskResult::DatabaseFacts(facts)) => assert!(facts.server_version.contains("MariaDB")),
        other => panic!("{other:?}"),
    }
    assert_eq!(settings, ["0", "0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_bears_its_name_is_neither_joined_nor_removed() {
    let here = Sandboxes::on_this_host();
    let name = format!("holdfast-sandbox-{}", job(3));
    let _ = docker(&["rm", "-fv", &name]);
    let label = format!("io.holdfast.sandbox={}", job(4));
    let options = [
        "run",
        "-d",
        "--name",
        &name,
        "--label",
        &label,
        "--entrypoint",
        "sleep",
    ];
    said(&[&options[..], &[IMAGE, "600"]].concat());
    let joined = here.start(spec(job(3))).await.expect_err("not ours");
    let removed = here.remove(job(3)).await.expect_err("not ours");
    let stands = docker(&["inspect", &name]).status.success();
    let _ = docker(&["rm", "-fv", &name]);
    assert_eq!(
        (joined.kind, removed.kind),
        (FailureKind::Refused, FailureKind::Refused)
    );
    assert!(stands, "it was removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_come_up_says_why() {
    let here = Sandboxes::on_this_host();
    let absent = here.start(StartSandbox {
        image_digest: format!("sha256:{}", "0".repeat(64)),
        look_only: true,
        ..spec(job(5))
    });
    let absent = absent.await.expect_err("no such image");
    assert!(absent.message.contains("is not on this host"), "{absent:?}");
    assert!(absent.advice.contains("docker pull"), "{absent:?}");
    let broken = here.start(StartSandbox {
        preload_libraries: "no_such_library".to_owned(),
        ..spec(job(5))
    });
    let broken = broken.await.expect_err("it does not come up");
    here.remove(job(5)).await.expect("removed");
    assert!(broken.message.contains("no_such_library"), "{broken:?}");
    assert!(!broken.retryable);
    assert_eq!(left_of(job(5)), [""; 0]);
}

async fn examine(
    context: &Context,
    database: &str,
    assertions: &[&str],
) -> Result<ExaminedDatabase, TaskFailure> {
    let spec = TaskSpec::ExamineDatabase(ExamineDatabase {
        target: DatabaseTarget {
            instance: "shop-db".to_owned(),
            database: database.to_owned(),
        },
        assertions: assertions.iter().map(ToString::to_string).collect(),
        timeout: Duration::from_secs(2),
    });
    match perform(spec, context).await? {
        TaskResult::ExaminedDatabase(examined) => Ok(examined),
        other => panic!("{other:?}"),
    }
}

const SHOP: &str = "
    create table users (id int primary key, name text unique, age int check (age > 0));
    create index users_age on users (age);
    create table orders (id int primary key, user_id int references users, at timestamptz);
    create index orders_at on orders (at);
    insert into users select n, 'user ' || n, n from generate_series(1, 500) n;
    insert into orders select n, n % 500 + 1, now() from generate_series(1, 2000) n;
";

fn stage(server: &Server) {
    let _ = server.psql("postgres", &format!("create database {STAGING}"));
    let _ = server.psql(STAGING, SHOP);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_database_is_found_sound_and_stays_as_it_is() {
    let server = Server::start(15);
    stage(&server);
    let before = server.dump(STAGING, 15, &["--schema-only"]);
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    let found = examine(&context, STAGING, &["select count(*) = 500 from users"]);
    let found = found.await.expect("examined");
    assert_eq!(
        (found.broken.as_slice(), found.unknown.as_slice()),
        (&[][..], &[][..])
    );
    assert_eq!((found.indexes, found.constraints), (2, 4));
    assert_eq!((found.checked_indexes, found.checked_constraints), (5, 2));
    assert_eq!(found.amcheck_error, "");
    assert_eq!(found.assertions[0].holds, Some(true));
    let after = server.dump(STAGING, 15, &["--schema-only"]);
    let of_amcheck = |line: &&str| !line.contains("amcheck") && !line.contains("EXTENSION");
    let own = |text: &str| {
        text.lines()
            .filter(of_amcheck)
            .filter(|l| !l.trim_matches('-').is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(own(&before), own(&after));
    // What nobody made for this is not touched.
    let refused = examine(&context, "postgres", &[])
        .await
        .expect_err("refused");
    assert_eq!(refused.kind, FailureKind::Refused);
}

/// Each kind of damage that reading all rows back does not show.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_named() {
    let server = Server::start(15);
    stage(&server);
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    let damage = |sql: &str| server.psql(STAGING, sql);
    // A row that its index does not know.
    let _ =
        damage("update pg_index set indisready = false where indexrelid = 'users_age'::regclass");
    let _ = damage("insert into users values (501, 'lost', 501)");
    let _ =
        damage("update pg_index set indisready = true where indexrelid = 'users_age'::regclass");
    // An order of nobody.
    let _ = damage(
        "set session_replication_role = replica; insert into orders values (9999, 777, now())",
    );
    let _ =
        damage("update pg_index set indisvalid = false where indexrelid = 'orders_at'::regclass");
    let found = examine(&context, STAGING, &[]).await.expect("examined");
    let broken: Vec<_> = found
        .broken
        .iter()
        .map(|b| (b.name.as_str(), b.reason.as_str()))
        .collect();
    let names: Vec<_> = broken.iter().map(|(name, _)| *name).collect();
    let expected = [
        "index public.orders_at",
        "index public.users_age",
        "constraint orders_user_id_fkey of public.orders",
    ];
    assert_eq!(names, expected, "{broken:?}");
    assert!(
        broken[1].1.contains("lacks matching index tuple"),
        "{broken:?}"
    );
    assert!(broken[2].1.contains("777"), "{broken:?}");
    assert_eq!(found.indexes, 2);
    let _ = damage("drop index users_age");
    let lost = examine(&context, STAGING, &[]).await.expect("examined");
    assert_eq!(lost.indexes, 1, "a lost index is missing in the count");
    let _ = damage("alter table orders drop constraint orders_user_id_fkey");
    let lost = examine(&context, STAGING, &[]).await.expect("examined");
    assert_eq!(
        lost.constraints, 3,
        "a lost constraint is missing in the count"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn assertions_hold_do_not_hold_or_could_not_run() {
    let server = Server::start(15);
    stage(&server);
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    let statements = [
        "select count(*) = 500 from users",
        "select count(*) > 500 from users",
        "select null::boolean",
        "select count(*) from users",
        "select true from users",
        "select true where false",
        "select true, true",
        "select * from nowhere",
        "delete from users returning true",
        "select pg_sleep(60) is null",
        "select true; drop table users",
        "select count(*) = 2000 from orders",
    ];
    let found = examine(&context, STAGING, &statements)
        .await
        .expect("examined");
    let outcomes: Vec<_> = found
        .assertions
        .iter()
        .map(|a| (a.holds, a.reason.as_str()))
        .collect();
    assert_eq!(
        outcomes[..4],
        [
            (Some(true), ""),
            (Some(false), "it gave false"),
            (Some(false), "it gave NULL"),
            (None, "it gives int8, not boolean"),
        ]
    );
    for (outcome, words) in outcomes[4..11].iter().zip([
        "more than one row",
        "no row",
        "2 columns",
        "nowhere",
        "read-only",
        "timeout",
        "multiple commands",
    ]) {
        assert_eq!(outcome.0, None);
        assert!(outcome.1.contains(words), "{words}: {outcome:?}");
    }
    assert_eq!(outcomes[11], (Some(true), ""));
}
