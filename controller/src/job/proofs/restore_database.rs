//! Samples of the restore job, and its verbs on scripted agents; and who may read which repository meanwhile.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{
    check::{CheckLimits, CheckOutcome},
    fleet::Engine as Server,
    link::StartTask,
    names::HostName,
    task::{
        DatabaseFacts, FailureKind, HeldContainers, ReceivedImage, ReleasedContainers,
        RestoredImage, Selection, TaskFailure, TaskResult, TaskSpec,
    },
};

use super::{
    agents::{Databases, Fault, SHELF_READ, failure},
    back_up_database, copy,
    harness::{Sample, World, catalog, eventually},
};
use crate::{
    backup_name,
    catalog::{BackupKind, BackupState, Catalog, NewBackup},
    check::Check,
    job::{
        JobId, JobSpec, JobState, RestoreDatabase,
        back_up_database::record::{BackupContents, CheckedThen},
        landing::dependents::Dependents,
    },
    objective::Scenario,
};

/// Its server is gone: only its backup is left.
const SOURCE: &str = "web-1/crm-db/crm";
const TARGET: &str = "web-2/shop-db/crm";
const ROWS: &str = "700 customers";
/// Uses the database.
const CONTAINER: &str = "web-2/container/shop-web";
const RUNNING: &str = "running";
const SNAPSHOT: &str = "5a00000000000000000000000000000000000000000000000000000000000001";
/// The first that a new catalog gets.
const BACKUP: u64 = 1;

/// The backup that the samples restore, in a new catalog.
pub async fn stock(catalog: &Catalog) {
    let source = SOURCE.parse().unwrap();
    let outcome = CheckOutcome {
        at: DateTime::<Utc>::UNIX_EPOCH,
        count: Some(5000),
        newest: None,
        error: String::new(),
    };
    let contents = BackupContents {
        format: 1,
        image: copy::manifest(ROWS),
        source: DatabaseFacts {
            exists: true,
            image: "postgres:17".to_owned(),
            ..copy::facts(&"web-1".parse().unwrap(), true)
        },
        selection: Selection::default(),
        checks: vec![CheckedThen {
            name: "customers".to_owned(),
            outcome,
        }],
    };
    let backup = NewBackup {
        database: SOURCE.parse().unwrap(),
        engine: Some(Server::Postgres),
        kind: BackupKind::Full,
        taken_at: contents.image.taken_at,
        stored_at: contents.image.taken_at,
        logical_bytes: 7,
        stored_bytes: 7,
        snapshot_id: SNAPSHOT.to_owned(),
        manifest: serde_json::to_value(&contents).unwrap(),
        job: None,
    };
    assert_eq!(catalog.add_backup(&backup).await.unwrap(), BACKUP);
    let check = Check {
        id: 0,
        database: source,
        name: "customers".to_owned(),
        count_sql: "select count(*) from customers".to_owned(),
        newest_sql: String::new(),
        limits: CheckLimits {
            min: Some(10),
            max: None,
            max_drop_percent: Some(10.0),
            max_age: None,
        },
        every: Duration::from_mins(1),
        timeout: Duration::from_secs(10),
    };
    let now = DateTime::<Utc>::UNIX_EPOCH;
    let put = catalog.put_check(&check, "operator/alice", now).await;
    put.unwrap();
}

