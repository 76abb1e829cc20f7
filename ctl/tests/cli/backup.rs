//! `ctl backup` from the command line to the last exit code.

use holdfast_proto::{
    names::DatabaseName,
    wire::{self, JobState, watch_job_response::Update},
};
use tonic::Status;

use crate::{
    answers::{SHOP, ago, ahead, ended, fleet, job},
    controller::Controller,
    scripted::{Telling, Then},
};

const WIKI: &str = "web-1/wiki-db/wiki";

fn name(text: &str) -> Option<wire::DatabaseName> {
    let name: DatabaseName = text.parse().unwrap();
    Some(name.into())
}

fn backup() -> wire::Backup {
    wire::Backup {
        id: 17,
        database: name(SHOP),
        engine: wire::Engine::Postgres.into(),
        kind: "full".to_owned(),
        state: "stored".to_owned(),
        taken_at: Some(ago(60)),
        stored_at: Some(ago(50)),
        logical_bytes: 1 << 20,
        stored_bytes: 1 << 10,
        snapshot: "4f2a".to_owned(),
        job: 42,
        ..wire::Backup::default()
    }
}

/// Job 42 backs the shop up and ends as given; the wiki is refused.
fn backs_up(state: JobState, listed: bool) -> Controller {
    let mut detail = ended(state);
    if let Some(report) = &mut detail.report {
        report.proof = None;
    }
    let controller = Controller::with_login();
    controller.answer(fleet).answer(|answers| {
        answers.create_backups = Some(wire::CreateBackupsResponse {
            started: vec![wire::StartedBackup {
                database: name(SHOP),
                job: 42,
                refused: String::new(),
            }],
        });
        answers.watch_job = vec![Telling {
            updates: vec![
                Update::Job(job(JobState::Running)),
                Update::Job(detail.job.clone().unwrap()),
            ],
            then: Then::End,
        }];
        answers.get_job = Some(detail);
        answers.list_backups = Some(wire::ListBackupsResponse {
            backups: if listed { vec![backup()] } else { vec![] },
        });
        answers.get_backup = Some(wire::GetBackupResponse {
            backup: Some(backup()),
            selection: Some(wire::Selection::default()),
            ..wire::GetBackupResponse::default()
        });
    });
    controller
}

