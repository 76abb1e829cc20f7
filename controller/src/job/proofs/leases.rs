//! Leases fence, locks exclude, places are limited.

use std::time::Duration;

use holdfast_chassis::clock::Clock as _;

use super::{
    copy,
    fuse::Moment,
    harness::{World, catalog, eventually, samples},
};
use crate::{
    catalog::{Append, AppendError},
    job::{
        JobState,
        event::{Event, Recorded},
        position::Position,
        summary::derive,
    },
};

#[tokio::test]
async fn an_engine_that_was_replaced_can_append_nothing() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let world = World::new(&shared, verbs, &sample);
        let engine = world.engine("a");
        let job = world.submit(&engine).await;
        // It stands still with its lease, as a frozen process would.
        let frozen = world
            .run_until(job, engine, Moment::Before(3))
            .await
            .unwrap();
        world.expire_lease(job).await;
        let _second = world.start(world.engine("b"));
        assert_eq!(world.state(job).await, JobState::Succeeded);
        let before = world.catalog.job_events(job, 0).await.unwrap();
        frozen.engine.inner.fuse.resume();
        let position = Position::replay(&before).unwrap();
        let stale = Append {
            job,
            epoch: 1,
            recorded: &Recorded {
                seq: position.last_seq + 1,
                at: world.clock.now(),
                event: Event::Started,
            },
            derived: &derive(&position, &[]),
        };
        let refused = world.catalog.append_job_event(stale).await;
        assert!(
            matches!(refused, Err(AppendError::Fenced { .. })),
            "{refused:?}"
        );
        let frozen_is_done = eventually("the frozen engine has let go", || async {
            let lease = world
                .catalog
                .renew_lease(job, 1, Duration::from_secs(1))
                .await;
            lease.unwrap().is_none().then_some(())
        });
        frozen_is_done.await;
        assert_eq!(world.catalog.job_events(job, 0).await.unwrap(), before);
        assert_eq!(
            world.agents.databases(),
            (sample.after)(job),
            "{}",
            world.context()
        );
    }
}

