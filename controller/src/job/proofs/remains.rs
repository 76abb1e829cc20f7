//! What a copy leaves is said where people look: in the report, and in the last event.

use super::{
    agents::{Databases, Fault},
    copy,
    harness::{Running, Sample, World, catalog},
};
use crate::job::{EventLine, JobDetails, JobId, JobState, KeptReason};

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

/// A copy whose transfer fails, in a world with one thing more.
async fn failed_beside(more: &[(&str, &str)]) -> (JobDetails, Databases) {
    let shared = catalog().await;
    let mut sample = sample("copy to a free name");
    let more = more.iter();
    let more = more.map(|(name, content)| ((*name).to_owned(), (*content).to_owned()));
    sample.before.extend(more);
    let world = World::new(&shared, copy::verbs, &sample);
    world
        .agents
        .fail(Fault::hopeless("transfer.send/do", false));
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Failed);
    let details = running.engine.get(job).await.unwrap();
    (details, world.agents.databases())
}

fn undone(details: &JobDetails) -> &str {
    let undone = |line: &&EventLine| line.kind == "step-undone" && line.step == "stage";
    &details.events.iter().find(undone).unwrap().message
}

#[tokio::test]
async fn a_copy_that_does_not_stand_takes_its_roles_with_it() {
    let (failed, world) = failed_beside(&[]).await;
    assert!(!world.contains_key(copy::ROLE), "{world:?}");
    assert_eq!(failed.report.roles_left, [""; 0]);
    let last = &failed.events.last().unwrap().message;
    assert_eq!(last, "failed; everything it had done is undone");
    assert_eq!(undone(&failed), "roles gone: shop");
}

#[tokio::test]
async fn a_role_that_somebody_uses_by_now_stays_and_is_named() {
    let (failed, world) = failed_beside(&[("web-2/shop-db/other", "owned by shop")]).await;
    assert!(world.contains_key(copy::ROLE), "{world:?}");
    assert_eq!(failed.report.roles_left, ["shop"]);
    assert!(!failed.report.roles_left_uncertain);
    let last = &failed.events.last().unwrap().message;
    assert_eq!(
        *last,
        format!("failed; everything else it had done is undone; {LEFT}")
    );
    assert_eq!(undone(&failed), "role shop stays: owner of database other");
}

#[tokio::test]
async fn a_role_of_another_job_is_not_touched() {
    let (failed, world) = failed_beside(&[(copy::ROLE, "a role of job 0")]).await;
    assert_eq!(world[copy::ROLE], "a role of job 0");
    assert_eq!(failed.report.roles_left, [""; 0]);
}

#[tokio::test]
async fn a_copy_that_failed_before_it_made_anything_leaves_nothing() {
    let shared = catalog().await;
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

/// Also the last attempt, which nobody waits for: the controller that gave it up may have died since.
#[tokio::test]
async fn both_ends_of_a_transfer_that_was_given_up_are_ended_by_its_undo() {
    let shared = catalog().await;
    let world = World::new(&shared, copy::verbs, &sample("copy to a free name"));
    world
        .agents
        .fail(Fault::passing("transfer.send/do", false, 100));
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Failed);
    running.stop().await;
    for (part, attempt) in [("send", 1), ("send", 8), ("receive", 1), ("receive", 8)] {
        let id = format!("{job}/transfer.{part}/do/{attempt}");
        assert!(world.agents.cancels().contains(&id), "{id}");
    }
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
