//! What a copy leaves is said where people look: in the report, and in the last event.

use super::{
    agents::Fault,
    copy,
    harness::{Running, Sample, World, catalog},
};
use crate::job::{JobDetails, JobId, JobState, KeptReason};

const LEFT: &str = "roles created and left: shop; drop them with DROP ROLE if nobody needs them";

fn sample(name: &str) -> Sample {
    let mut samples = copy::samples().into_iter();
    samples.find(|sample| sample.name == name).unwrap()
}

async fn details(running: &Running, job: JobId) -> (JobDetails, String) {
    let details = running.engine.get(job).await.unwrap();
    let last = details.events.last().unwrap().message.clone();
    (details, last)
}

#[tokio::test]
async fn a_copy_that_does_not_stand_names_the_roles_that_it_created() {
    let shared = catalog().await;
    let world = World::new(&shared, copy::verbs, &sample("copy to a free name"));
    world
        .agents
        .fail(Fault::hopeless("transfer.send/do", false));
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Failed);
    let (failed, last) = details(&running, job).await;
    assert_eq!(failed.report.roles_left, ["shop"]);
    assert!(!failed.report.roles_left_uncertain);
    assert_eq!(
        last,
        format!("failed; everything else it had done is undone; {LEFT}")
    );
    // Its engine would claim the next job, and work on the first world's agents.
    running.stop().await;

    let world = World::new(&shared, copy::verbs, &sample("copy to a free name"));
    world
        .agents
        .fail(Fault::hopeless("preflight.source/do", false));
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Failed);
    let (failed, last) = details(&running, job).await;
    assert_eq!(failed.report.roles_left, [""; 0]);
    assert_eq!(last, "failed; everything it had done is undone");
}

#[tokio::test]
async fn what_is_kept_is_named_until_it_is_gone() {
    let shared = catalog().await;
    let world = World::new(
        &shared,
        copy::verbs,
        &sample("copy in the place of another"),
    );
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Succeeded);
    let (done, last) = details(&running, job).await;
    assert_eq!(last, "succeeded");
    assert_eq!(done.report.roles_left, [""; 0]);
    let [kept] = &done.report.kept[..] else {
        panic!("{:?}", done.report.kept);
    };
    assert_eq!(kept.reason, KeptReason::Replaced);
    assert_eq!(kept.database.database, format!("shop_test__before_{job}"));
    assert_eq!(Some(kept.until), done.job.undo_until);
    assert!(
        done.report.undo.contains("the name shop_test again"),
        "{}",
        done.report.undo
    );

    running.engine.undo(job, "operator/bob").await.unwrap();
    assert_eq!(world.state(job).await, JobState::Undone);
    let (undone, last) = details(&running, job).await;
    assert_eq!(last, format!("undone; {LEFT}"));
    assert_eq!(undone.report.roles_left, ["shop"]);
    assert_eq!(undone.report.undo, "");
    let [kept] = &undone.report.kept[..] else {
        panic!("{:?}", undone.report.kept);
    };
    assert_eq!(kept.reason, KeptReason::Undone);
    assert_eq!(kept.database.database, format!("shop_test__undone_{job}"));
}
