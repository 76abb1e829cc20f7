//! A storage that fails at every call, a controller that dies at every event, a cancellation at every event: it
//! is told, whoever comes next brings it to its end, and no good backup is harmed.

use std::sync::atomic::Ordering;

use super::real::{Fault, House};
use crate::job::{JobState, proofs::fuse::Moment};

/// Another one, in a world without faults.
async fn converges(house: &House, context: &str) {
    house.assert_unharmed(context).await;
    let running = house.world.start(house.world.engine("c"));
    for _ in 0..2 {
        let job = house.prune(&running).await;
        let ended = house.world.ended(job).await;
        assert_eq!(
            ended.state,
            JobState::Succeeded,
            "{context}: {}",
            ended.reason
        );
    }
    running.stop().await;
    let ids = house.ids();
    let left = house.snapshots(&ids[2..]).await;
    assert_eq!(house.shelf.listed().await, left, "{context}");
    house.assert_unharmed(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_is_gone_from_any_call_on_is_told_and_a_rerun_converges() {
    let base = House::new().await;
    for call in 1.. {
        let context = format!("gone from call {call} on");
        let fault = Fault::at(call, true);
        let house = base.copy(fault).await;
        let running = house.world.start(house.world.engine("a"));
        let job = house.prune(&running).await;
        let ended = house.world.ended(job).await;
        if house.shelf.fault().fired.load(Ordering::SeqCst) == 0 {
            assert!(call > 20, "{call} calls");
            assert_eq!(ended.state, JobState::Succeeded);
            break;
        }
        assert_eq!(ended.state, JobState::Failed, "{context}");
        let told = "the repository of web-1 cannot be worked on";
        assert!(ended.reason.contains(told), "{context}: {}", ended.reason);
        assert!(
            ended.reason.contains("the test's fault"),
            "{}",
            ended.reason
        );
        assert!(ended.advice.contains("ctl repository check web-1"));
        // What it had removed by then is not called undone.
        let rows = house.world.catalog.backups(false).await.unwrap();
        let events = running.engine.get(job).await.unwrap().events;
        let last = &events.last().unwrap().message;
        assert_eq!(
            last.contains("removed"),
            rows.len() < 4,
            "{context}: {last}"
        );
        running.stop().await;
        house.shelf.fault().heal();
        converges(&house, &context).await;
    }
}

/// Once: the step's patience brings it through.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_fails_once_costs_only_time() {
    let base = House::new().await;
    for call in 1.. {
        let fault = Fault::at(call, false);
        let house = base.copy(fault).await;
        let running = house.world.start(house.world.engine("a"));
        let job = house.prune(&running).await;
        let ended = house.world.ended(job).await;
        assert_eq!(ended.state, JobState::Succeeded, "{call}: {}", ended.reason);
        let removed = running.engine.get(job).await.unwrap().report.pruned;
        let removed = removed.unwrap().removed.backups;
        assert_eq!(removed, house.ids()[..2], "call {call}");
        running.stop().await;
        house.assert_unharmed(&format!("call {call}")).await;
        if house.shelf.fault().fired.load(Ordering::SeqCst) == 0 {
            assert!(call > 20, "{call} calls");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_dies_at_any_event_leaves_it_to_the_next() {
    let base = House::new().await;
    let mut crashes = 0;
    'events: for n in 1.. {
        for moment in [Moment::Before(n), Moment::After(n)] {
            let context = format!("{moment:?}");
            let house = base.copy(Fault::default()).await;
            let engine = house.world.engine("a");
            let job = house.world.submit(&engine).await;
            let Some(dead) = house.world.run_until(job, engine, moment).await else {
                break 'events;
            };
            drop(dead);
            house.world.expire_lease(job).await;
            let second = house.world.start(house.world.engine("b"));
            assert_eq!(
                house.world.state(job).await,
                JobState::Succeeded,
                "{context}"
            );
            let removed = second.engine.get(job).await.unwrap().report.pruned;
            assert_eq!(
                removed.unwrap().removed.backups,
                house.ids()[..2],
                "{context}"
            );
            second.stop().await;
            converges(&house, &context).await;
            crashes += 1;
        }
    }
    assert!(crashes >= 10, "{crashes} crashes");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_at_any_event_it_says_what_stays_removed() {
    let base = House::new().await;
    let mut seen = Vec::new();
    for n in 1.. {
        let context = format!("after event {n}");
        let house = base.copy(Fault::default()).await;
        let engine = house.world.engine("a");
        let job = house.world.submit(&engine).await;
        let moment = Moment::After(n);
        let Some(paused) = house.world.run_until(job, engine, moment).await else {
            break;
        };
        let before = house.world.leased_until(job).await;
        // Too late is an answer too: then it has succeeded.
        if paused.engine.cancel(job, "operator/bob").await.is_ok() {
            house.world.renewed(job, before).await;
        }
        paused.engine.inner.fuse.resume();
        let ended = house.world.ended(job).await;
        let rows = house.world.catalog.backups(false).await.unwrap();
        if ended.state == JobState::Cancelled {
            let events = paused.engine.get(job).await.unwrap().events;
            let last = &events.last().unwrap().message;
            assert_eq!(
                last.contains("removed"),
                rows.len() < 4,
                "{context}: {last}"
            );
        } else {
            assert_eq!(ended.state, JobState::Succeeded, "{context}");
        }
        seen.push((n, ended.state, rows.len()));
        paused.stop().await;
        converges(&house, &context).await;
    }
    let before =
        |(_, state, rows): &(u64, JobState, usize)| *state == JobState::Cancelled && *rows == 4;
    assert!(
        seen.iter().any(before),
        "none was cancelled before it removed anything: {seen:?}"
    );
}
