//! Samples of the drill job, its verbs on scripted agents, and what it says of backups.

use holdfast_proto::{
    drill::{RungName, RungOutcome, Verdict},
    link::StartTask,
    names::HostName,
    task::{
        ExaminedDatabase, FailureKind, RemovedSandbox, SandboxLimits, StartedSandbox, TaskFailure,
        TaskResult, TaskSpec,
    },
};

use super::{
    agents::{Databases, Fault, Verbs, failure},
    harness::{Sample, World, catalog},
    restore_database,
};
use crate::{
    catalog::BackupState,
    job::{DrillBackup, JobId, JobSpec, JobState},
};

fn sandbox(host: &HostName, job: JobId) -> String {
    format!("{host}/holdfast-sandbox-{job}")
}

pub fn samples() -> Vec<Sample> {
    vec![Sample {
        name: "drill on another host",
        spec: JobSpec::DrillBackup(DrillBackup {
            backup: 1,
            source: "web-1/crm-db/crm".parse().unwrap(),
            host: "web-2".parse().unwrap(),
            image: String::new(),
        }),
        before: Databases::new(),
        after: |_| Databases::new(),
        swept: Databases::new(),
        undone: |_| unreachable!("it leaves nothing"),
        forgotten: Databases::new(),
    }]
}

pub fn verbs(
    databases: &mut Databases,
    host: &HostName,
    task: &StartTask,
) -> Result<TaskResult, TaskFailure> {
    let own = sandbox(host, task.job);
    match &task.spec {
        TaskSpec::StartSandbox(start) => {
            assert_eq!((start.image.as_str(), start.job), ("postgres:17", task.job));
            if !start.look_only {
                databases
                    .entry(own)
                    .or_insert_with(|| "a server".to_owned());
            }
            Ok(TaskResult::StartedSandbox(StartedSandbox {
                instance: format!("holdfast-sandbox-{}", task.job),
                image_id: "sha256:1".to_owned(),
                limits: SandboxLimits::default(),
            }))
        }
        TaskSpec::RemoveSandbox(remove) => {
            assert_eq!(remove.job, task.job);
            let existed = databases.contains_key(&own);
            databases.retain(|name, _| !name.starts_with(&own));
            Ok(TaskResult::RemovedSandbox(RemovedSandbox { existed }))
        }
        TaskSpec::ExamineDatabase(examine) => {
            let name = format!(
                "{host}/{}/{}",
                examine.target.instance, examine.target.database
            );
            if !databases.contains_key(&name) {
                return Err(failure(FailureKind::Invalid, false, "nothing to examine"));
            }
            Ok(TaskResult::ExaminedDatabase(ExaminedDatabase::default()))
        }
        // Every other verb works in the throwaway server, while it stands.
        _ if !databases.contains_key(&own) => Err(failure(
            FailureKind::Invalid,
            false,
            "there is no such server",
        )),
        _ => restore_database::verbs(databases, host, task),
    }
}

/// The drill's end, its verdict with the rung, and what is known of the backup afterwards.
async fn drilled(
    verbs: Verbs,
    fault: Option<Fault>,
) -> (JobState, Verdict, Option<RungName>, BackupState) {
    let shared = catalog().await;
    let sample = samples().swap_remove(0);
    let world = World::new(&shared, verbs, &sample);
    if let Some(fault) = fault {
        world.agents.fail(fault);
    }
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    let state = world.state(job).await;
    assert_eq!(
        world.agents.databases(),
        Databases::new(),
        "something is left"
    );
    let drill = shared.0.drill_of_job(job).await.unwrap().expect("a drill");
    let ended = drill.ended.expect("its end");
    let text = shared.0.drill_report(drill.id).await.unwrap().unwrap();
    let report: holdfast_proto::drill::DrillReport = serde_json::from_str(&text).unwrap();
    assert_eq!((report.drill, report.verdict), (drill.id, ended.verdict));
    let backup = shared.0.backup(1).await.unwrap().unwrap();
    let recoveries = shared.0.recoveries().await.unwrap();
    assert_eq!(
        recoveries.len(),
        usize::from(report.times.took_ms.is_some() && report.verdict != Verdict::CouldNotRun)
    );
    (state, report.verdict, report.broken, backup.state)
}

#[tokio::test]
async fn what_is_found_equal_is_proven() {
    let found = drilled(verbs, None).await;
    let expected = (
        JobState::Succeeded,
        Verdict::Proven,
        None,
        BackupState::Proven,
    );
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_differs_is_damaged_and_told() {
    fn lost(
        databases: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(databases, host, task).map(|result| match result {
            TaskResult::RestoredImage(mut image) => {
                image.received.relations[0].rows -= 1;
                TaskResult::RestoredImage(image)
            }
            other => other,
        })
    }
    let found = drilled(lost, None).await;
    let expected = (
        JobState::Failed,
        Verdict::Damaged,
        Some(RungName::Rows),
        BackupState::Damaged,
    );
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_sound_image_of_another_moment_passes_nothing() {
    fn older(
        databases: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(databases, host, task).map(|result| match result {
            TaskResult::RestoredImage(mut image) => {
                image.manifest.taken_at -= chrono::TimeDelta::days(1);
                TaskResult::RestoredImage(image)
            }
            other => other,
        })
    }
    let found = drilled(older, None).await;
    let expected = (
        JobState::Failed,
        Verdict::Damaged,
        Some(RungName::Repository),
        BackupState::Damaged,
    );
    assert_eq!(found, expected);
}

/// Whatever stands in the way before the restore, or while it is looked at, proves nothing.
#[tokio::test]
async fn what_could_not_run_is_neither_proven_nor_damaged() {
    for at in [
        "preflight.image/do",
        "sandbox/do",
        "restore.describe/do",
        "restore.stage/do",
        "examine.structure/do",
    ] {
        let (state, verdict, _, backup) = drilled(verbs, Some(Fault::hopeless(at, false))).await;
        let expected = (JobState::Failed, Verdict::CouldNotRun, BackupState::Stored);
        assert_eq!((state, verdict, backup), expected, "{at}");
    }
    // What the server refuses of the backup is the backup's.
    let refused = drilled(verbs, Some(Fault::hopeless("restore/do", false))).await;
    let expected = (
        JobState::Failed,
        Verdict::Damaged,
        Some(RungName::Restored),
        BackupState::Damaged,
    );
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_cancelled_drill_says_that_nobody_knows() {
    let shared = catalog().await;
    let world = World::new(&shared, verbs, &samples().swap_remove(0));
    world.agents.hang("restore/do");
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    super::harness::eventually("it restores", || async {
        let row = world.catalog.job(job).await.unwrap().unwrap();
        (row.view().step == "restore").then_some(())
    })
    .await;
    running.engine.cancel(job, "operator/bob").await.unwrap();
    assert_eq!(world.state(job).await, JobState::Cancelled);
    let drill = shared.0.drill_of_job(job).await.unwrap().unwrap();
    let ended = drill.ended.unwrap();
    assert_eq!(ended.verdict, Verdict::CouldNotRun);
    assert!(
        ended.reason.contains("cancelled by operator/bob"),
        "{ended:?}"
    );
    let text = shared.0.drill_report(drill.id).await.unwrap().unwrap();
    let report: holdfast_proto::drill::DrillReport = serde_json::from_str(&text).unwrap();
    assert_eq!(report.rungs[0].outcome, RungOutcome::Passed, "it was read");
    assert_eq!(report.rungs[1].outcome, RungOutcome::CouldNotRun);
}
