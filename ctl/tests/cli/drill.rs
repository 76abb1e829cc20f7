//! `ctl drill` from the command line to the last exit code.

use holdfast_proto::wire::{self, DrillVerdict, JobState, watch_job_response::Update};
use serde_json::json;
use tonic::Status;

use crate::{
    answers::{SHOP, ago, ended, event, fleet, job},
    controller::{Controller, Said},
    scripted::{Telling, Then},
};

fn statement(verdict: &str, broken: Option<&str>) -> String {
    let outcome = if broken.is_some() { "failed" } else { "passed" };
    let report = json!({
        "format": 2, "kind": "backup", "drill": 3, "job": 42, "subject": SHOP,
        "backup": {
            "id": 12, "kind": "full", "taken_at": "2026-11-20T10:00:00Z", "stored_at": "2026-11-20T10:00:09Z",
            "snapshot": "5a01", "lsn": "0/1", "tables": 2, "rows": 5003, "bytes": 400, "schema_hash": "00",
        },
        "host": "web-2", "parts": [], "controller": "0.1.0",
        "server": {
            "image": "postgres:17", "image_id": "sha256:ab", "source_version": "17.1", "version": "17.1",
            "limits": {"cpu_millis": 1000, "memory_bytes": 1024},
        },
        "started_at": "2026-11-20T11:00:00Z", "ended_at": "2026-11-20T11:01:00Z",
        "verdict": verdict, "broken": broken, "reason": if broken.is_some() { "a pack is gone" } else { "" },
        "rungs": [{"name": "repository", "outcome": outcome, "detail": "what was found", "findings": []}],
        "times": {"read_ms": 1, "took_ms": 2, "fetch_ms": 3, "restore_ms": 4, "index_ms": 5, "check_ms": 6, "rpo_ms": 7},
        "targets": {"rto_ms": null, "rpo_ms": null},
    });
    report.to_string()
}