pub fn samples() -> Vec<Sample> {
    let old = (TARGET.to_owned(), "what stood there".to_owned());
    let restored = (TARGET.to_owned(), ROWS.to_owned());
    let role = (copy::ROLE.to_owned(), copy::ORDINARY.to_owned());
    vec![
        Sample {
            name: "restore to a free name",
            spec: spec(|_| {}),
            before: Databases::new(),
            after: |_| {
                Databases::from([
                    (TARGET.into(), ROWS.into()),
                    (copy::ROLE.into(), copy::ORDINARY.into()),
                ])
            },
            swept: Databases::from([restored.clone(), role.clone()]),
            undone: |job| {
                Databases::from([
                    (beside("undone", job), ROWS.into()),
                    (copy::ROLE.into(), copy::ORDINARY.into()),
                ])
            },
            forgotten: Databases::from([role.clone()]),
        },
        Sample {
            name: "restore in the place of what stands there",
            spec: spec(|restore| restore.replace = true),
            before: Databases::from([old.clone()]),
            after: |job| {
                Databases::from([
                    (TARGET.into(), ROWS.into()),
                    (beside("before", job), "what stood there".into()),
                    (copy::ROLE.into(), copy::ORDINARY.into()),
                ])
            },
            swept: Databases::from([restored, role.clone()]),
            undone: |job| {
                Databases::from([
                    (TARGET.into(), "what stood there".into()),
                    (beside("undone", job), ROWS.into()),
                    (copy::ROLE.into(), copy::ORDINARY.into()),
                ])
            },
            forgotten: Databases::from([old.clone(), role]),
        },
        Sample {
            name: "dry run of a restore",
            spec: spec(|restore| {
                restore.dry_run = true;
                restore.replace = true;
            }),
            before: Databases::from([old.clone()]),
            after: |_| Databases::from([(TARGET.into(), "what stood there".into())]),
            swept: Databases::from([old.clone()]),
            undone: |_| unreachable!("it changes nothing"),
            forgotten: Databases::from([old.clone()]),
        },
        with_dependents(&old),
    ]
}

/// Whoever uses the database runs again, whatever becomes of the restore.
fn with_dependents(old: &(String, String)) -> Sample {
    let web = (CONTAINER.to_owned(), RUNNING.to_owned());
    let role = (copy::ROLE.to_owned(), copy::ORDINARY.to_owned());
    let restored = (TARGET.to_owned(), ROWS.to_owned());
    fn around(job: JobId, mark: &str, at_target: &str, beside_it: &str) -> Databases {
        Databases::from([
            (TARGET.into(), at_target.into()),
            (beside(mark, job), beside_it.into()),
            (copy::ROLE.into(), copy::ORDINARY.into()),
            (CONTAINER.into(), RUNNING.into()),
        ])
    }
    Sample {
        name: "restore in the place of what a container uses",
        spec: spec(|restore| {
            restore.replace = true;
            restore.dependents.stop = vec!["shop-web".to_owned()];
            restore.dependents.start = vec!["shop-web".to_owned()];
        }),
        before: Databases::from([old.clone(), web.clone()]),
        after: |job| around(job, "before", ROWS, "what stood there"),
        swept: Databases::from([restored, role.clone(), web.clone()]),
        undone: |job| around(job, "undone", "what stood there", ROWS),
        forgotten: Databases::from([old.clone(), role, web]),
    }
}

fn spec(change: fn(&mut RestoreDatabase)) -> JobSpec {
    let mut restore = RestoreDatabase {
        backup: BACKUP,
        source: SOURCE.parse().unwrap(),
        target: TARGET.parse().unwrap(),
        replace: false,
        keep: Duration::from_hours(24),
        dry_run: false,
        jobs: 0,
        tables: vec![],
        no_safety_backup: false,
        dependents: Dependents::default(),
    };
    change(&mut restore);
    JobSpec::RestoreDatabase(restore)
}

fn stopped_by(job: JobId) -> String {
    format!("stopped by {job}")
}

fn beside(mark: &str, job: JobId) -> String {
    format!("{TARGET}__{mark}_{job}")
}

pub fn verbs(
    databases: &mut Databases,
    host: &HostName,
    task: &StartTask,
) -> Result<TaskResult, TaskFailure> {
    let restore = match &task.spec {
        TaskSpec::RestoreImage(restore) => restore,
        TaskSpec::BackUpDatabase(_) => return back_up_database::verbs(databases, host, task),
        TaskSpec::HoldContainers(hold) => {
            assert_eq!((hold.volume.as_str(), hold.stop.len()), ("", 1));
            let web = databases.get_mut(CONTAINER);
            if let Some(web) = web.filter(|web| *web == RUNNING) {
                *web = stopped_by(task.job);
            }
            return Ok(TaskResult::HeldContainers(HeldContainers::default()));
        }
        TaskSpec::ReleaseContainers(_) => {
            let mine = stopped_by(task.job);
            let web = databases.get_mut(CONTAINER);
            if let Some(web) = web.filter(|web| **web == mine) {
                RUNNING.clone_into(web);
            }
            return Ok(TaskResult::ReleasedContainers(ReleasedContainers::default()));
        }
        TaskSpec::PublishDatabase(_) | TaskSpec::UnpublishDatabase(_)
            if databases.get(CONTAINER).is_some_and(|web| web == RUNNING) =>
        {
            return Err(failure(
                FailureKind::Refused,
                false,
                "a container writes to it",
            ));
        }
        _ => return copy::verbs(databases, host, task),
    };
    assert_eq!(
        (restore.repository.host.as_str(), restore.repository.job),
        ("web-1", task.job)
    );
    assert_eq!(restore.snapshot, SNAPSHOT);
    let staging = &restore.staging;
    let name = format!("{host}/{}/{}", staging.instance, staging.database);
    let Some(staging) = databases.get_mut(&name) else {
        return Err(failure(FailureKind::Invalid, false, "no staging database"));
    };
    ROWS.clone_into(staging);
    Ok(TaskResult::RestoredImage(restored(ROWS, ROWS)))
}

