//! A failure at any task, a cancellation at any moment: nothing half-made stays.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use holdfast_chassis::clock::Clock as _;
use holdfast_proto::task::FailureKind;

use super::{
    agents::{Fault, Verbs, connected},
    fuse::Moment,
    harness::{Sample, World, catalog, eventually, samples},
};
use crate::{
    catalog::testing::TestCatalog,
    job::{JobKind, JobState, hosts::Standing, landing::checklist},
};

type Shared = (
    std::sync::Arc<TestCatalog>,
    std::sync::Arc<super::harness::JumpingClock>,
);

/// Every task that the sample runs on its way to success: "stage/do".
async fn tasks(shared: &Shared, verbs: Verbs, sample: &Sample) -> BTreeSet<String> {
    let world = World::new(shared, verbs, sample);
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    world.ended(job).await;
    let tasks: BTreeSet<_> = world.agents.worked().into_iter().collect();
    assert!(!tasks.is_empty());
    tasks
}

#[tokio::test]
async fn a_hopeless_failure_of_any_task_unwinds_to_nothing() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        for task in tasks(&shared, verbs, &sample).await {
            for after_work in [false, true] {
                let world = World::new(&shared, verbs, &sample);
                world.agents.fail(Fault::hopeless(&task, after_work));
                let running = world.start(world.engine("a"));
                let job = world.submit(&running.engine).await;
                let ended = world.ended(job).await;
                let context = format!("{task}, after work: {after_work}: {}", world.context());
                if task.starts_with(checklist::NAME) {
                    // What could not be looked at warns, and takes nothing back.
                    assert_eq!(ended.state, JobState::Succeeded, "{context}");
                    assert_eq!(world.agents.databases(), (sample.after)(job), "{context}");
                    continue;
                }
                assert_eq!(ended.state, JobState::Failed, "{context}");
                assert!(ended.reason.contains("scripted"), "{}", ended.reason);
                assert_eq!(world.agents.databases(), sample.before, "{context}");
                assert_eq!(world.agents.unforgotten(), 0, "{context}");
            }
        }
    }
}

/// Retried where the step's patience allows it, undone where not: never anything in between.
#[tokio::test]
async fn a_passing_failure_of_any_task_costs_only_time() {
    let shared = catalog().await;
    let mut overcome = 0;
    for (verbs, sample) in samples() {
        for task in tasks(&shared, verbs, &sample).await {
            for after_work in [false, true] {
                let world = World::new(&shared, verbs, &sample);
                world.agents.fail(Fault::passing(&task, after_work, 2));
                let running = world.start(world.engine("a"));
                let job = world.submit(&running.engine).await;
                let state = world.state(job).await;
                let expected = match state {
                    JobState::Succeeded => (sample.after)(job),
                    _ => sample.before.clone(),
                };
                assert_eq!(
                    world.agents.databases(),
                    expected,
                    "{task}: {}",
                    world.context()
                );
                if task.starts_with("preflight") {
                    assert_eq!(state, JobState::Failed, "a preflight answers at once");
                } else {
                    assert_eq!(state, JobState::Succeeded, "{task}: {}", world.context());
                    overcome += 1;
                }
            }
        }
    }
    assert!(overcome > 0);
}

#[tokio::test]
async fn cancelled_at_any_moment_nothing_is_left() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        'events: for n in 1.. {
            for moment in [Moment::Before(n), Moment::After(n)] {
                let world = World::new(&shared, verbs, &sample);
                let engine = world.engine("a");
                let job = world.submit(&engine).await;
                let Some(paused) = world.run_until(job, engine, moment).await else {
                    break 'events;
                };
                let asked = paused.engine.cancel(job, "operator/bob").await;
                paused.engine.inner.fuse.resume();
                let state = world.state(job).await;
                let context = format!("{moment:?}: {}", world.context());
                match state {
                    JobState::Cancelled => {
                        assert_eq!(world.agents.databases(), sample.before, "{context}");
                    }
                    // Too late: its end was being stored, or was.
                    JobState::Succeeded => {
                        assert_eq!(world.agents.databases(), (sample.after)(job), "{context}");
                        let last = world.catalog.job_events(job, 0).await.unwrap().len() as u64;
                        let at = match moment {
                            Moment::Before(n) | Moment::After(n) => n + 1,
                        };
                        assert_eq!(
                            at, last,
                            "cancelled in time, but succeeded: {asked:?}: {context}"
                        );
                    }
                    other => panic!("{other:?}: {context}: {asked:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn cancelled_while_any_task_runs_nothing_is_left() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        for task in tasks(&shared, verbs, &sample).await {
            // What the controller does in a repository is no task: a cancellation waits for its end.
            if sample.spec.kind() == JobKind::PruneRepository {
                continue;
            }
            let world = World::new(&shared, verbs, &sample);
            world.agents.hang(&task);
            let running = world.start(world.engine("a"));
            let job = world.submit(&running.engine).await;
            let step = task.split(['.', '/']).next().unwrap();
            eventually("the task hangs", || async {
                let row = world.catalog.job(job).await.unwrap().unwrap();
                (row.view().step == step).then_some(())
            })
            .await;
            running.engine.cancel(job, "operator/bob").await.unwrap();
            let ended = world.ended(job).await;
            assert_eq!(
                ended.state,
                JobState::Cancelled,
                "{task}: {}",
                world.context()
            );
            assert_eq!(ended.reason, "cancelled by operator/bob");
            assert_eq!(world.agents.databases(), sample.before, "{task}");
        }
    }
}

