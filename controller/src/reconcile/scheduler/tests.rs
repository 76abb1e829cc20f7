//! Two schedulers, one catalog: each moment is served once, whoever looks, and whoever dies.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use chrono::TimeDelta;
use holdfast_chassis::clock::ManualClock;
use holdfast_proto::{
    fleet::{Database, Engine, HostSnapshot, Instance},
    link::Hello,
};

use super::*;
use crate::{catalog::testing::TestCatalog, job::locks::Resource};

mod hosts;
mod pruning;
mod volumes;

/// Submits rows that nobody works on.
#[derive(Debug)]
struct Submits {
    catalog: Catalog,
    /// Every call: the database or the host, the work, and who asked.
    calls: Mutex<Vec<(String, Work, String)>>,
    /// Hosts whose repositories were to be pruned.
    prunes: Mutex<Vec<String>>,
    /// It dies after the job is there, before anybody hears of it.
    dies: bool,
}

impl Submits {
    fn new(catalog: &Catalog, dies: bool) -> Arc<Self> {
        Arc::new(Self {
            catalog: catalog.clone(),
            calls: Mutex::default(),
            prunes: Mutex::default(),
            dies,
        })
    }

    fn calls(&self) -> Vec<(String, Work, String)> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn prunes(&self) -> Vec<String> {
        self.prunes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn submit(&self, of: &str, work: Work, by: &str) -> Result<JobId, NotStarted> {
        let call = (of.to_owned(), work, by.to_owned());
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
        let (job,): (i64,) = sqlx::query_as(
            "insert into job (kind, spec, title, requested_by, created_at, state, summary)
             values ('x', '{}', 'x', $1, now(), 'running', '{}') returning id",
        )
        .bind(by)
        .fetch_one(&self.catalog.pool)
        .await
        .unwrap();
        if self.dies {
            std::future::pending::<()>().await;
        }
        Ok(job.cast_unsigned())
    }
}

#[async_trait]
impl Start for Submits {
    async fn backup(&self, database: &DatabaseName, by: &str) -> Result<JobId, NotStarted> {
        self.submit(&database.database, Work::Backup, by).await
    }

    async fn drill(&self, database: &DatabaseName, by: &str) -> Result<JobId, NotStarted> {
        self.submit(&database.database, Work::Drill, by).await
    }

    async fn rebuild(&self, host: &HostName, by: &str) -> Result<JobId, NotStarted> {
        self.submit(host.as_str(), Work::Rebuild, by).await
    }

    async fn offsite(&self, host: &HostName, by: &str) -> Result<JobId, NotStarted> {
        self.submit(host.as_str(), Work::Offsite, by).await
    }

    async fn prune(&self, host: &HostName, by: &str) -> Result<JobId, NotStarted> {
        assert_eq!(by, "schedule");
        let repository = Resource::Repository(host.clone()).to_string();
        self.prunes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(host.to_string());
        let (job,): (i64,) = sqlx::query_as(
            "with job as (insert into job (kind, spec, title, requested_by, created_at, state, summary)
                values ('x', '{}', 'x', $1, now(), 'running', '{}') returning id),
             wish as (insert into resource_lock (job, resource, exclusive, wanted_at)
                select id, $2, true, now() from job)
             select id from job",
        )
        .bind(by)
        .bind(repository)
        .fetch_one(&self.catalog.pool)
        .await
        .unwrap();
        Ok(job.cast_unsigned())
    }
}

fn hello() -> Hello {
    Hello {
        host: "web-1".to_owned(),
        agent_version: String::new(),
        run_id: String::new(),
        started_at: DateTime::UNIX_EPOCH,
        peer_addresses: vec![],
        operating_system: String::new(),
        kernel: String::new(),
        cpus: 1,
        memory_bytes: 1,
        tasks: vec![],
    }
}

fn instance(databases: &[&str]) -> Instance {
    let database = |name: &&str| Database {
        name: (*name).to_owned(),
        owner: String::new(),
        size_bytes: 1,
        encoding: String::new(),
        collation: String::new(),
        allows_connections: true,
        is_template: false,
    };
    let mut instance = crate::detect::tests::healthy("shop-db");
    instance.engine = Engine::Postgres;
    if let Some(health) = &mut instance.health {
        health.databases = databases.iter().map(database).collect();
    }
    instance
}

