//! Samples of the backup job, and its verbs on scripted agents; and what stands in the catalog after it.

use holdfast_proto::{
    link::StartTask,
    names::HostName,
    task::{BackedUpDatabase, FailureKind, Selection, TaskFailure, TaskResult, TaskSpec},
};

use super::{
    agents::{Databases, Fault, failure},
    copy,
    harness::{Sample, World, catalog},
};
use crate::{
    catalog::{BackupKind, BackupState},
    job::{BackUpDatabase, JobSpec, JobState, back_up_database::record::BackupContents},
};

const SOURCE: &str = "web-1/shop-db/shop";
const ROWS: &str = "5000 users";

pub fn samples() -> Vec<Sample> {
    let world = || Databases::from([(SOURCE.to_owned(), ROWS.to_owned())]);
    vec![Sample {
        name: "backup",
        spec: JobSpec::BackUpDatabase(BackUpDatabase {
            source: SOURCE.parse().unwrap(),
            selection: Selection::default(),
            jobs: 0,
            bandwidth: 0,
            is_safety: false,
        }),
        before: world(),
        after: |_| Databases::from([(SOURCE.to_owned(), ROWS.to_owned())]),
        swept: world(),
        undone: |_| unreachable!("there is nothing to undo after success"),
        forgotten: world(),
    }]
}

pub fn verbs(
    databases: &mut Databases,
    host: &HostName,
    task: &StartTask,
) -> Result<TaskResult, TaskFailure> {
    let TaskSpec::BackUpDatabase(backup) = &task.spec else {
        return copy::verbs(databases, host, task);
    };
    let source = &backup.source;
    let name = format!("{host}/{}/{}", source.instance, source.database);
    match databases.get(&name) {
        Some(content) => Ok(TaskResult::BackedUpDatabase(BackedUpDatabase {
            manifest: copy::manifest(content),
            snapshot: format!("{:064x}", task.job),
            added_bytes: 7,
        })),
        None => Err(failure(FailureKind::Invalid, false, "no source")),
    }
}

#[tokio::test]
async fn a_backup_that_succeeded_stands_in_the_catalog_and_no_other() {
    let shared = catalog().await;
    let [sample] = &samples()[..] else {
        panic!("one sample");
    };
    let world = World::new(&shared, verbs, sample);
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Succeeded);
    let source = SOURCE.parse().unwrap();
    let [backup] = &world.catalog.backups_of(&source).await.unwrap()[..] else {
        panic!("one backup");
    };
    assert_eq!(backup.database.to_string(), SOURCE);
    assert_eq!(
        (backup.kind, backup.state),
        (BackupKind::Full, BackupState::Stored)
    );
    assert_eq!((backup.job, backup.stored_bytes), (Some(job), 7));
    let contents = world.catalog.backup_manifest(backup.id).await.unwrap();
    let contents: BackupContents = serde_json::from_value(contents.unwrap()).unwrap();
    assert_eq!(contents.image, copy::manifest(ROWS));
    assert_eq!(contents.source.server_version, "17.6");
    running.stop().await;

    // Its last step failed after it had done its work: the row is taken back.
    let world = World::new(&shared, verbs, sample);
    world.agents.fail(Fault::hopeless("store/do", true));
    let running = world.start(world.engine("a"));
    let failed = world.submit(&running.engine).await;
    assert_eq!(world.state(failed).await, JobState::Failed);
    let listed = world.catalog.backups_of(&source).await.unwrap();
    assert!(
        listed.iter().all(|backup| backup.job == Some(job)),
        "{listed:?}"
    );
}
