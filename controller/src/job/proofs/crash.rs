//! A controller that dies at any moment: the next one goes on, and the end is the same.

use super::{
    agents::Fault,
    fuse::Moment,
    harness::{World, catalog, samples},
};
use crate::job::{JobState, landing::checklist};

/// Both sides of the `n`th event, and agents that kept or lost their memory meanwhile.
fn moments(n: u64) -> [(Moment, bool); 4] {
    [
        (Moment::Before(n), false),
        (Moment::Before(n), true),
        (Moment::After(n), false),
        (Moment::After(n), true),
    ]
}

/// Runs the job with a crash at the moment; false when it ended before.
async fn crash(world: &World, moment: Moment, agents_die: bool, expected: JobState) -> bool {
    let submitter = world.engine("a");
    let job = world.submit(&submitter).await;
    let Some(dead) = world.run_until(job, submitter, moment).await else {
        return false;
    };
    drop(dead);
    if agents_die {
        world.agents.restart();
    }
    world.expire_lease(job).await;
    let second = world.start(world.engine("b"));
    let context = format!(
        "{moment:?}, agents die: {agents_die}; {}",
        world.sample.name
    );
    assert_eq!(
        world.state(job).await,
        expected,
        "{context}; {}",
        world.context()
    );
    let databases = match expected {
        JobState::Succeeded => (world.sample.after)(job),
        _ => world.sample.before.clone(),
    };
    assert_eq!(world.agents.databases(), databases, "{context}");
    // One that dies while it claims the next proof's job leaves a lease to be waited out.
    second.stop().await;
    true
}

#[tokio::test]
async fn after_a_crash_at_any_moment_the_job_goes_on() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let mut crashes = 0;
        'events: for n in 1.. {
            for (moment, agents_die) in moments(n) {
                let world = World::new(&shared, verbs, &sample);
                if !crash(&world, moment, agents_die, JobState::Succeeded).await {
                    break 'events;
                }
                crashes += 1;
            }
        }
        let steps = sample.spec.definition().steps().len();
        assert!(
            crashes >= 4 * (2 + 2 * steps),
            "{crashes} crashes of {steps} steps"
        );
    }
}

/// The last task fails after its work was done: everything is to be unwound, the half-done step
/// first; a crash at any moment of that, too.
#[tokio::test]
async fn after_a_crash_at_any_moment_of_unwinding_nothing_is_left() {
    let shared = catalog().await;
    for (verbs, sample) in samples() {
        let rehearsal = World::new(&shared, verbs, &sample);
        let running = rehearsal.start(rehearsal.engine("a"));
        let job = rehearsal.submit(&running.engine).await;
        rehearsal.ended(job).await;
        let mut worked = rehearsal.agents.worked();
        // The look at what stands fails no job.
        worked.retain(|task| !task.starts_with(checklist::NAME));
        let last = worked.pop().unwrap();
        drop(running);
        'events: for n in 1.. {
            for (moment, agents_die) in moments(n) {
                let world = World::new(&shared, verbs, &sample);
                // Twice: agents that lost their memory do the work again.
                world.agents.fail(Fault {
                    times: 2,
                    ..Fault::hopeless(&last, true)
                });
                if !crash(&world, moment, agents_die, JobState::Failed).await {
                    assert!(n > 4, "the fault was not hit");
                    break 'events;
                }
            }
        }
    }
}
