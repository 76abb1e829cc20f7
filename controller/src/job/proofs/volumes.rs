//! Samples of the jobs on volumes, and their verbs on scripted agents; what stands in the catalog after a backup.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_chassis::clock::Clock as _;
use holdfast_proto::{
    drill::{DrillReport, RungName, Verdict},
    image::Hash128,
    link::StartTask,
    names::{HostName, VolumeName},
    task::{
        BackedUpVolume, FailureKind, HeldContainers, ReleasedContainers, RemovedVolume,
        RestoredVolume, SwappedVolume, TaskFailure, TaskResult, TaskSpec, VolumeFacts, VolumeImage,
        VolumeUser,
    },
};

use super::{
    agents::{Databases, Fault, SHELF_READ, Verbs, failure},
    copy,
    harness::{Sample, World, catalog},
};
use crate::{
    catalog::{Backup, BackupKind, BackupState, Catalog, NewBackup},
    job::{
        BackUpVolume, DrillVolume, JobId, JobSpec, JobState, RestoreVolume,
        back_up_volume::contents::VolumeContents,
    },
    policy::{RollCall, Subject, file::read},
    reconcile::scheduler::Start,
};

/// In the world a volume is `host/volume/name` with what is in it, and a container with it `host/container/name`.
const VOLUME: &str = "web-1/volume/shop_uploads";
const SOURCE: &str = "web-1/shop_uploads";
const CONTAINER: &str = "web-1/container/shop-web";
const RUNNING: &str = "running";
/// Of the backup that is restored.
const STOCKED: &str = "web-7/shop_uploads";
const THEN: &str = "seven files";
const NOW: &str = "nine files";
const SNAPSHOT: &str = "5a00000000000000000000000000000000000000000000000000000000000002";
/// The second that a new catalog gets.
const BACKUP: u64 = 2;
const ROOT: u64 = 4711;

pub fn image(content: &str) -> VolumeImage {
    VolumeImage {
        format: 1,
        taken_at: DateTime::<Utc>::UNIX_EPOCH,
        volume: "shop_uploads".to_owned(),
        driver: "local".to_owned(),
        labels: BTreeMap::new(),
        files: 7,
        folders: 2,
        others: 1,
        bytes: 700,
        fingerprint: Hash128(content.bytes().map(u128::from).sum()),
        left_out: vec![],
        databases: vec![],
    }
}

/// As the catalog has the backup that the samples restore.
pub fn backup() -> Backup {
    let source: VolumeName = STOCKED.parse().unwrap();
    let at = DateTime::<Utc>::UNIX_EPOCH;
    Backup {
        id: BACKUP,
        database: source.into(),
        engine: None,
        kind: BackupKind::Volume,
        state: BackupState::Stored,
        pinned: false,
        taken_at: at,
        stored_at: at,
        proven_at: None,
        logical_bytes: 700,
        stored_bytes: 7,
        snapshot_id: SNAPSHOT.to_owned(),
        job: None,
        marked_at: None,
        removed_at: None,
        deletion: None,
    }
}

/// The backup that the samples restore, in a new catalog.
pub async fn stock(catalog: &Catalog) {
    let contents = VolumeContents {
        format: 1,
        image: image(THEN),
    };
    let source: VolumeName = STOCKED.parse().unwrap();
    let backup = NewBackup {
        database: source.into(),
        engine: None,
        kind: BackupKind::Volume,
        taken_at: contents.image.taken_at,
        stored_at: contents.image.taken_at,
        logical_bytes: 700,
        stored_bytes: 7,
        snapshot_id: SNAPSHOT.to_owned(),
        manifest: serde_json::to_value(&contents).unwrap(),
        job: None,
    };
    assert_eq!(catalog.add_backup(&backup).await.unwrap(), BACKUP);
}

fn world(entries: &[(&str, &str)]) -> Databases {
    let entry = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
    entries.iter().map(entry).collect()
}