#[test]
fn a_backup_that_is_stored_ends_with_its_number() {
    let controller = backs_up(JobState::Succeeded, true);
    let said = controller.ctl(&["backup", "create", SHOP, "--table", "users"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(
        said.err.starts_with("job 42: back up web-1/shop-db/shop\n"),
        "{said:#?}"
    );
    let line = "✓ web-1/shop-db/shop: backup 17, 1.0 MiB, the repository grew by 1.0 KiB";
    assert!(said.out.starts_with(line), "{said:#?}");
    assert!(
        said.out.ends_with("next:\n  ctl backup show 17\n"),
        "{said:#?}"
    );
    let request = controller.script.requests("create_backups").remove(0);
    for part in ["database: \"shop\"", "tables: [\"users\"]", "all: false"] {
        assert!(request.contains(part), "{part:?} is not in {request}");
    }
}

#[test]
fn what_counts_is_the_row_and_not_the_job() {
    let said = backs_up(JobState::Succeeded, false).ctl(&["backup", "create", SHOP]);
    assert_eq!(said.code, 8, "{said:#?}");
    assert!(
        said.out.contains("but its backup is not listed"),
        "{said:#?}"
    );
    let said = backs_up(JobState::Failed, false).ctl(&["backup", "create", SHOP]);
    assert_eq!(said.code, 7, "{said:#?}");
}

#[test]
fn one_that_is_refused_among_others_decides_the_exit_code() {
    let controller = backs_up(JobState::Succeeded, true);
    controller.answer(|answers| {
        let started = &mut answers.create_backups.as_mut().unwrap().started;
        started.push(wire::StartedBackup {
            database: name(WIKI),
            job: 0,
            refused: "the catalog is away".to_owned(),
        });
    });
    let said = controller.ctl(&["backup", "create", SHOP, WIKI]);
    assert_eq!(said.code, 6, "{said:#?}");
    for part in [
        "✓ web-1/shop-db/shop: backup 17",
        "✗ web-1/wiki-db/wiki: the catalog is away",
        "1 of 2 are backed up",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in\n{}", said.out);
    }
    let detached = controller.ctl(&["backup", "create", SHOP, WIKI, "--detach"]);
    assert_eq!(detached.code, 6, "{detached:#?}");
    assert!(
        controller.script.requests("watch_job").len() == 1,
        "nobody waits"
    );
}

#[test]
fn without_every_backup_nothing_is_noted_and_nobody_shall_deploy() {
    let controller = backs_up(JobState::Failed, false);
    let args = ["backup", "before-deploy", "--project", "shop"];
    let said = controller.ctl(&args);
    assert_eq!(said.code, 7, "{said:#?}");
    assert!(said.out.contains("do not deploy"), "{said:#?}");
    assert!(controller.script.requests("record_deployment").is_empty());

    let controller = backs_up(JobState::Succeeded, true);
    controller.answer(|answers| {
        answers.record_deployment = Some(wire::RecordDeploymentResponse {
            deployment: Some(wire::Deployment {
                project: "shop".to_owned(),
                at: Some(ago(1)),
                ..wire::Deployment::default()
            }),
        });
    });
    let said = controller.ctl(&args);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.out.contains("✓ shop can be deployed"), "{said:#?}");
}

#[test]
fn after_a_deployment_the_lines_decide() {
    let with = |verdict: wire::DeploymentVerdict| {
        let controller = backs_up(JobState::Succeeded, true);
        controller.answer(|answers| {
            let deployment = wire::Deployment {
                project: "shop".to_owned(),
                ..wire::Deployment::default()
            };
            answers.compare_deployment = Some(wire::CompareDeploymentResponse {
                before: Some(deployment.clone()),
                now: Some(deployment),
                lines: vec![wire::DeploymentLine {
                    subject: "web-1 db /data".to_owned(),
                    verdict: verdict.into(),
                    message: "was a, is b".to_owned(),
                }],
            });
        });
        controller.ctl(&["backup", "before-deploy", "--project", "shop", "--after"])
    };
    use wire::DeploymentVerdict as Verdict;
    assert_eq!(with(Verdict::Same).code, 0);
    assert_eq!(with(Verdict::New).code, 0);
    assert_eq!(with(Verdict::Wrong).code, 8);
    assert_eq!(with(Verdict::CouldNotCheck).code, 10);
}

#[test]
fn a_deletion_is_confirmed_and_force_by_the_name() {
    let controller = backs_up(JobState::Succeeded, true);
    controller.answer(|answers| {
        answers.delete_backup = Some(wire::DeleteBackupResponse {
            backup: Some(wire::Backup {
                marked_at: Some(ago(0)),
                goes_at: Some(ahead(86_400)),
                deleted_by: "operator/alice".to_owned(),
                ..backup()
            }),
        });
    });
    let delete = |args: &[&str]| controller.ctl(&[&["backup", "delete", "17"], args].concat());
    assert_eq!(delete(&[]).code, 2);
    assert_eq!(delete(&["--yes=web-1/shop-db/other"]).code, 6);
    assert_eq!(delete(&["--force", "--yes"]).code, 2);
    assert!(controller.script.requests("delete_backup").is_empty());
    let said = delete(&["--yes"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.out.contains("ctl backup pin 17"), "{said:#?}");
    let name = format!("--yes={SHOP}");
    assert_eq!(delete(&["--force", &name]).code, 0);
    let asked = controller.script.requests("delete_backup");
    assert!(asked[0].contains("force: false"), "{asked:?}");
    assert!(
        asked[1].contains("force: true") && asked[1].contains(SHOP),
        "{asked:?}"
    );
    controller.fail(
        "delete_backup",
        Status::failed_precondition("the newest good one"),
    );
    delete(&["--yes"]).refused(6, &["the newest good one"]);
}