#[tokio::test]
async fn past_its_deadline_a_job_is_undone() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let world = World::new(&shared, verbs, &sample);
        let engine = world.engine("a");
        let job = world.submit(&engine).await;
        let paused = world
            .run_until(job, engine, Moment::After(3))
            .await
            .unwrap();
        let limit = TimeDelta::from_std(sample.spec.definition().deadline()).unwrap();
        world.clock.advance_to(world.clock.now() + limit);
        paused.engine.inner.fuse.resume();
        let ended = world.ended(job).await;
        assert_eq!(ended.state, JobState::Failed, "{}", world.context());
        assert!(ended.reason.contains("deadline"), "{}", ended.reason);
        assert_eq!(world.agents.databases(), sample.before);
    }
}

/// The hosts go when the job has succeeded and is to be undone.
#[tokio::test]
async fn an_undo_waits_for_a_silent_host_and_gets_stuck_on_a_removed_one() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        if sample.spec.definition().keep().is_none() {
            continue;
        }
        let world = World::new(&shared, verbs, &sample);
        let running = world.start(world.engine("a"));
        let job = world.submit(&running.engine).await;
        assert_eq!(world.state(job).await, JobState::Succeeded);
        world.agents.stand(Standing::Away { last_seen_at: None });
        running.engine.undo(job, "operator/bob").await.unwrap();
        // It waits in the catalog: no engine holds it.
        eventually("the undo rests", || async {
            let row = world.catalog.job(job).await.unwrap().unwrap();
            let rests = !world.is_leased(job).await;
            let said = row.view().reason.contains("has no session");
            (rests && said).then_some(())
        })
        .await;
        world.agents.stand(Standing::Unknown);
        let ended = world.ended(job).await;
        assert_eq!(ended.state, JobState::Stuck, "{}", world.context());
        assert!(ended.advice.contains("enrol it again"), "{}", ended.advice);
        assert_eq!(world.agents.databases(), (sample.after)(job));
        world.agents.stand(connected());
        running.engine.undo(job, "operator/bob").await.unwrap();
        assert_eq!(world.state(job).await, JobState::Undone);
        assert_eq!(world.agents.databases(), (sample.undone)(job));
    }
}

/// Every undo task of the sample is away for long, then refused, then well again.
#[tokio::test]
async fn an_undo_waits_for_its_host_and_gets_stuck_only_when_that_cannot_help() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let last = tasks(&shared, verbs, &sample)
            .await
            .into_iter()
            .find(|task| task.starts_with("publish"));
        let Some(last) = last else { continue };
        for refused in ["publish/undo", "stage/undo"] {
            let world = World::new(&shared, verbs, &sample);
            world.agents.fail(Fault::hopeless(&last, true));
            world.agents.fail(Fault::passing(refused, false, 12));
            world.agents.fail(Fault {
                kind: FailureKind::Refused,
                ..Fault::hopeless(refused, false)
            });
            let running = world.start(world.engine("a"));
            let job = world.submit(&running.engine).await;
            assert_eq!(
                world.state(job).await,
                JobState::Stuck,
                "{}",
                world.context()
            );
            assert_ne!(world.agents.databases(), sample.before);
            running.engine.undo(job, "operator/bob").await.unwrap();
            assert_eq!(
                world.state(job).await,
                JobState::Failed,
                "{}",
                world.context()
            );
            assert_eq!(
                world.agents.databases(),
                sample.before,
                "{}",
                world.context()
            );
        }
    }
}