/// An image that the repository holds, and what came of it.
fn restored(stored: &str, found: &str) -> RestoredImage {
    let found = copy::manifest(found);
    RestoredImage {
        manifest: copy::manifest(stored),
        received: ReceivedImage {
            relations: found.relations,
            sequences: vec![],
            indexes: 0,
            constraints: 0,
            schema_hash: found.schema_hash,
            notices: vec![],
        },
        fetch_time: None,
        load_time: None,
        index_time: None,
    }
}

fn sample() -> Sample {
    samples().swap_remove(1)
}

/// It ends with nothing published, for this reason; the backup is judged as given.
async fn refused(verbs: super::agents::Verbs, because: &str, judged: BackupState) {
    let shared = catalog().await;
    let sample = sample();
    let world = World::new(&shared, verbs, &sample);
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    let ended = world.ended(job).await;
    assert_eq!(ended.state, JobState::Failed, "{}", world.context());
    assert!(ended.reason.contains(because), "{}", ended.reason);
    assert!(
        ended.advice.starts_with("nothing was published"),
        "{}",
        ended.advice
    );
    assert_eq!(world.agents.databases(), sample.before);
    let proof = running.engine.get(job).await.unwrap().report.proof;
    assert!(!proof.expect("a proof").green);
    let backup = shared.0.backup(BACKUP).await.unwrap().unwrap();
    assert_eq!(backup.state, judged);
}

#[tokio::test]
async fn what_is_not_what_was_backed_up_is_not_published() {
    fn lost_rows(
        databases: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(databases, host, task).map(|result| match result {
            TaskResult::RestoredImage(_) => {
                TaskResult::RestoredImage(restored(ROWS, "70 customers"))
            }
            other => other,
        })
    }
    // It may be the target that lost them.
    let because = "public.users has 12 rows instead of 13";
    refused(lost_rows, because, BackupState::Stored).await;
}

/// A host that finds what it fetches wrong is not taken at its word: the controller reads the backup itself.
#[tokio::test]
async fn what_a_host_cannot_restore_is_damaged_only_if_the_controller_finds_it_so() {
    let found = |faults: Vec<Fault>| async {
        let shared = catalog().await;
        let sample = sample();
        let world = World::new(&shared, verbs, &sample);
        faults
            .into_iter()
            .for_each(|fault| world.agents.fail(fault));
        let running = world.start(world.engine("a"));
        let job = world.submit(&running.engine).await;
        let ended = world.ended(job).await;
        assert_eq!(ended.state, JobState::Failed, "{}", world.context());
        assert_eq!(world.agents.databases(), sample.before);
        let backup = shared.0.backup(BACKUP).await.unwrap().unwrap();
        (backup.state, ended.reason)
    };
    let at = "transfer/do";
    let (state, reason) = found(vec![Fault::damage(at), Fault::damage(SHELF_READ)]).await;
    assert_eq!(state, BackupState::Damaged);
    assert!(reason.contains("backup 1 is damaged"), "{reason}");
    let (state, _) = found(vec![Fault::damage(at)]).await;
    assert_eq!(state, BackupState::Stored, "every byte was there");
    let away = Fault::passing(SHELF_READ, false, 1);
    let (state, reason) = found(vec![Fault::damage(at), away]).await;
    assert_eq!(state, BackupState::Stored, "nobody knows");
    assert!(reason.contains("is not known"), "{reason}");
    let (state, _) = found(vec![Fault::hopeless(at, false), Fault::damage(SHELF_READ)]).await;
    assert_eq!(
        state,
        BackupState::Stored,
        "another failure raises no suspicion"
    );
}