/// A fleet of one host with these databases, known to the catalog as well.
async fn fleet(catalog: &Catalog, databases: &[&str]) -> Fleet {
    let name = "web-1".parse().unwrap();
    sqlx::query(
        "insert into host (name, enrolled_at) values ('web-1', now()) on conflict do nothing",
    )
    .execute(&catalog.pool)
    .await
    .unwrap();
    let (fleet, now) = (Fleet::default(), catalog.clock.now());
    fleet.enrolled(&name, now);
    fleet.connected(&name, &hello(), now);
    let snapshot = HostSnapshot {
        instances: vec![instance(databases)],
        ..HostSnapshot::default()
    };
    fleet.snapshot(&name, snapshot, now);
    fleet
}

fn scheduler(catalog: &Catalog, fleet: &Fleet, start: &Arc<Submits>) -> Scheduler {
    Scheduler::new(
        catalog.clone(),
        fleet.clone(),
        start.clone() as Arc<dyn Start>,
    )
}

async fn end_jobs(catalog: &Catalog, state: &str) {
    sqlx::query("update job set state = $1, ended_at = $2 where ended_at is null")
        .bind(state)
        .bind(catalog.clock.now())
        .execute(&catalog.pool)
        .await
        .unwrap();
}

fn clock() -> ManualClock {
    ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap())
}

#[tokio::test]
async fn a_database_that_is_found_is_backed_up_within_half_an_hour_and_then_each_day() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = fleet(&catalog, &["shop"]).await;
    let start = Submits::new(&catalog, false);
    let scheduler = scheduler(&catalog, &fleet, &start);
    assert_eq!(scheduler.pass().await.unwrap(), []);
    clock.advance(Duration::from_mins(31));
    let begun = scheduler.pass().await.unwrap();
    assert_eq!(begun.len(), 1);
    assert_eq!(
        (begun[0].of.to_string().as_str(), begun[0].work),
        ("web-1/shop-db/shop", Work::Backup)
    );
    // It runs: nothing more begins, however late it gets.
    clock.advance(Duration::from_hours(40));
    assert_eq!(scheduler.pass().await.unwrap(), []);
    end_jobs(&catalog, "succeeded").await;
    // Two moments have passed meanwhile; they are caught up by one.
    assert_eq!(scheduler.pass().await.unwrap().len(), 1);
    end_jobs(&catalog, "succeeded").await;
    assert_eq!(scheduler.pass().await.unwrap(), []);
    assert_eq!(start.calls().len(), 2);
}

#[tokio::test]
async fn two_schedulers_at_once_start_each_moment_once() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let names: Vec<String> = (0..6).map(|number| format!("db{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fleet = fleet(&catalog, &names).await;
    let start = Submits::new(&catalog, false);
    let (one, other) = (
        scheduler(&catalog, &fleet, &start),
        scheduler(&catalog, &fleet, &start),
    );
    one.pass().await.unwrap();
    for _ in 0..8 {
        clock.advance(Duration::from_mins(31));
        let (a, b, c, d) = tokio::join!(one.pass(), other.pass(), one.pass(), other.pass());
        for begun in [a, b, c, d] {
            // Two at once on a host, in each look.
            assert!(begun.unwrap().len() <= 2);
        }
        end_jobs(&catalog, "succeeded").await;
    }
    let called: Vec<_> = start.calls().into_iter().map(|(name, ..)| name).collect();
    let distinct: BTreeSet<_> = called.iter().map(String::as_str).collect();
    assert_eq!((called.len(), distinct), (6, names.into_iter().collect()));
}

/// Without the lead, as if two controllers each had one: the claim alone keeps it to one run.
#[tokio::test]
async fn two_that_both_believe_to_lead_start_each_moment_once() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = fleet(&catalog, &["shop"]).await;
    let hosts: Vec<HostFacts> = fleet
        .hosts()
        .iter()
        .map(|h| HostFacts::from(&**h))
        .collect();
    let start = Submits::new(&catalog, false);
    let (one, other) = (
        scheduler(&catalog, &fleet, &start),
        scheduler(&catalog, &fleet, &start),
    );
    one.lead(&hosts).await.unwrap();
    clock.advance(Duration::from_mins(31));
    let (a, b) = tokio::join!(one.lead(&hosts), other.lead(&hosts));
    assert_eq!(a.unwrap().len() + b.unwrap().len(), 1);
    assert_eq!(start.calls().len(), 1);
}

