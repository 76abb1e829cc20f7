//! Samples of the merge job, and its verbs on scripted agents.

use std::time::Duration;

use holdfast_proto::{
    link::StartTask,
    names::HostName,
    task::{
        DatabaseTarget, FailureKind, MergedRows, MergedTable, TaskFailure, TaskResult, TaskSpec,
        UnmergedRows,
    },
};

use super::{
    agents::{Databases, Fault, failure},
    copy,
    harness::{Sample, World, catalog},
};
use crate::job::{JobSpec, JobState, MergeRows};

const LIVE: &str = "web-1/shop-db/shop";
const KEPT: &str = "web-1/shop-db/shop__before_7";
const UNDONE: &str = "the rows are out again";

/// Rows are words.
fn world(live: &str) -> Databases {
    Databases::from([
        (LIVE.to_owned(), live.to_owned()),
        (KEPT.to_owned(), "ann bob eve".to_owned()),
    ])
}

fn with_ledger(live: &str, job: u64, ledger: &str) -> Databases {
    let mut world = world(live);
    world.insert(format!("{LIVE}__merged_{job}"), ledger.to_owned());
    world
}

pub fn samples() -> Vec<Sample> {
    vec![
        Sample {
            name: "merge",
            spec: spec(false),
            before: world("ann bob"),
            after: |job| with_ledger("ann bob eve", job, "eve"),
            swept: world("ann bob eve"),
            undone: |job| with_ledger("ann bob", job, UNDONE),
            forgotten: world("ann bob"),
        },
        Sample {
            name: "dry run of a merge",
            spec: spec(true),
            before: world("ann bob"),
            after: |_| world("ann bob"),
            swept: world("ann bob"),
            undone: |_| unreachable!("it changes nothing"),
            forgotten: world("ann bob"),
        },
    ]
}

fn spec(dry_run: bool) -> JobSpec {
    JobSpec::MergeRows(MergeRows {
        database: LIVE.parse().unwrap(),
        from: "shop__before_7".to_owned(),
        replaced_by: Some(7),
        tables: vec![],
        take: false,
        dry_run,
        keep: Duration::from_hours(24),
    })
}

pub fn verbs(
    databases: &mut Databases,
    host: &HostName,
    task: &StartTask,
) -> Result<TaskResult, TaskFailure> {
    let full =
        |target: &DatabaseTarget, database: &str| format!("{host}/{}/{database}", target.instance);
    match &task.spec {
        TaskSpec::MergeRows(merge) => {
            let ledger = full(&merge.target, &merge.ledger);
            if let Some(rows) = databases.get(&ledger) {
                return Ok(TaskResult::MergedRows(report(rows)));
            }
            let live = full(&merge.target, &merge.target.database);
            let (ours, theirs) = (
                &databases[&live],
                &databases[&full(&merge.target, &merge.kept)],
            );
            let new = theirs
                .split(' ')
                .filter(|row| !ours.split(' ').any(|our| our == *row));
            let new = new.collect::<Vec<_>>().join(" ");
            if !merge.dry_run {
                let all = format!("{ours} {new}");
                databases.insert(live, all);
                databases.insert(ledger, new.clone());
            }
            Ok(TaskResult::MergedRows(report(&new)))
        }
        TaskSpec::UnmergeRows(back) => {
            let (ledger, live) = (
                full(&back.target, &back.ledger),
                full(&back.target, &back.target.database),
            );
            let known = databases.remove(&ledger);
            let unmerged = UnmergedRows {
                existed: known.is_some(),
                ..UnmergedRows::default()
            };
            match known {
                None if back.succeeded && !back.forget => {
                    return Err(failure(FailureKind::Conflict, false, "another database"));
                }
                Some(rows) if !back.forget => {
                    if rows != UNDONE {
                        let left = databases[&live].replace(&format!(" {rows}"), "");
                        databases.insert(live, left);
                    }
                    if back.succeeded {
                        databases.insert(ledger, UNDONE.to_owned());
                    }
                }
                None | Some(_) => {}
            }
            Ok(TaskResult::UnmergedRows(unmerged))
        }
        _ => copy::verbs(databases, host, task),
    }
}

fn report(rows: &str) -> MergedRows {
    MergedRows {
        tables: vec![MergedTable {
            schema: "public".to_owned(),
            name: "users".to_owned(),
            merged: rows.split_whitespace().count() as u64,
            ..MergedTable::default()
        }],
    }
}

#[tokio::test]
async fn the_report_stays_with_the_job_and_says_what_an_undo_would_do() {
    let shared = catalog().await;
    let world = World::new(&shared, verbs, &samples().remove(0));
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Succeeded);
    let shown = running.engine.get(job).await.unwrap();
    assert_eq!(shown.report.merged, Some(report("eve")));
    assert!(
        shown
            .report
            .undo
            .starts_with("takes 1 merged rows out of shop again")
    );
    let told = shown
        .events
        .iter()
        .any(|event| event.message.starts_with("1 row merged"));
    assert!(told, "{:#?}", shown.events);
}

/// Rows that somebody has changed since stay, and a person is told.
#[tokio::test]
async fn an_undo_that_is_refused_says_why_and_can_be_asked_for_again() {
    let shared = catalog().await;
    let world = World::new(&shared, verbs, &samples().remove(0));
    let running = world.start(world.engine("a"));
    let job = world.submit(&running.engine).await;
    assert_eq!(world.state(job).await, JobState::Succeeded);
    world.agents.fail(Fault::hopeless("merge/undo", false));
    running.engine.undo(job, "operator/bob").await.unwrap();
    let stuck = world.ended(job).await;
    assert_eq!(
        (stuck.state, stuck.reason.as_str()),
        (JobState::Stuck, "scripted")
    );
    running.engine.undo(job, "operator/bob").await.unwrap();
    let again = world.ended(job).await;
    assert_eq!(again.state, JobState::Undone, "{}", world.context());
    assert_eq!(
        world.agents.databases(),
        with_ledger("ann bob", job, UNDONE)
    );
}
