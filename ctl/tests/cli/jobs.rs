//! `ctl job`: watched, cancelled, taken back.

use holdfast_proto::wire::{self, JobState, watch_job_response::Update};
use tonic::Status;

use crate::{
    answers::{ended, event, fleet, job},
    controller::Controller,
    scripted::{Telling, Then},
};

fn ends_as(state: JobState) -> Controller {
    let controller = Controller::with_login();
    controller.answer(fleet).answer(|answers| {
        answers.get_job = Some(ended(state));
        answers.cancel_job = Some(wire::CancelJobResponse {
            job: Some(job(JobState::Undoing)),
        });
        answers.undo_job = Some(wire::UndoJobResponse {
            job: Some(job(JobState::Undoing)),
        });
        answers.watch_job = vec![Telling {
            updates: vec![
                Update::Event(event(1, "step-undo-started", "publish")),
                Update::Event(event(2, "step-undone", "publish")),
                Update::Job(job(state)),
            ],
            then: Then::End,
        }];
    });
    controller
}

#[test]
fn an_undo_that_ends_undone_is_a_success() {
    let controller = ends_as(JobState::Undone);
    let said = controller.ctl(&["job", "undo", "42"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(
        said.err.contains("↺ undoing publish\n✓ publish undone\n"),
        "{said:#?}"
    );
    assert!(
        said.out.contains("undone; what it had replaced is back"),
        "{said:#?}"
    );
    assert_eq!(ends_as(JobState::Stuck).ctl(&["job", "undo", "42"]).code, 9);
}

#[test]
fn a_cancel_that_comes_too_late_is_not_called_one() {
    assert_eq!(
        ends_as(JobState::Cancelled)
            .ctl(&["job", "cancel", "42"])
            .code,
        0
    );
    // It had succeeded meanwhile: the outcome is told as it is.
    let said = ends_as(JobState::Succeeded).ctl(&["job", "cancel", "42"]);
    assert_eq!(said.code, 0);
    assert!(said.out.contains("copied and proven"), "{said:#?}");
}

#[test]
fn watching_tells_the_end_by_exit_code() {
    for (state, code) in [
        (JobState::Succeeded, 0),
        (JobState::Failed, 7),
        (JobState::Cancelled, 11),
        (JobState::Undone, 11),
        (JobState::Stuck, 9),
    ] {
        let said = ends_as(state).ctl(&["job", "watch", "42"]);
        assert_eq!(said.code, code, "{state:?}: {said:#?}");
    }
    let json = ends_as(JobState::Succeeded).json(&["job", "watch", "42"]);
    assert_eq!(json["job"]["id"], 42);
    assert_eq!(json["events"][1]["step"], "preflight");
}

#[test]
fn detached_requests_answer_at_once() {
    let controller = ends_as(JobState::Undone);
    let said = controller.ctl(&["job", "undo", "42", "--detach"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.out.ends_with("is undoing\n"), "{said:#?}");
    assert!(controller.script.requests("watch_job").is_empty());
}

#[test]
fn what_cannot_be_undone_says_why() {
    let controller = ends_as(JobState::Succeeded);
    controller.fail(
        "undo_job",
        Status::failed_precondition("the former database was dropped 3 h ago"),
    );
    controller.ctl(&["job", "undo", "42"]).refused(
        6,
        &["cannot undo job 42: the former database was dropped 3 h ago"],
    );
    controller.answer(|answers| answers.watch_job.clear());
    controller.ctl(&["job", "watch", "99"]).refused(
        3,
        &[
            "cannot watch job 99: there is no such job",
            "next: ctl job list",
        ],
    );
}