#[tokio::test]
async fn a_controller_that_dies_after_it_submitted_leaves_no_second_run() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = fleet(&catalog, &["shop"]).await;
    let dies = Submits::new(&catalog, true);
    let first = scheduler(&catalog, &fleet, &dies);
    first.pass().await.unwrap();
    clock.advance(Duration::from_mins(31));
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::select! {
            _ = first.pass() => unreachable!("it dies"),
            () = async {
                while sqlx::query("select from job").fetch_all(&catalog.pool).await.unwrap().is_empty() {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
    });
    ended.await.expect("the job is submitted");
    // Long after: it would look lost if nobody found its job.
    clock.advance(Duration::from_hours(1));
    let lives = Submits::new(&catalog, false);
    let second = scheduler(&catalog, &fleet, &lives);
    eventually_leads(&second).await;
    assert_eq!(lives.calls(), []);
    let runs = catalog.scheduled_runs().await.unwrap();
    assert_eq!(runs.len(), 1);
    assert!(runs[0].job.is_some());
}

/// The lead of a pass that was dropped is free when its connection has rolled back.
async fn eventually_leads(scheduler: &Scheduler) {
    let leads = async {
        loop {
            if let Some(lead) = scheduler.catalog.lead(SCHEDULING).await.unwrap() {
                lead.give_back().await.unwrap();
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), leads)
        .await
        .expect("the lead is free");
    assert_eq!(scheduler.pass().await.unwrap(), []);
}

#[tokio::test]
async fn a_drill_is_started_once_there_is_a_backup_and_its_host_is_there() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = fleet(&catalog, &["shop"]).await;
    let start = Submits::new(&catalog, false);
    let scheduler = scheduler(&catalog, &fleet, &start);
    scheduler.pass().await.unwrap();
    let new = crate::catalog::NewBackup {
        database: "web-1/shop-db/shop".parse().unwrap(),
        engine: Some(Engine::Postgres),
        kind: crate::catalog::BackupKind::Full,
        taken_at: clock_now(&catalog),
        stored_at: clock_now(&catalog),
        logical_bytes: 1,
        stored_bytes: 1,
        snapshot_id: "a".to_owned(),
        manifest: serde_json::json!({}),
        job: None,
    };
    catalog.add_backup(&new).await.unwrap();
    clock.advance(Duration::from_hours(30));
    let drills = || {
        let calls = start.calls().into_iter();
        calls.filter(|(_, work, _)| *work == Work::Drill).count()
    };
    assert_eq!(drills(), 0, "the first one waits for its moment");
    scheduler.pass().await.unwrap();
    assert_eq!(drills(), 1);
    scheduler.pass().await.unwrap();
    assert_eq!(drills(), 1, "it runs");
    // A host that is away holds it up, with the reason.
    let now = clock_now(&catalog);
    let mut gathered = gather(&catalog).await.unwrap();
    gathered.runs.clear();
    let standing = stand(&gathered, &[], now);
    let mut work = standing.databases[0].work.iter();
    let drill = work.find(|decision| decision.work == Work::Drill).unwrap();
    let held =
        matches!(&drill.verdict, Verdict::Held { by, .. } if by.contains("web-1 is not connected"));
    assert!(held, "{drill:?}");
}