pub fn backups() -> Vec<Sample> {
    let backup = |stop| {
        JobSpec::BackUpVolume(BackUpVolume {
            source: SOURCE.parse().unwrap(),
            stop,
            instances: vec!["web-1/shop-db".parse().unwrap()],
            only_files: false,
        })
    };
    vec![
        Sample {
            name: "backup of a volume, its container stopped",
            spec: backup(true),
            before: world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
            after: |_| world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
            swept: world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
            undone: |_| unreachable!("there is nothing to undo after success"),
            forgotten: Databases::new(),
        },
        Sample {
            name: "backup of a volume that nobody uses",
            spec: backup(false),
            before: world(&[(VOLUME, NOW)]),
            after: |_| world(&[(VOLUME, NOW)]),
            swept: world(&[(VOLUME, NOW)]),
            undone: |_| unreachable!("there is nothing to undo after success"),
            forgotten: Databases::new(),
        },
    ]
}

pub fn restores() -> Vec<Sample> {
    vec![
        Sample {
            name: "restore of a volume to a free name",
            spec: restore(|_| {}),
            before: Databases::new(),
            after: |_| world(&[(VOLUME, THEN)]),
            swept: world(&[(VOLUME, THEN)]),
            undone: |_| world(&[(VOLUME, THEN)]),
            forgotten: Databases::new(),
        },
        Sample {
            name: "restore in the place of a volume",
            spec: restore(|restore| (restore.replace, restore.stop) = (true, true)),
            before: world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
            after: |job| world(&[(VOLUME, THEN), (&beside(job), NOW), (CONTAINER, RUNNING)]),
            swept: world(&[(VOLUME, THEN), (CONTAINER, RUNNING)]),
            undone: |job| world(&[(VOLUME, NOW), (&beside(job), THEN), (CONTAINER, RUNNING)]),
            forgotten: world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
        },
        Sample {
            name: "dry run of a restore of a volume",
            spec: restore(|restore| {
                (restore.replace, restore.stop, restore.dry_run) = (true, true, true);
            }),
            before: world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
            after: |_| world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
            swept: world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
            undone: |_| unreachable!("it changes nothing"),
            forgotten: Databases::new(),
        },
    ]
}

pub fn drills() -> Vec<Sample> {
    vec![Sample {
        name: "drill of a volume beside it",
        spec: JobSpec::DrillVolume(DrillVolume {
            backup: BACKUP,
            source: STOCKED.parse().unwrap(),
            host: "web-1".parse().unwrap(),
        }),
        before: world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
        after: |_| world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
        swept: world(&[(VOLUME, NOW), (CONTAINER, RUNNING)]),
        undone: |_| unreachable!("it leaves nothing"),
        forgotten: Databases::new(),
    }]
}

fn restore(change: fn(&mut RestoreVolume)) -> JobSpec {
    let mut restore = RestoreVolume {
        backup: BACKUP,
        source: STOCKED.parse().unwrap(),
        target: SOURCE.parse().unwrap(),
        replace: false,
        stop: false,
        keep: Duration::from_hours(24),
        dry_run: false,
        instances: vec![],
    };
    change(&mut restore);
    JobSpec::RestoreVolume(restore)
}

fn beside(job: JobId) -> String {
    format!("{VOLUME}__swap_{job}")
}

