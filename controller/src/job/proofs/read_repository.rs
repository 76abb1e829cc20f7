//! The off-site drill in scripted repositories: what is found of each backup, and what is known of it afterwards.

use std::collections::BTreeMap;

use holdfast_proto::{
    drill::{DrillReport, RungName, RungOutcome, Verdict},
    fleet::Engine as Server,
    link::StartTask,
    names::HostName,
    task::{DatabaseFacts, FailureKind, Selection, TaskFailure, TaskResult},
};

use super::{
    agents::{Databases, Fault, failure},
    harness::{Sample, World, catalog},
    image_of,
};
use crate::{
    catalog::{BackupId, BackupKind, BackupState, Catalog, NewBackup},
    job::{
        JobSpec, JobState, ReadRepository,
        back_up_database::record::BackupContents,
        shelf::{
            ReadWhole,
            whole::{Held, StoredImage},
        },
    },
};

const BACKUP: BackupId = 3;
const ROWS: &str = "70 orders";
const SNAPSHOT: &str = "web-6/snapshot/f00d";
const TORN: &str = "torn";

/// A backup on a host that no other kind works on.
pub async fn stock(catalog: &Catalog) {
    let contents = BackupContents {
        format: 1,
        image: image_of(ROWS),
        source: DatabaseFacts::default(),
        selection: Selection::default(),
        checks: vec![],
    };
    let backup = NewBackup {
        database: "web-6/crm-db/crm".parse().unwrap(),
        engine: Some(Server::Postgres),
        kind: BackupKind::Full,
        taken_at: contents.image.taken_at,
        stored_at: contents.image.taken_at,
        logical_bytes: 7,
        stored_bytes: 7,
        snapshot_id: "f00d".to_owned(),
        manifest: serde_json::to_value(&contents).unwrap(),
        job: None,
    };
    assert_eq!(catalog.add_backup(&backup).await.unwrap(), BACKUP);
}

fn world(content: &str) -> Databases {
    Databases::from([(SNAPSHOT.to_owned(), content.to_owned())])
}

pub fn samples() -> Vec<Sample> {
    vec![Sample {
        name: "read a repository",
        spec: JobSpec::ReadRepository(ReadRepository {
            host: "web-6".parse().unwrap(),
        }),
        before: world(ROWS),
        after: |_| world(ROWS),
        swept: world(ROWS),
        undone: |_| unreachable!("it leaves nothing"),
        forgotten: world(ROWS),
    }]
}

pub fn verbs(_: &mut Databases, _: &HostName, _: &StartTask) -> Result<TaskResult, TaskFailure> {
    Err(failure(FailureKind::Invalid, false, "no agent takes part"))
}

/// Every snapshot of the host in the world: an image of what stands there.
pub fn found(world: &Databases, host: &HostName) -> ReadWhole {
    let prefix = format!("{host}/snapshot/");
    let snapshots: BTreeMap<_, _> = world
        .iter()
        .filter_map(|(name, content)| Some((name.strip_prefix(&prefix)?, content)))
        .map(|(name, content)| {
            let held = Held {
                damage: (content == TORN).then(|| "data/ab is gone".to_owned()),
                image: Ok(StoredImage::Database(Box::new(image_of(content)))),
            };
            (name.to_owned(), held)
        })
        .collect();
    let torn = world.values().any(|content| content == TORN);
    ReadWhole {
        objects: 7,
        bytes: 700,
        damage: torn
            .then(|| "data/ab is gone".to_owned())
            .into_iter()
            .collect(),
        snapshots,
    }
}

async fn drilled(content: Databases, fault: Option<Fault>) -> (JobState, DrillReport, BackupState) {
    let shared = catalog().await;
    let mut sample = samples().swap_remove(0);
    sample.before = content;
    let world = World::new(&shared, verbs, &sample);
    if let Some(fault) = fault {
        world.agents.fail(fault);
    }
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    let state = world.state(job).await;
    let drill = shared.0.drill_of_job(job).await.unwrap().expect("a drill");
    let text = shared.0.drill_report(drill.id).await.unwrap().unwrap();
    let report: DrillReport = serde_json::from_str(&text).unwrap();
    assert_eq!(report.verdict, drill.ended.expect("its end").verdict);
    assert_eq!(
        shared.0.recoveries().await.unwrap(),
        [],
        "nothing recovered"
    );
    let backup = shared.0.backup(BACKUP).await.unwrap().unwrap();
    (state, report, backup.state)
}

#[tokio::test]
async fn what_reads_as_it_was_stored_is_checked() {
    let (state, report, backup) = drilled(world(ROWS), None).await;
    assert_eq!(
        (state, report.verdict, backup),
        (JobState::Succeeded, Verdict::Proven, BackupState::Checked)
    );
    let part = &report.parts[0];
    assert_eq!((part.backup, part.outcome), (BACKUP, RungOutcome::Passed));
    assert_eq!((report.subject.as_str(), report.backup), ("web-6", None));
}

#[tokio::test]
async fn each_kind_of_damage_is_told_and_noted_of_the_backup() {
    for (content, rung) in [
        (world(TORN), RungName::Repository),
        (Databases::new(), RungName::Snapshots),
        (world("69 orders"), RungName::Manifests),
    ] {
        let (state, report, backup) = drilled(content, None).await;
        assert_eq!(
            (state, report.verdict, backup),
            (JobState::Failed, Verdict::Damaged, BackupState::Damaged)
        );
        assert_eq!(report.broken, Some(rung), "{report:?}");
        assert_eq!(report.parts[0].outcome, RungOutcome::Failed);
    }
}

#[tokio::test]
async fn a_storage_that_does_not_answer_is_no_damage() {
    let away = Fault::hopeless("read.read/do", false);
    let (state, report, backup) = drilled(world(TORN), Some(away)).await;
    assert_eq!(
        (state, report.verdict, backup),
        (JobState::Failed, Verdict::CouldNotRun, BackupState::Stored)
    );
    assert!(report.reason.contains("scripted"), "{report:?}");
}
