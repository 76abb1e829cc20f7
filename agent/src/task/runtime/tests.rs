use holdfast_proto::task::{MeasureVolume, MeasuredVolume, TaskPhase};
use tokio::sync::Notify;

use super::*;

struct Scene {
    runtime: Runtime,
    release: Arc<Notify>,
    _dir: tempfile::TempDir,
}

/// Tasks that measure "wait" wait for a release or a cancel, "panic" panics, others end at once.
fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let release = Arc::new(Notify::new());
    let waits = Arc::clone(&release);
    let perform: Perform = Arc::new(move |spec, progress, cancel| {
        let waits = Arc::clone(&waits);
        Box::pin(async move {
            let TaskSpec::MeasureVolume(MeasureVolume { volume }) = spec else {
                panic!("another verb")
            };
            assert_ne!(volume, "panic");
            progress.report(TaskProgress {
                phase: TaskPhase::Data,
                bytes_done: 1,
                bytes_total: 2,
                rows_done: 0,
                items_done: 0,
                items_total: 0,
                current: volume.clone(),
                verified_rows: 0,
                path: None,
            });
            if volume == "wait" {
                tokio::select! {
                    () = waits.notified() => {}
                    () = cancel.cancelled() => return Err(TaskFailure {
                        kind: FailureKind::Cancelled,
                        message: "cancelled".into(),
                        advice: String::new(),
                        retryable: false,
                    }),
                }
            }
            Ok(TaskResult::MeasuredVolume(MeasuredVolume {
                bytes: 1,
                files: 1,
            }))
        })
    });
    let runtime = Runtime::new(dir.path(), perform).unwrap();
    Scene {
        runtime,
        release,
        _dir: dir,
    }
}

fn task(volume: &str, epoch: u64) -> StartTask {
    StartTask {
        task_id: format!("7/{volume}/do/1"),
        job: 7,
        epoch,
        spec: TaskSpec::MeasureVolume(MeasureVolume {
            volume: volume.into(),
        }),
        traceparent: String::new(),
    }
}

async fn ended(listener: &mut mpsc::UnboundedReceiver<Told>) -> Result<TaskResult, TaskFailure> {
    loop {
        if let TaskEvent::Ended(outcome) = listener.recv().await.unwrap().event {
            return outcome;
        }
    }
}

#[tokio::test]
async fn a_task_tells_that_it_was_accepted_how_it_goes_and_how_it_ended() {
    let scene = scene();
    let mut listener = scene.runtime.listen();
    scene.runtime.start(task("v", 1));
    assert_eq!(
        listener.recv().await.unwrap().event,
        TaskEvent::Accepted { joined: false }
    );
    assert!(matches!(
        listener.recv().await.unwrap().event,
        TaskEvent::Progress(_)
    ));
    assert!(ended(&mut listener).await.is_ok());
}

#[tokio::test]
async fn a_running_task_is_joined_by_the_next_session_and_an_outcome_waits_until_it_is_forgotten() {
    let scene = scene();
    let _lost_session = scene.runtime.listen();
    scene.runtime.start(task("wait", 1));
    let mut listener = scene.runtime.listen();
    scene.runtime.start(task("wait", 2));
    assert_eq!(
        listener.recv().await.unwrap().event,
        TaskEvent::Accepted { joined: true }
    );
    scene.runtime.forget("7/wait/do/1");
    assert_eq!(scene.runtime.states().len(), 1, "it runs");
    scene.release.notify_one();
    assert!(ended(&mut listener).await.is_ok());
    scene.runtime.start(task("wait", 2));
    assert!(ended(&mut listener).await.is_ok(), "told again");
    scene.runtime.forget("7/wait/do/1");
    assert!(scene.runtime.states().is_empty());
}

#[tokio::test]
async fn an_older_epoch_starts_nothing() {
    let scene = scene();
    let mut listener = scene.runtime.listen();
    scene.runtime.start(task("v", 5));
    assert!(ended(&mut listener).await.is_ok());
    scene.runtime.start(task("other", 4));
    assert_eq!(
        ended(&mut listener).await.unwrap_err().kind,
        FailureKind::Refused
    );
    assert_eq!(scene.runtime.states().len(), 1);
}

#[tokio::test]
async fn a_cancelled_task_ends_as_such_and_a_mistake_of_ours_is_a_failure_not_the_end_of_the_agent()
{
    let scene = scene();
    let mut listener = scene.runtime.listen();
    scene.runtime.start(task("wait", 1));
    scene.runtime.cancel("7/wait/do/1", 1);
    assert_eq!(
        ended(&mut listener).await.unwrap_err().kind,
        FailureKind::Cancelled
    );
    scene.runtime.start(task("panic", 1));
    assert_eq!(
        ended(&mut listener).await.unwrap_err().kind,
        FailureKind::Internal
    );
    scene.runtime.start(task("wait2", 1));
    scene.runtime.shut_down().await;
}