pub fn verbs(
    world: &mut Databases,
    host: &HostName,
    task: &StartTask,
) -> Result<TaskResult, TaskFailure> {
    let volume = |name: &str| format!("{host}/volume/{name}");
    let refused = |why| Err(failure(FailureKind::Conflict, false, why));
    let runs = world.get(CONTAINER).is_some_and(|state| state == RUNNING);
    match &task.spec {
        TaskSpec::DescribeVolume(spec) => Ok(TaskResult::VolumeFacts(VolumeFacts {
            exists: world.contains_key(&volume(&spec.volume)),
            users: world
                .contains_key(CONTAINER)
                .then(|| VolumeUser {
                    container: "shop-web".to_owned(),
                    running: runs,
                    writable: true,
                })
                .into_iter()
                .collect(),
            disk_free_bytes: Some(1 << 30),
            ..VolumeFacts::default()
        })),
        TaskSpec::HoldContainers(hold) => {
            let mine = format!("stopped by {}", hold.job);
            if let Some(state) = world.get_mut(CONTAINER).filter(|state| *state == RUNNING) {
                state.clone_from(&mine);
            }
            Ok(TaskResult::HeldContainers(HeldContainers::default()))
        }
        TaskSpec::ReleaseContainers(release) => {
            let mine = format!("stopped by {}", release.job);
            if let Some(state) = world.get_mut(CONTAINER).filter(|state| **state == mine) {
                RUNNING.clone_into(state);
            }
            Ok(TaskResult::ReleasedContainers(ReleasedContainers::default()))
        }
        TaskSpec::BackUpVolume(_) if runs => refused("a container runs"),
        TaskSpec::BackUpVolume(spec) => match world.get(&volume(&spec.volume)) {
            Some(content) => Ok(TaskResult::BackedUpVolume(BackedUpVolume {
                image: image(content),
                snapshot: format!("{:064x}", task.job),
                added_bytes: 7,
            })),
            None => refused("no volume"),
        },
        TaskSpec::RestoreVolume(spec) => {
            assert_eq!(
                (
                    spec.repository.host.as_str(),
                    spec.repository.job,
                    spec.snapshot.as_str()
                ),
                ("web-7", task.job, SNAPSHOT)
            );
            world.insert(volume(&spec.volume), THEN.to_owned());
            Ok(TaskResult::RestoredVolume(RestoredVolume {
                image: image(THEN),
                fingerprint: image(THEN).fingerprint,
                root: ROOT,
            }))
        }
        TaskSpec::SwapVolume(_) if runs => refused("a container runs"),
        TaskSpec::SwapVolume(spec) => {
            assert_eq!(spec.root, ROOT);
            let (here, there) = (volume(&spec.volume), volume(&spec.other));
            let (Some(one), Some(other)) = (world.get(&here), world.get(&there)) else {
                return refused("one of them is gone");
            };
            let (one, other) = (one.clone(), other.clone());
            let changed = (one == THEN) == spec.back;
            if changed {
                world.insert(here, other);
                world.insert(there, one);
            }
            Ok(TaskResult::SwappedVolume(SwappedVolume { changed }))
        }
        TaskSpec::RemoveVolume(spec) => {
            let existed = world.remove(&volume(&spec.volume)).is_some();
            Ok(TaskResult::RemovedVolume(RemovedVolume { existed }))
        }
        _ => copy::verbs(world, host, task),
    }
}

#[tokio::test]
async fn a_backup_of_a_volume_is_a_series_of_its_own() {
    let shared = catalog().await;
    let sample = &backups()[0];
    let world = World::new(&shared, verbs, sample);
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Succeeded);
    let source: VolumeName = SOURCE.parse().unwrap();
    let [backup] = &world.catalog.backups_of(&source.into()).await.unwrap()[..] else {
        panic!("one backup");
    };
    assert_eq!(backup.database.to_string(), SOURCE);
    assert_eq!((backup.engine, backup.kind), (None, BackupKind::Volume));
    assert_eq!((backup.job, backup.logical_bytes), (Some(job), 700));
    let record = world.catalog.backup_manifest(backup.id).await.unwrap();
    let contents = VolumeContents::read(record.unwrap()).unwrap();
    assert_eq!(contents.image, image(NOW));
}

/// Containers run again before the job is over, also when reading the volume has failed for good.
#[tokio::test]
async fn a_backup_that_fails_leaves_its_containers_running() {
    let shared = catalog().await;
    let sample = &backups()[0];
    let world = World::new(&shared, verbs, sample);
    world.agents.fail(Fault::hopeless("store/do", false));
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Failed);
    assert_eq!(world.agents.databases(), sample.before);
    let worked = world.agents.worked();
    assert!(worked.contains(&"stop/undo".to_owned()), "{worked:?}");
}