#[tokio::test]
async fn history_cannot_be_changed() {
    let shared = catalog().await;
    let (verbs, sample) = samples().swap_remove(0);
    let world = World::new(&shared, verbs, &sample);
    let job = world.submit(&world.engine("a")).await;
    for statement in [
        "update job_event set at = now()",
        "delete from job_event",
        "truncate job_event",
    ] {
        let refused = sqlx::query(statement).execute(&world.catalog.pool).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
    assert_eq!(world.catalog.job_events(job, 0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn jobs_on_one_target_come_one_after_the_other_and_say_why_they_wait() {
    let shared = catalog().await;
    let (verbs, mut sample) = samples().swap_remove(1);
    sample.spec = copy::spec(|copy| copy.replace = true);
    let world = World::new(&shared, verbs, &sample);
    let engine = world.engine("a");
    let first = world.submit(&engine).await;
    let paused = world
        .run_until(first, engine, Moment::After(4))
        .await
        .unwrap();
    let second = world.submit(&paused.engine).await;
    let reason = eventually("the second says why it waits", || async {
        let row = world.catalog.job(second).await.unwrap().unwrap();
        let view = row.view();
        assert_eq!(view.state, JobState::Waiting);
        (!view.reason.is_empty()).then_some(view.reason)
    })
    .await;
    let target = "database:web-2/shop-db/shop_test";
    assert_eq!(reason, format!("job {first} uses {target}"));
    paused.engine.inner.fuse.resume();
    assert_eq!(world.state(first).await, JobState::Succeeded);
    assert_eq!(world.state(second).await, JobState::Succeeded);
    let (began, ended) = (
        world.ended(second).await.started_at,
        world.ended(first).await.ended_at,
    );
    assert!(began >= ended);
    let (locks,): (i64,) = sqlx::query_as("select count(*) from resource_lock")
        .fetch_one(&world.catalog.pool)
        .await
        .unwrap();
    assert_eq!(locks, 0);
}

#[tokio::test]
async fn a_job_that_waits_for_a_lock_can_be_cancelled() {
    let shared = catalog().await;
    let (verbs, sample) = samples().swap_remove(1);
    let world = World::new(&shared, verbs, &sample);
    let engine = world.engine("a");
    let first = world.submit(&engine).await;
    let paused = world
        .run_until(first, engine, Moment::After(4))
        .await
        .unwrap();
    let second = world.submit(&paused.engine).await;
    paused.engine.cancel(second, "operator/bob").await.unwrap();
    let ended = world.ended(second).await;
    assert_eq!(ended.state, JobState::Cancelled);
    assert_eq!(ended.started_at, None);
    paused.engine.inner.fuse.resume();
    assert_eq!(world.state(first).await, JobState::Succeeded);
}

/// Its controller died between the job's end and giving it back; then an undo is asked for.
#[tokio::test]
async fn an_undo_that_another_controller_takes_over_holds_its_locks() {
    let shared = catalog().await;
    let (verbs, sample) = samples().swap_remove(0);
    let world = World::new(&shared, verbs, &sample);
    let job = {
        let running = world.start(world.engine("a"));
        let job = world.submit(&running.engine).await;
        assert_eq!(world.state(job).await, JobState::Succeeded);
        running.stop().await;
        job
    };
    sqlx::query("update job set lease_until = clock_timestamp() - interval '1 s' where id = $1")
        .bind(job.cast_signed())
        .execute(&world.catalog.pool)
        .await
        .unwrap();
    let engine = world.engine("b");
    engine.undo(job, "operator/bob").await.unwrap();
    let paused = world
        .run_until(job, engine, Moment::After(2))
        .await
        .unwrap();
    let events = world.catalog.job_events(job, 0).await.unwrap();
    let mut kinds = events.iter().map(|recorded| &recorded.event);
    assert!(kinds.any(|event| matches!(event, Event::Resumed { .. })));
    let (held,): (i64,) = sqlx::query_as(
        "select count(*) from resource_lock where job = $1 and granted_at is not null",
    )
    .bind(job.cast_signed())
    .fetch_one(&world.catalog.pool)
    .await
    .unwrap();
    assert_eq!(held, sample.spec.definition().locks().len() as i64);
    paused.engine.inner.fuse.resume();
    eventually("the undo's end", || async {
        let row = world.catalog.job(job).await.unwrap().unwrap();
        (row.view().state == JobState::Undone).then_some(())
    })
    .await;
}

/// Every place is taken by work that takes hours.
#[tokio::test]
async fn a_waiting_job_that_is_cancelled_ends_without_a_place() {
    let shared = catalog().await;
    let (verbs, sample) = samples().swap_remove(0);
    let world = World::new(&shared, verbs, &sample);
    let engine = world.engine_with(|settings| settings.max_running = 1);
    let long = world.submit(&engine).await;
    let paused = world
        .run_until(long, engine, Moment::After(4))
        .await
        .unwrap();
    let mut elsewhere = sample.clone();
    elsewhere.spec = copy::spec(|copy| copy.target.database.push_str("_b"));
    let spec = elsewhere.spec.clone();
    let waiting = paused.engine.submit(spec, "operator/alice", "").await;
    let waiting = waiting.unwrap();
    paused.engine.cancel(waiting, "operator/bob").await.unwrap();
    assert_eq!(world.state(waiting).await, JobState::Cancelled);
    let row = world.catalog.job(long).await.unwrap().unwrap();
    assert_eq!(row.view().state, JobState::Running);
    paused.engine.inner.fuse.resume();
    assert_eq!(world.state(long).await, JobState::Succeeded);
}

#[tokio::test]
async fn an_orderly_end_gives_the_job_back_at_once() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let world = World::new(&shared, verbs, &sample);
        let engine = world.engine("a");
        let job = world.submit(&engine).await;
        engine.inner.fuse.arm(Moment::After(2));
        let shutdown = tokio_util::sync::CancellationToken::new();
        let (working, token) = (engine.clone(), shutdown.clone());
        let work = tokio::spawn(async move { working.run(token).await });
        engine.inner.fuse.burnt().await;
        shutdown.cancel();
        work.await.unwrap();
        // No lease has to run out.
        let _second = world.start(world.engine("b"));
        assert_eq!(
            world.state(job).await,
            JobState::Succeeded,
            "{}",
            sample.name
        );
        let events = world.catalog.job_events(job, 0).await.unwrap();
        let resumed = |r: &Recorded| matches!(r.event, Event::Resumed { .. });
        assert!(!events.iter().any(resumed), "{}", sample.name);
    }
}