/// A controller whose job 42 drills backup 12, with this verdict.
fn finds(verdict: DrillVerdict, state: JobState) -> Controller {
    let mut detail = ended(state);
    if let Some(job) = &mut detail.job {
        "drill-backup".clone_into(&mut job.kind);
    }
    let (word, broken) = match verdict {
        DrillVerdict::Proven => ("proven", None),
        DrillVerdict::Damaged => ("damaged", Some("repository")),
        _ => ("could-not-run", Some("repository")),
    };
    let controller = Controller::with_login();
    controller.answer(fleet).answer(|answers| {
        answers.run_drill = Some(wire::RunDrillResponse {
            job: 42,
            kind: wire::DrillKind::Backup.into(),
            subject: SHOP.to_owned(),
            backup: 12,
            host: "web-2".to_owned(),
            taken_at: Some(ago(3600)),
            backups: 1,
        });
        let drill = wire::Drill {
            id: 3,
            job: 42,
            kind: wire::DrillKind::Backup.into(),
            subject: SHOP.to_owned(),
            backup: 12,
            taken_at: Some(ago(3600)),
            host: "web-2".to_owned(),
            started_at: Some(ago(60)),
            ended_at: Some(ago(1)),
            verdict: verdict.into(),
            broken: broken.unwrap_or_default().to_owned(),
            ..wire::Drill::default()
        };
        answers.list_drills = Some(wire::ListDrillsResponse {
            drills: vec![drill.clone()],
        });
        answers.get_drill = Some(wire::GetDrillResponse {
            drill: Some(drill),
            statement: statement(word, broken),
            signature: b"signed".to_vec(),
            certificate_pem: "-----BEGIN CERTIFICATE-----".to_owned(),
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

fn run(controller: &Controller) -> Said {
    let latest = format!("{SHOP}@latest");
    controller.ctl(&["drill", "run", &latest, "--on", "web-2"])
}

#[test]
fn the_verdict_is_the_exit_code() {
    for (verdict, state, code) in [
        (DrillVerdict::Proven, JobState::Succeeded, 0),
        (DrillVerdict::Damaged, JobState::Failed, 8),
        (DrillVerdict::CouldNotRun, JobState::Failed, 10),
        (DrillVerdict::CouldNotRun, JobState::Cancelled, 11),
    ] {
        let said = run(&finds(verdict, state));
        assert_eq!(said.code, code, "{verdict:?}: {said:#?}");
    }
}

#[test]
fn a_drill_says_what_it_takes_where_and_what_it_found() {
    let controller = finds(DrillVerdict::Damaged, JobState::Failed);
    let said = run(&controller);
    let head = "job 42: drill of backup 12 of web-1/shop-db/shop, taken ";
    assert!(said.err.starts_with(head), "{said:#?}");
    for part in [
        "✗ drill 3: backup 12 of web-1/shop-db/shop is damaged: repository data intact: a pack is gone\n",
        "  ✗ repository data intact",
        "next: ctl drill report 3",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in\n{}", said.out);
    }
    let request = controller.script.requests("run_drill").remove(0);
    assert!(request.contains("host: \"web-2\""), "{request}");
    let asked = controller.script.requests("get_drill").remove(0);
    assert!(asked.contains("job: 42"), "{asked}");
}

#[test]
fn a_report_comes_in_three_forms_and_one_that_is_not_there_is_three() {
    let controller = finds(DrillVerdict::Proven, JobState::Succeeded);
    let report = |format: &str| {
        let said = controller.ctl(&["drill", "report", "3", "--format", format]);
        assert_eq!(said.code, 0, "{said:#?}");
        said.out
    };
    assert!(report("md").starts_with("# Restore drill 3: proven\n"));
    assert!(report("html").starts_with("<!DOCTYPE html>"));
    let json: serde_json::Value = serde_json::from_str(&report("json")).unwrap();
    assert_eq!(json["signature"], "c2lnbmVk");
    let listed = controller.ctl(&["drill", "list"]);
    assert!(listed.out.contains("proven"), "{listed:#?}");
    controller.fail("get_drill", Status::not_found("there is no drill 4"));
    assert_eq!(controller.ctl(&["drill", "show", "4"]).code, 3);
}

#[test]
fn each_kind_asks_for_what_it_needs_and_refuses_what_means_nothing() {
    let controller = finds(DrillVerdict::Proven, JobState::Succeeded);
    let asks = |args: &[&str]| {
        let said = controller.ctl(&[&["drill", "run"], args, &["--detach"]].concat());
        assert_eq!(said.code, 0, "{said:#?}");
        controller.script.requests("run_drill").pop().unwrap()
    };
    let offsite = asks(&["web-1", "--kind", "offsite"]);
    for part in ["kind: Offsite", "source: \"web-1\"", "backup: \"\""] {
        assert!(offsite.contains(part), "{part:?} is not in {offsite}");
    }
    let rebuild = asks(&["web-1", "--kind", "rebuild", "--on", "lab-1"]);
    for part in ["kind: Rebuild", "source: \"web-1\"", "host: \"lab-1\""] {
        assert!(rebuild.contains(part), "{part:?} is not in {rebuild}");
    }
    for args in [
        &["web-1", "--kind", "offsite", "--on", "lab-1"][..],
        &["web-1", "--kind", "rebuild", "--image", "postgres:17"],
        &["web-1/shop-db/shop", "--kind", "offsite"],
    ] {
        let said = controller.ctl(&[&["drill", "run"], args].concat());
        assert_eq!(said.code, 2, "{args:?}: {said:#?}");
    }
    controller.ctl(&["drill", "list", "web-1", "--kind", "offsite"]);
    let listed = controller.script.requests("list_drills").pop().unwrap();
    assert!(
        listed.contains("host: \"web-1\"") && listed.contains("kind: Offsite"),
        "{listed}"
    );
}