/// The host says that it is not what was stored, and the controller finds it so.
#[tokio::test]
async fn a_volume_s_backup_whose_bytes_are_not_those_stored_is_damaged() {
    let shared = catalog().await;
    let sample = &restores()[1];
    let world = World::new(&shared, verbs, sample);
    world.agents.fail(Fault::damage("restore/do"));
    world.agents.fail(Fault::damage(SHELF_READ));
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Failed);
    assert_eq!(world.agents.databases(), sample.before);
    let judged = world.catalog.backup(BACKUP).await.unwrap().unwrap();
    assert_eq!(judged.state, BackupState::Damaged);
}

/// The repository holds another image under the name: nothing is exchanged, and nobody shall choose it again.
#[tokio::test]
async fn what_is_not_the_backup_is_not_exchanged_and_is_damaged() {
    fn another(
        world: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        match verbs(world, host, task)? {
            TaskResult::RestoredVolume(mut restored) => {
                restored.image = image("eight files");
                restored.fingerprint = restored.image.fingerprint;
                Ok(TaskResult::RestoredVolume(restored))
            }
            other => Ok(other),
        }
    }
    let shared = catalog().await;
    let sample = &restores()[1];
    let world = World::new(&shared, another, sample);
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Failed);
    assert_eq!(world.agents.databases(), sample.before);
    let judged = world.catalog.backup(BACKUP).await.unwrap().unwrap();
    assert_eq!(judged.state, BackupState::Damaged);
}

/// The drill's end, its verdict with the rung, and what is known of the backup afterwards.
async fn drilled(
    verbs: Verbs,
    fault: Option<Fault>,
) -> (JobState, Verdict, Option<RungName>, BackupState) {
    let shared = catalog().await;
    let sample = drills().swap_remove(0);
    let world = World::new(&shared, verbs, &sample);
    if let Some(fault) = fault {
        world.agents.fail(fault);
    }
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    let state = world.state(job).await;
    assert_eq!(world.agents.databases(), sample.before, "something is left");
    let drill = shared.0.drill_of_job(job).await.unwrap().expect("a drill");
    assert_eq!(drill.of.subject(), STOCKED);
    let ended = drill.ended.expect("its end");
    let text = shared.0.drill_report(drill.id).await.unwrap().unwrap();
    let report: DrillReport = serde_json::from_str(&text).unwrap();
    assert_eq!((report.drill, report.verdict), (drill.id, ended.verdict));
    let drilled = report.backup.as_ref().expect("its backup");
    assert_eq!((drilled.files, drilled.kind.as_str()), (7, "volume"));
    let judged = shared.0.backup(BACKUP).await.unwrap().unwrap();
    let recoveries = shared.0.recoveries().await.unwrap();
    let measured = report.times.took_ms.is_some() && report.verdict != Verdict::CouldNotRun;
    assert_eq!(recoveries.len(), usize::from(measured));
    (state, report.verdict, report.broken, judged.state)
}

#[tokio::test]
async fn a_volume_that_comes_back_equal_is_proven_and_measured() {
    let found = drilled(verbs, None).await;
    let proven = (
        JobState::Succeeded,
        Verdict::Proven,
        None,
        BackupState::Proven,
    );
    assert_eq!(found, proven);
}

