//! `ctl restore` from the command line to the last exit code.

use holdfast_proto::{
    names::DatabaseName,
    wire::{self, JobState, watch_job_response::Update},
};
use tonic::Status;

use crate::{
    answers::{COPY, SHOP, ago, ended, event, fleet, job, preflight},
    controller::{Controller, Said},
    scripted::{Telling, Then},
};

/// A controller whose job 42 brings backup 12 back, and ends as given.
fn ends_as(mut detail: wire::GetJobResponse) -> Controller {
    let name = |text: &str| {
        let name: DatabaseName = text.parse().unwrap();
        Some(name.into())
    };
    if let Some(job) = &mut detail.job {
        "restore-database".clone_into(&mut job.kind);
    }
    let controller = Controller::with_login();
    controller.answer(fleet).answer(|answers| {
        answers.restore_database = Some(wire::RestoreDatabaseResponse {
            job: 42,
            backup: 12,
            source: name(SHOP),
            target: name(COPY),
            taken_at: Some(ago(3600)),
        });
        answers.watch_job = vec![Telling {
            updates: vec![
                Update::Job(job(JobState::Running)),
                Update::Event(event(1, "created", "")),
                Update::Event(event(2, "step-started", "transfer")),
                Update::Event(event(3, "step-done", "transfer")),
                Update::Job(detail.job.clone().unwrap()),
            ],
            then: Then::End,
        }];
        answers.get_job = Some(detail);
    });
    controller
}

fn restore(controller: &Controller, args: &[&str]) -> Said {
    controller.ctl(&[&["restore"], args].concat())
}

#[test]
fn a_restore_says_which_backup_it_brings_and_ends_with_its_proof() {
    let controller = ends_as(ended(JobState::Succeeded));
    let latest = format!("{SHOP}@latest");
    let said = restore(
        &controller,
        &[&latest, "--to", COPY, "--keep", "2h", "--jobs", "4"],
    );
    assert_eq!(said.code, 0, "{said:#?}");
    let head = "job 42: restore backup 12 of web-1/shop-db/shop, taken ";
    assert!(said.err.starts_with(head), "{said:#?}");
    for part in [
        "✓ backup 12 of web-1/shop-db/shop → web-2/shop-db/shop_test: restored and proven\n",
        "  proof      green (full): 2 of 2 tables read back and equal in rows and fingerprint\n",
        "  check      users: ok, 5 000 rows\n",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in\n{}", said.out);
    }
    let request = controller.script.requests("restore_database").remove(0);
    for part in [
        "backup: \"web-1/shop-db/shop@latest\"",
        "database: \"shop_test\"",
        "jobs: 4",
        "seconds: 7200",
        "replace: false",
        "dry_run: false",
    ] {
        assert!(request.contains(part), "{part:?} is not in {request}");
    }
}

#[test]
fn with_json_the_backup_is_named_beside_the_proof() {
    let controller = ends_as(ended(JobState::Succeeded));
    let said = restore(&controller, &["12", "-o", "json"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["backup"], 12);
    assert_eq!(json["source"], SHOP);
    assert_eq!(json["target"], COPY);
    assert_eq!(json["green"], true);
    assert!(json["taken_at"].is_string(), "{json:#}");
}

#[test]
fn a_preflight_that_says_no_is_six_and_a_proof_that_is_not_green_eight() {
    let mut refused = ended(JobState::Failed);
    refused.report = Some(wire::JobReport {
        preflight: preflight(wire::PreflightVerdict::Failed),
        ..wire::JobReport::default()
    });
    assert_eq!(restore(&ends_as(refused), &["12"]).code, 6);
    let mut differs = ended(JobState::Failed);
    if let Some(report) = &mut differs.report {
        report.proof = Some(crate::answers::proof(false));
    }
    let said = restore(&ends_as(differs), &["12"]);
    assert_eq!(said.code, 8, "{said:#?}");
}

#[test]
fn replacing_needs_a_name_and_a_confirmation_before_anything_is_asked_for() {
    let controller = ends_as(ended(JobState::Succeeded));
    let unnamed = restore(&controller, &["12", "--replace", "--yes"]);
    unnamed.refused(2, &["name it: --to HOST/INSTANCE/DATABASE"]);
    let unconfirmed = restore(&controller, &[SHOP, "--replace"]);
    unconfirmed.refused(2, &["replacing web-1/shop-db/shop needs a confirmation"]);
    assert!(controller.script.requests("restore_database").is_empty());
    let said = restore(&controller, &[SHOP, "--replace", "--yes"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let request = controller.script.requests("restore_database").remove(0);
    assert!(request.contains("replace: true"), "{request}");
}

#[test]
fn a_database_without_a_backup_is_three_with_the_name_that_was_meant() {
    let controller = ends_as(ended(JobState::Succeeded));
    let none = Status::not_found("web-1/shop-db/shpo has no backup at all");
    controller.fail("restore_database", none);
    let said = restore(&controller, &["web-1/shop-db/shpo@latest"]);
    assert_eq!(said.code, 3, "{said:#?}");
    assert!(said.err.contains("has no backup at all"), "{said:#?}");
    assert!(
        said.err.contains("did you mean web-1/shop-db/shop?"),
        "{said:#?}"
    );
}