#[tokio::test]
async fn what_somebody_deleted_stays_marked_and_its_newest_is_unmarked() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = fleet(&catalog, &["shop"]).await;
    let start = Submits::new(&catalog, false);
    let scheduler = scheduler(&catalog, &fleet, &start);
    scheduler.pass().await.unwrap();
    let mut ids = Vec::new();
    for (snapshot, hours) in [("a", 3), ("b", 2), ("c", 1)] {
        let taken_at = clock_now(&catalog) - TimeDelta::hours(hours);
        let new = crate::catalog::NewBackup {
            database: "web-1/shop-db/shop".parse().unwrap(),
            engine: Some(Engine::Postgres),
            kind: crate::catalog::BackupKind::Full,
            taken_at,
            stored_at: taken_at,
            logical_bytes: 1,
            stored_bytes: 1,
            snapshot_id: snapshot.to_owned(),
            manifest: serde_json::json!({}),
            job: None,
        };
        ids.push(catalog.add_backup(&new).await.unwrap());
    }
    let deletion = |forced| crate::retention::Deletion {
        by: "operator/ann".to_owned(),
        forced,
    };
    let marked = async |id| {
        catalog
            .backup(id)
            .await
            .unwrap()
            .unwrap()
            .marked_at
            .is_some()
    };
    let now = clock_now(&catalog);
    assert!(
        catalog
            .delete_backup(ids[0], &deletion(false), now)
            .await
            .unwrap()
    );
    assert!(
        catalog
            .delete_backup(ids[2], &deletion(true), now)
            .await
            .unwrap()
    );
    scheduler.pass().await.unwrap();
    assert_eq!(
        (
            marked(ids[0]).await,
            marked(ids[1]).await,
            marked(ids[2]).await
        ),
        (true, false, true)
    );
    // The one that is left is asked away too, without force: as the newest it stays, and its mark goes.
    assert!(
        catalog
            .delete_backup(ids[1], &deletion(false), now)
            .await
            .unwrap()
    );
    scheduler.pass().await.unwrap();
    assert!(!marked(ids[1]).await);
    assert!(catalog.pin_backup(ids[2], true).await.unwrap());
    let pinned = catalog.backup(ids[2]).await.unwrap().unwrap();
    assert_eq!((pinned.marked_at, pinned.deletion), (None, None));
    assert!(
        !catalog
            .delete_backup(ids[2], &deletion(true), now)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn what_fails_is_tried_again_after_a_pause_and_what_is_not_protected_never() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let set = crate::policy::file::read(
        "policies: [{name: none, select: {name: scratch}, protect: false, reason: made anew}]",
    );
    catalog
        .apply_policies(&set.unwrap(), 0, "operator/ann", clock_now(&catalog))
        .await
        .unwrap();
    let fleet = fleet(&catalog, &["shop", "scratch", "shop__staging_7"]).await;
    let start = Submits::new(&catalog, false);
    let scheduler = scheduler(&catalog, &fleet, &start);
    scheduler.pass().await.unwrap();
    clock.advance(Duration::from_mins(31));
    assert_eq!(scheduler.pass().await.unwrap().len(), 1);
    end_jobs(&catalog, "failed").await;
    clock.advance(Duration::from_mins(14));
    assert_eq!(scheduler.pass().await.unwrap(), []);
    clock.advance(Duration::from_mins(2));
    assert_eq!(scheduler.pass().await.unwrap().len(), 1);
    let names: BTreeSet<_> = start.calls().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, BTreeSet::from(["shop".to_owned()]));
}

#[tokio::test]
async fn a_host_that_is_away_holds_its_databases_which_stay_known() {
    let clock = clock();
    let catalog = TestCatalog::with_clock(clock.shared()).await;
    let fleet = fleet(&catalog, &["shop"]).await;
    let start = Submits::new(&catalog, false);
    let scheduler = scheduler(&catalog, &fleet, &start);
    scheduler.pass().await.unwrap();
    fleet.disconnected(&"web-1".parse().unwrap());
    clock.advance(Duration::from_hours(30));
    assert_eq!(scheduler.pass().await.unwrap(), []);
    let hosts: Vec<HostFacts> = fleet
        .hosts()
        .iter()
        .map(|h| HostFacts::from(&**h))
        .collect();
    let standing = stand(
        &gather(&catalog).await.unwrap(),
        &hosts,
        clock_now(&catalog),
    );
    let seen = crate::detect::schedule_late::look(
        &crate::detect::Facts {
            protection: standing.databases.clone(),
            ..Default::default()
        },
        clock_now(&catalog),
    );
    assert!(
        seen[0].message.ends_with("web-1 is not connected"),
        "{seen:?}"
    );
    let facts = crate::detect::Facts {
        protection: standing.databases,
        ..Default::default()
    };
    let missing = crate::detect::no_fresh_backup::look(&facts, clock_now(&catalog));
    assert_eq!(
        missing[0].message,
        "web-1/shop-db/shop has no good backup at all"
    );
    // It comes back without the database: that was dropped.
    let name = "web-1".parse().unwrap();
    fleet.connected(&name, &hello(), clock_now(&catalog));
    let snapshot = HostSnapshot {
        instances: vec![instance(&["other"])],
        ..HostSnapshot::default()
    };
    fleet.snapshot(&name, snapshot, clock_now(&catalog));
    scheduler.pass().await.unwrap();
    let known: Vec<_> = catalog.known_databases().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].subject.database.database, "other");
    assert!(clock_now(&catalog) - known[0].since < TimeDelta::seconds(1));
}

fn clock_now(catalog: &Catalog) -> DateTime<Utc> {
    catalog.clock.now()
}