#[tokio::test]
async fn a_volume_that_comes_back_otherwise_is_damaged() {
    fn torn(
        world: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(world, host, task).map(|result| match result {
            TaskResult::RestoredVolume(mut restored) => {
                restored.fingerprint = Hash128(7);
                TaskResult::RestoredVolume(restored)
            }
            other => other,
        })
    }
    fn another(
        world: &mut Databases,
        host: &HostName,
        task: &StartTask,
    ) -> Result<TaskResult, TaskFailure> {
        verbs(world, host, task).map(|result| match result {
            TaskResult::RestoredVolume(mut restored) => {
                restored.image = image("eight files");
                TaskResult::RestoredVolume(restored)
            }
            other => other,
        })
    }
    for (verbs, rung) in [
        (torn as Verbs, RungName::Files),
        (another, RungName::Repository),
    ] {
        let found = drilled(verbs, None).await;
        let damaged = (
            JobState::Failed,
            Verdict::Damaged,
            Some(rung),
            BackupState::Damaged,
        );
        assert_eq!(found, damaged);
    }
    let mismatch = Fault {
        kind: FailureKind::DataMismatch,
        ..Fault::hopeless("restore/do", true)
    };
    let found = drilled(verbs, Some(mismatch)).await;
    assert_eq!(
        (found.1, found.2),
        (Verdict::Damaged, Some(RungName::Restored))
    );
}

/// Whatever a host does wrong proves nothing.
#[tokio::test]
async fn a_drill_of_a_volume_that_could_not_run_says_nothing_of_the_backup() {
    for at in ["preflight/do", "restore/do"] {
        let (state, verdict, _, backup) = drilled(verbs, Some(Fault::hopeless(at, false))).await;
        let unknown = (JobState::Failed, Verdict::CouldNotRun, BackupState::Stored);
        assert_eq!((state, verdict, backup), unknown, "{at}");
    }
}

#[tokio::test]
async fn a_schedule_makes_the_jobs_that_the_policies_of_now_want() {
    let shared = catalog().await;
    let world = World::new(&shared, verbs, &backups()[0]);
    let (engine, now) = (world.engine("a"), world.clock.now());
    let subject = |name: &str| Subject {
        database: name.parse::<VolumeName>().unwrap().into(),
        engine: None,
        project: String::new(),
        labels: BTreeMap::new(),
        holds: vec![],
    };
    for name in ["web-1", "web-7"] {
        sqlx::query(
            "insert into host (name, enrolled_at) values ($1, now()) on conflict do nothing",
        )
        .bind(name)
        .execute(&shared.0.pool)
        .await
        .unwrap();
    }
    let call = RollCall {
        here: vec![subject(SOURCE), subject(STOCKED)],
        gone: vec![],
    };
    shared.0.note_databases(&call, now).await.unwrap();
    let apply = async |file: &str, after: u64| {
        let set = read(file).unwrap();
        let applied = shared.0.apply_policies(&set, after, "operator/ann", now);
        assert_eq!(applied.await.unwrap(), Some(after + 1));
    };
    let spec_of = async |job: JobId| shared.0.job(job).await.unwrap().unwrap().spec.0;
    let series = subject(SOURCE).database;
    let unwanted = Start::backup(&engine, &series, "schedule/1")
        .await
        .unwrap_err();
    assert!(
        unwanted.to_string().contains("no policy protects"),
        "{unwanted}"
    );
    for (number, (policy, stop, only_files)) in [
        (
            "volume: 'shop_*'}, backup: {schedule: daily, stop: true}",
            true,
            true,
        ),
        (
            "volume: shop_uploads}, backup: daily, drill: {schedule: daily, host: lab-1}",
            false,
            false,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let number = number as u64;
        apply(
            &format!("policies: [{{name: files, select: {{{policy}}}]"),
            number,
        )
        .await;
        let by = format!("schedule/{}", number + 2);
        let job = Start::backup(&engine, &series, &by).await.unwrap();
        let wanted = JobSpec::BackUpVolume(BackUpVolume {
            source: SOURCE.parse().unwrap(),
            stop,
            instances: vec![],
            only_files,
        });
        assert_eq!(spec_of(job).await, wanted);
    }
    let stocked = subject(STOCKED).database;
    let job = Start::drill(&engine, &stocked, "schedule/9").await.unwrap();
    let wanted = JobSpec::DrillVolume(DrillVolume {
        backup: BACKUP,
        source: STOCKED.parse().unwrap(),
        host: "lab-1".parse().unwrap(),
    });
    assert_eq!(spec_of(job).await, wanted);
}