/// A repository that holds a whole and sound image, of another moment.
#[tokio::test]
async fn another_image_in_the_place_of_the_backup_s_is_not_published() {
    fn older(
        databases: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(databases, host, task).map(|result| match result {
            TaskResult::RestoredImage(_) => {
                let mut older = restored(ROWS, ROWS);
                older.manifest.taken_at -= TimeDelta::days(1);
                TaskResult::RestoredImage(older)
            }
            other => other,
        })
    }
    refused(older, "holds another image", BackupState::Damaged).await;
}

#[tokio::test]
async fn a_count_that_fell_is_not_published() {
    fn fell(
        databases: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(databases, host, task).map(|result| match result {
            TaskResult::CheckOutcome(outcome) => TaskResult::CheckOutcome(CheckOutcome {
                count: Some(14),
                ..outcome
            }),
            other => other,
        })
    }
    refused(fell, "check customers does not hold", BackupState::Stored).await;
}

/// Let in while the job runs, and nobody else; shut out with its end, whatever the end.
#[tokio::test]
async fn the_target_s_host_reads_the_repository_for_as_long_as_the_job_runs() {
    let shared = catalog().await;
    let host = |name: &str| -> HostName { name.parse().unwrap() };
    let (reader, owner, other) = (host("web-2"), host("web-1"), host("web-3"));
    let may = |job, who| shared.0.may_read(job, who, &owner);
    let world = World::new(&shared, verbs, &sample());
    world.agents.hang("transfer/do");
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    eventually("it is let in", || async {
        may(job, &reader).await.unwrap().then_some(())
    })
    .await;
    assert!(!may(job, &other).await.unwrap());
    assert!(!may(job + 1, &reader).await.unwrap());
    running.engine.cancel(job, "operator/bob").await.unwrap();
    assert_eq!(world.state(job).await, JobState::Cancelled);
    assert!(!may(job, &reader).await.unwrap());
    // It would take the next jobs too.
    running.stop().await;

    for failing in [false, true] {
        let world = World::new(&shared, verbs, &sample());
        if failing {
            world.agents.fail(Fault::hopeless("publish/do", false));
        }
        let running = world.start(world.engine("a"));
        let job = world.submit(&running.engine).await;
        let expected = if failing {
            JobState::Failed
        } else {
            JobState::Succeeded
        };
        assert_eq!(world.state(job).await, expected, "{}", world.context());
        assert!(!may(job, &reader).await.unwrap());
        if !failing {
            // An undo reopens the job, not the repository.
            running.engine.undo(job, "operator/bob").await.unwrap();
            assert_eq!(world.state(job).await, JobState::Undone);
            assert!(!may(job, &reader).await.unwrap());
        }
        let (rows,): (i64,) = sqlx::query_as("select count(*) from repository_reader")
            .fetch_one(&shared.0.pool)
            .await
            .unwrap();
        assert_eq!(rows, 0);
    }
}

/// Retention asks whose locks name it.
#[tokio::test]
async fn a_backup_that_is_being_restored_is_kept_for_the_job() {
    let shared = catalog().await;
    let world = World::new(&shared, verbs, &sample());
    world.agents.hang("transfer/do");
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    let read = world.catalog.backup_readers().await.unwrap();
    assert_eq!(read, [(BACKUP, job)]);
    running.engine.cancel(job, "operator/bob").await.unwrap();
    assert_eq!(world.state(job).await, JobState::Cancelled);
    assert_eq!(world.catalog.backup_readers().await.unwrap(), []);
}

