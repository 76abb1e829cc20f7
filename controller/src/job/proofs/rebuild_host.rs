//! Samples of the rebuild, its verbs on scripted agents, and what it says of hosts and of each backup.

use holdfast_proto::{
    drill::{DrillReport, RungName, RungOutcome, Verdict},
    link::StartTask,
    names::HostName,
    task::{
        FailureKind, RemovedSandbox, RestoredVolume, SandboxLimits, StartedSandbox, TaskFailure,
        TaskResult, TaskSpec, VolumeFacts,
    },
};

use super::{
    agents::{Databases, Fault, Verbs, failure},
    drill_backup,
    harness::{Sample, World, catalog},
    restore_database, volumes,
};
use crate::{
    catalog::BackupState,
    job::{
        JobId, JobSpec, JobState, RebuildHost,
        rebuild_host::{ChosenDatabase, ChosenServer, ChosenVolume, Without},
    },
    objective::Scenario,
};

/// Everything of the job on the host begins so.
fn own(host: &HostName, job: JobId) -> String {
    format!("{host}/holdfast-sandbox-{job}-")
}

fn spec() -> RebuildHost {
    RebuildHost {
        source: "web-1".parse().unwrap(),
        host: "web-2".parse().unwrap(),
        servers: vec![ChosenServer {
            instance: "crm-db".to_owned(),
            databases: vec![ChosenDatabase {
                database: "web-1/crm-db/crm".parse().unwrap(),
                backup: 1,
            }],
        }],
        volumes: vec![ChosenVolume {
            volume: "web-1/shop_uploads".parse().unwrap(),
            backup: 2,
        }],
        without: vec![],
        left_out: vec![],
    }
}

fn sample(spec: RebuildHost) -> Sample {
    Sample {
        name: "rebuild on another host",
        spec: JobSpec::RebuildHost(spec),
        before: Databases::new(),
        after: |_| Databases::new(),
        swept: Databases::new(),
        undone: |_| unreachable!("it leaves nothing"),
        forgotten: Databases::new(),
    }
}

pub fn samples() -> Vec<Sample> {
    vec![sample(spec())]
}

pub fn verbs(
    world: &mut Databases,
    host: &HostName,
    task: &StartTask,
) -> Result<TaskResult, TaskFailure> {
    let own = own(host, task.job);
    match &task.spec {
        TaskSpec::StartSandbox(start) => {
            assert_eq!((start.part, start.servers), (1, 1));
            let name = format!("{own}{}", start.part);
            if !start.look_only {
                world.entry(name).or_insert_with(|| "a server".to_owned());
            }
            Ok(TaskResult::StartedSandbox(StartedSandbox {
                instance: format!("holdfast-sandbox-{}-{}", task.job, start.part),
                image_id: "sha256:1".to_owned(),
                limits: SandboxLimits::default(),
            }))
        }
        TaskSpec::RemoveSandbox(remove) => {
            assert_eq!(remove.job, task.job);
            let before = world.len();
            world.retain(|name, _| !name.starts_with(&own));
            Ok(TaskResult::RemovedSandbox(RemovedSandbox {
                existed: world.len() < before,
            }))
        }
        TaskSpec::DescribeVolume(_) => Ok(TaskResult::VolumeFacts(VolumeFacts {
            exists: false,
            driver: String::new(),
            out_of_reach: String::new(),
            users: vec![],
            databases: vec![],
            disk_free_bytes: Some(1 << 40),
            made_by: 0,
        })),
        TaskSpec::RestoreVolume(restore) => {
            assert!(restore.throwaway);
            let image = volumes::image("seven files");
            world.insert(format!("{own}{}", restore.volume), "seven files".to_owned());
            Ok(TaskResult::RestoredVolume(RestoredVolume {
                fingerprint: image.fingerprint,
                image,
                root: 1,
            }))
        }
        // Every other verb works in the throwaway server, while it stands.
        _ if !world.contains_key(&format!("{own}1")) => Err(failure(
            FailureKind::Invalid,
            false,
            "there is no such server",
        )),
        TaskSpec::ExamineDatabase(_) => {
            let mut of_drill = world.clone();
            let server = format!("{host}/holdfast-sandbox-{}", task.job);
            of_drill.insert(server, "a server".to_owned());
            drill_backup::verbs(&mut of_drill, host, task)
        }
        _ => restore_database::verbs(world, host, task),
    }
}

