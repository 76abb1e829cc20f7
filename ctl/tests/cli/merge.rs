//! `ctl restore merge` from the command line to the last exit code.

use holdfast_proto::{
    names::DatabaseName,
    wire::{self, JobState, watch_job_response::Update},
};
use tonic::Status;

use crate::{
    answers::{SHOP, ended, event, fleet, job},
    controller::{Controller, Said},
    scripted::{Telling, Then},
};

/// Two rows came, of which one was refused when there is something left.
fn users(left: bool) -> wire::MergedTable {
    let rows = left.then(|| wire::MergeRow {
        key: "id=16".to_owned(),
        columns: vec![],
        reason: "users_email_key allows it once, and it is in the live row id=99".to_owned(),
    });
    wire::MergedTable {
        schema: "public".to_owned(),
        name: "users".to_owned(),
        only_there: 2,
        equal: 13,
        merged: if left { 1 } else { 2 },
        refused: u64::from(left),
        rows: rows.into_iter().collect(),
        ..wire::MergedTable::default()
    }
}

/// A controller whose job 42 merges what job 41 replaced, and ends as given.
fn ends_as(state: JobState, merged: Option<wire::MergedTable>) -> Controller {
    let name: DatabaseName = SHOP.parse().unwrap();
    let mut detail = ended(state);
    if let Some(job) = &mut detail.job {
        "merge-rows".clone_into(&mut job.kind);
    }
    detail.report = Some(wire::JobReport {
        merged: merged.map(|table| wire::MergedRows {
            tables: vec![table],
        }),
        ..wire::JobReport::default()
    });
    let controller = Controller::with_login();
    controller.answer(fleet).answer(|answers| {
        answers.merge_rows = Some(wire::MergeRowsResponse {
            job: 42,
            database: Some(name.into()),
            from: "shop__before_41".to_owned(),
            restore: 41,
        });
        answers.watch_job = vec![Telling {
            updates: vec![
                Update::Job(job(JobState::Running)),
                Update::Event(event(1, "created", "")),
                Update::Job(detail.job.clone().unwrap()),
            ],
            then: Then::End,
        }];
        answers.get_job = Some(detail);
    });
    controller
}

fn merge(controller: &Controller, args: &[&str]) -> Said {
    controller.ctl(&[&["restore", "merge"], args].concat())
}

#[test]
fn what_came_is_counted_and_nothing_left_is_zero() {
    let controller = ends_as(JobState::Succeeded, Some(users(false)));
    let said = merge(&controller, &[SHOP]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(
        said.err
            .starts_with("job 42: merge rows of shop__before_41 into web-1/shop-db/shop\n"),
        "{said:#?}"
    );
    let head = "✓ shop__before_41 → web-1/shop-db/shop: 2 rows merged\n";
    assert!(said.out.starts_with(head), "{said:#?}");
    assert!(said.out.contains("ctl job undo 42"), "{said:#?}");
    let request = controller.script.requests("merge_rows").remove(0);
    for part in ["database: \"shop\"", "restore: 0", "dry_run: false"] {
        assert!(request.contains(part), "{part:?} is not in {request}");
    }
}

#[test]
fn a_row_that_was_left_is_shown_with_its_reason_and_is_twelve() {
    let controller = ends_as(JobState::Succeeded, Some(users(true)));
    let said = merge(
        &controller,
        &["41", "--table", "users", "--on-conflict", "take"],
    );
    assert_eq!(said.code, 12, "{said:#?}");
    for part in [
        "! shop__before_41 → web-1/shop-db/shop: 1 row merged; some were left\n",
        "id=16",
        "users_email_key allows it once",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in\n{}", said.out);
    }
    let request = controller.script.requests("merge_rows").remove(0);
    for part in ["restore: 41", "tables: [\"users\"]", "on_conflict: Take"] {
        assert!(request.contains(part), "{part:?} is not in {request}");
    }
    let json = merge(&controller, &["41", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["merged"]["tables"][0]["refused"], 1, "{json:#}");
    assert_eq!(json["replaced_by"], 41);
}

#[test]
fn a_merge_that_fails_says_that_nothing_came() {
    let said = merge(&ends_as(JobState::Failed, None), &[SHOP]);
    assert_eq!(said.code, 7, "{said:#?}");
    assert!(said.out.starts_with("✗ shop__before_41"), "{said:#?}");
    let nothing = Controller::with_login();
    nothing.answer(fleet);
    nothing.fail(
        "merge_rows",
        Status::failed_precondition("no job has replaced web-1/shop-db/shop"),
    );
    let said = merge(&nothing, &[SHOP]);
    assert_eq!(said.code, 6, "{said:#?}");
    assert!(said.err.contains("no job has replaced"), "{said:#?}");
}