#[tokio::test]
async fn what_is_replaced_is_backed_up_first_and_that_backup_is_never_the_latest() {
    let shared = catalog().await;
    let world = World::new(&shared, verbs, &sample());
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Succeeded);
    running.engine.undo(job, "operator/bob").await.unwrap();
    assert_eq!(world.state(job).await, JobState::Undone);
    let target = TARGET.parse().unwrap();
    let [saved] = &world.catalog.backups_of(&target).await.unwrap()[..] else {
        panic!("one backup, also after the undo");
    };
    let seen = (saved.kind, saved.state, saved.job);
    assert_eq!(
        seen,
        (BackupKind::BeforeReplace, BackupState::Stored, Some(job))
    );
    let contents = world.catalog.backup_manifest(saved.id).await.unwrap();
    let contents: BackupContents = serde_json::from_value(contents.unwrap()).unwrap();
    assert_eq!(contents.image, copy::manifest("what stood there"));
    let latest = format!("{TARGET}@latest").parse().unwrap();
    let latest = backup_name::find(&shared.0, &latest).await;
    assert!(latest.is_err(), "{latest:?}");
}

#[tokio::test]
async fn what_cannot_be_backed_up_is_replaced_only_by_the_operator_s_word() {
    let shared = catalog().await;
    let mut sample = sample();
    for without in [false, true] {
        if let JobSpec::RestoreDatabase(restore) = &mut sample.spec {
            restore.no_safety_backup = without;
        }
        let world = World::new(&shared, verbs, &sample);
        world.agents.fail(Fault::hopeless("safety.store/do", false));
        let running = world.start(world.engine("a"));
        let job = world.submit(&running.engine).await;
        let ended = world.ended(job).await;
        if without {
            assert_eq!(ended.state, JobState::Succeeded, "{}", world.context());
        } else {
            assert_eq!(ended.state, JobState::Failed);
            let reason = "which is to be replaced, cannot be backed up first";
            assert!(ended.reason.contains(reason), "{}", ended.reason);
            assert!(ended.advice.contains("--no-safety-backup"), "{ended:?}");
            assert_eq!(world.agents.databases(), sample.before);
        }
        running.stop().await;
    }
}

/// Before anything is touched, and with every answer.
#[tokio::test]
async fn a_backup_that_is_gone_ends_in_the_preflight() {
    let shared = catalog().await;
    let mut sample = sample();
    if let JobSpec::RestoreDatabase(restore) = &mut sample.spec {
        restore.backup = 99;
    }
    let world = World::new(&shared, verbs, &sample);
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    let ended = world.ended(job).await;
    assert_eq!(ended.state, JobState::Failed);
    assert!(ended.reason.contains("there is no backup 99"), "{ended:?}");
    assert_eq!(world.agents.worked(), ["preflight.target/do"]);
}

#[tokio::test]
async fn what_a_whole_recovery_took_is_noted_and_stays_when_it_is_undone() {
    fn measured(
        databases: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(databases, host, task).map(|result| match result {
            TaskResult::RestoredImage(restored) => TaskResult::RestoredImage(RestoredImage {
                fetch_time: Some(Duration::from_secs(3)),
                load_time: Some(Duration::from_secs(5)),
                index_time: Some(Duration::from_secs(7)),
                ..restored
            }),
            other => other,
        })
    }
    let shared = catalog().await;
    let mut some_tables = samples().swap_remove(0);
    if let JobSpec::RestoreDatabase(restore) = &mut some_tables.spec {
        restore.tables = vec!["users".to_owned()];
    }
    // Neither is a recovery: some of the tables, a look ahead.
    for sample in [some_tables, samples().swap_remove(2)] {
        let world = World::new(&shared, measured, &sample);
        let running = world.start(world.engine("a"));
        let job = world.submit(&running.engine).await;
        assert_eq!(world.state(job).await, JobState::Succeeded);
        running.stop().await;
        assert_eq!(shared.0.recoveries().await.unwrap(), []);
    }
    let world = World::new(&shared, measured, &sample());
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Succeeded);
    running.engine.undo(job, "operator/bob").await.unwrap();
    assert_eq!(world.state(job).await, JobState::Undone);
    let all = shared.0.recoveries().await.unwrap();
    let [recovery] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!(recovery.database, SOURCE.parse().unwrap());
    assert_eq!(recovery.scenario, Scenario::Restore);
    assert!(recovery.passed);
    assert_eq!((recovery.backup, recovery.job), (Some(BACKUP), Some(job)));
    let parts = [recovery.fetch, recovery.restore, recovery.index];
    assert_eq!(parts.map(|part| part.as_secs()), [3, 5, 7]);
    assert!(recovery.rpo.is_some());
}
