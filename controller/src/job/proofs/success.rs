//! Every sample reaches what it promises, can be undone, and is swept when its time is over.

use chrono::TimeDelta;
use futures::StreamExt;
use holdfast_chassis::clock::Clock as _;

use super::{
    copy,
    harness::{World, catalog, eventually, samples},
};
use crate::job::{JobError, JobState, Update};

#[tokio::test]
async fn every_sample_succeeds_and_leaves_what_it_promises() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let world = World::new(&shared, verbs, &sample);
        let running = world.start(world.engine("a"));
        let job = world.submit(&running.engine).await;
        assert_eq!(
            world.state(job).await,
            JobState::Succeeded,
            "{}",
            world.context()
        );
        assert_eq!(
            world.agents.databases(),
            (sample.after)(job),
            "{}",
            sample.name
        );
        assert_eq!(world.agents.unforgotten(), 0, "{}", world.context());
    }
}

#[tokio::test]
async fn a_watch_tells_every_event_in_order_and_ends_with_the_job() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let world = World::new(&shared, verbs, &sample);
        let running = world.start(world.engine("a"));
        let job = world.submit(&running.engine).await;
        let updates: Vec<_> = running.engine.watch(job, 0).await.unwrap().collect().await;
        let updates: Vec<_> = updates.into_iter().map(Result::unwrap).collect();
        let sequences: Vec<_> = updates
            .iter()
            .filter_map(|update| match update {
                Update::Event(event) => Some(event.sequence),
                _ => None,
            })
            .collect();
        let stored = running.engine.get(job).await.unwrap();
        let last = stored.events.last().unwrap().sequence;
        assert_eq!(sequences, (1..=last).collect::<Vec<_>>(), "{}", sample.name);
        match updates.last() {
            Some(Update::Job(job)) => assert_eq!(job.state, JobState::Succeeded),
            other => panic!("{other:?}"),
        }
        // Coming back later, only what is new is told.
        let later: Vec<_> = running
            .engine
            .watch(job, last)
            .await
            .unwrap()
            .collect()
            .await;
        assert_eq!(later.len(), 1, "{later:?}");
    }
}

#[tokio::test]
async fn undo_after_success_brings_back_what_stood_there_then_nothing_is_left() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let world = World::new(&shared, verbs, &sample);
        let running = world.start(world.engine("a"));
        let engine = &running.engine;
        let job = world.submit(engine).await;
        let done = world.ended(job).await;
        let Some(until) = done.undo_until else {
            assert_eq!(world.agents.databases(), sample.before);
            let refused = engine.undo(job, "operator/bob").await;
            assert!(
                matches!(refused, Err(JobError::NothingToUndo(_))),
                "{refused:?}"
            );
            continue;
        };
        assert!(until > world.clock.now());
        engine.undo(job, "operator/bob").await.unwrap();
        assert_eq!(
            world.state(job).await,
            JobState::Undone,
            "{}",
            world.context()
        );
        assert_eq!(
            world.agents.databases(),
            (sample.undone)(job),
            "{}",
            sample.name
        );
        let again = engine.undo(job, "operator/bob").await;
        assert!(
            matches!(again, Err(JobError::NotUndoable { .. })),
            "{again:?}"
        );

        world.clock.advance_to(until + TimeDelta::hours(24));
        let swept = eventually("the undone copy is swept", || async {
            (world.agents.databases() == sample.forgotten).then_some(())
        });
        swept.await;
    }
}

#[tokio::test]
async fn what_was_kept_goes_when_its_time_is_over_and_not_before() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let world = World::new(&shared, verbs, &sample);
        let running = world.start(world.engine("a"));
        let job = world.submit(&running.engine).await;
        let Some(until) = world.ended(job).await.undo_until else {
            continue;
        };
        world.clock.advance_to(until - TimeDelta::seconds(1));
        // The end of another job shows that the engine has looked since.
        let reads_only = copy::spec(|copy| copy.dry_run = true);
        let later = running.engine.submit(reads_only, "operator/bob", "").await;
        world.ended(later.unwrap()).await;
        assert_eq!(
            world.agents.databases(),
            (sample.after)(job),
            "{}",
            sample.name
        );

        world.clock.advance_to(until + TimeDelta::seconds(1));
        eventually("what was kept is swept", || async {
            (world.agents.databases() == sample.swept).then_some(())
        })
        .await;
        let refused = running.engine.undo(job, "operator/bob").await;
        assert!(
            matches!(refused, Err(JobError::UndoTooLate { .. })),
            "{refused:?}"
        );
        let swept = (sample.after)(job).len() > sample.swept.len();
        if swept {
            eventually("the sweep is audited and recorded", || async {
                let audited = world.catalog.list_audit(100).await.unwrap();
                let told = audited.iter().any(|e| e.content.action == "job.sweep");
                let events = world.catalog.job_events(job, 0).await.unwrap();
                let last = events.last().map(|recorded| recorded.event.kind());
                (told && last == Some("swept")).then_some(())
            })
            .await;
        }
    }
}