/// The rebuild's end and its report, and what is known of both backups afterwards.
async fn rebuilt(
    verbs: Verbs,
    spec: RebuildHost,
    fault: Option<Fault>,
) -> (JobState, DrillReport, [BackupState; 2]) {
    let shared = catalog().await;
    let sample = sample(spec);
    let world = World::new(&shared, verbs, &sample);
    if let Some(fault) = fault {
        world.agents.fail(fault);
    }
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    let state = world.state(job).await;
    let left = world.agents.databases();
    assert_eq!(left, Databases::new(), "something is left");
    let drill = shared.0.drill_of_job(job).await.unwrap().expect("a drill");
    let text = shared.0.drill_report(drill.id).await.unwrap().unwrap();
    let report: DrillReport = serde_json::from_str(&text).unwrap();
    assert_eq!(report.verdict, drill.ended.expect("its end").verdict);
    let recoveries = shared.0.recoveries().await.unwrap();
    let measured = report.times.took_ms.is_some() && report.verdict != Verdict::CouldNotRun;
    assert_eq!(recoveries.len(), usize::from(measured));
    for recovery in recoveries {
        assert_eq!(recovery.scenario, Scenario::Rebuild);
        assert_eq!(recovery.passed, report.verdict == Verdict::Proven);
    }
    let state_of = async |id| shared.0.backup(id).await.unwrap().unwrap().state;
    (state, report, [state_of(1).await, state_of(2).await])
}

fn outcomes(report: &DrillReport) -> Vec<RungOutcome> {
    report.parts.iter().map(|part| part.outcome).collect()
}

#[tokio::test]
async fn what_comes_back_whole_is_proven_and_measured() {
    let (state, report, backups) = rebuilt(verbs, spec(), None).await;
    assert_eq!(
        (state, report.verdict),
        (JobState::Succeeded, Verdict::Proven),
        "{report:?}"
    );
    assert_eq!(backups, [BackupState::Proven; 2]);
    let subjects: Vec<_> = report
        .parts
        .iter()
        .map(|part| part.subject.as_str())
        .collect();
    assert_eq!(subjects, ["web-1/crm-db/crm", "web-7/shop_uploads"]);
    assert!(report.parts.iter().all(|part| part.times.took_ms.is_some()));
    let server = report.parts[0].server.as_ref().expect("a server");
    assert_eq!(
        (server.image.as_str(), server.image_id.as_str()),
        ("postgres:17", "sha256:1")
    );
}

#[tokio::test]
async fn a_database_that_differs_is_damaged_and_the_volume_beside_it_is_proven() {
    fn lost(
        world: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(world, host, task).map(|result| match result {
            TaskResult::RestoredImage(mut image) => {
                image.received.relations[0].rows -= 1;
                TaskResult::RestoredImage(image)
            }
            other => other,
        })
    }
    let (state, report, backups) = rebuilt(lost, spec(), None).await;
    assert_eq!(
        (state, report.verdict),
        (JobState::Failed, Verdict::Damaged)
    );
    assert_eq!(report.broken, Some(RungName::Databases));
    assert!(
        report
            .reason
            .contains("web-1/crm-db/crm: row counts are equal"),
        "{report:?}"
    );
    assert_eq!(
        outcomes(&report),
        [RungOutcome::Failed, RungOutcome::Passed]
    );
    assert_eq!(backups, [BackupState::Damaged, BackupState::Proven]);
}

#[tokio::test]
async fn another_image_in_the_place_of_a_volume_s_is_damaged() {
    fn another(
        world: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(world, host, task).map(|result| match result {
            TaskResult::RestoredVolume(_) => {
                let image = volumes::image("eight files");
                TaskResult::RestoredVolume(RestoredVolume {
                    fingerprint: image.fingerprint,
                    image,
                    root: 1,
                })
            }
            other => other,
        })
    }
    let (state, report, backups) = rebuilt(another, spec(), None).await;
    assert_eq!(
        (state, report.verdict),
        (JobState::Failed, Verdict::Damaged)
    );
    assert_eq!(report.broken, Some(RungName::Volumes));
    assert_eq!(backups, [BackupState::Proven, BackupState::Damaged]);
}

#[tokio::test]
async fn what_has_no_backup_makes_it_incomplete_and_damages_nothing() {
    let mut spec = spec();
    spec.without.push(Without {
        subject: "web-1/crm-db/billing".to_owned(),
        why: "there is no backup of it".to_owned(),
    });
    let (state, report, backups) = rebuilt(verbs, spec, None).await;
    assert_eq!(
        (state, report.verdict),
        (JobState::Failed, Verdict::Incomplete)
    );
    assert_eq!(report.broken, Some(RungName::Covered));
    assert!(
        report.reason.starts_with("web-1/crm-db/billing"),
        "{report:?}"
    );
    assert_eq!(backups, [BackupState::Proven; 2]);
}

/// An image that is not there, a server that does not come up, a host that is full: nobody knows more than before.
#[tokio::test]
async fn what_could_not_run_is_neither_proven_nor_damaged() {
    for at in [
        "preflight.image-1/do",
        "server-1/do",
        "restore-1.describe/do",
        "restore-1.stage/do",
        "examine-1.structure/do",
        "volume-1.room/do",
    ] {
        let fault = Some(Fault::hopeless(at, false));
        let (state, report, backups) = rebuilt(verbs, spec(), fault).await;
        assert_eq!(
            (state, report.verdict),
            (JobState::Failed, Verdict::CouldNotRun),
            "{at}: {report:?}"
        );
        assert!(!backups.contains(&BackupState::Damaged), "{at}");
        assert!(
            report.reason.contains("scripted"),
            "{at}: {}",
            report.reason
        );
    }
}
