//! `ctl repository prune`: what would go, what went, and what a failure leaves gone.

use holdfast_proto::wire::{self, JobState, watch_job_response::Update};

use crate::{
    answers::{ago, ended, event, fleet, job},
    controller::{Controller, Said},
    scripted::{Telling, Then},
};

fn due() -> wire::RetentionLine {
    let name: holdfast_proto::names::DatabaseName = "web-1/shop-db/shop".parse().unwrap();
    wire::RetentionLine {
        backup: 3,
        database: Some(name.into()),
        kind: "full".to_owned(),
        state: "stored".to_owned(),
        taken_at: Some(ago(3 * 86_400)),
        stored_bytes: 1024,
        reasons: vec!["deleted by operator/ann".to_owned()],
        marked_at: Some(ago(2 * 86_400)),
        goes_at: Some(ago(86_400)),
        ..wire::RetentionLine::default()
    }
}

/// A controller that makes job 42 of it (or none), which ends as given.
fn prunes(number: u64, state: JobState, missing: &[u64]) -> Controller {
    let mut detail = ended(state);
    if let Some(job) = &mut detail.job {
        "prune-repository".clone_into(&mut job.kind);
        "repository of web-1".clone_into(&mut job.title);
    }
    detail.report = Some(wire::JobReport {
        pruned: Some(wire::PruneReport {
            backups: vec![3],
            unknown_snapshots: 0,
            missing_backups: missing.to_vec(),
            freed: Some(wire::FreedSpace {
                removed_packs: 2,
                bytes_before: 3 << 20,
                bytes_after: 1 << 20,
                ..wire::FreedSpace::default()
            }),
        }),
        ..wire::JobReport::default()
    });
    let controller = Controller::with_login();
    controller.answer(fleet).answer(|answers| {
        answers.prune_repository = Some(wire::PruneRepositoryResponse {
            job: number,
            lines: vec![due()],
        });
        answers.watch_job = vec![Telling {
            updates: vec![
                Update::Job(job(JobState::Running)),
                Update::Event(event(1, "created", "")),
                Update::Event(event(2, "step-done", "remove")),
                Update::Job(detail.job.clone().unwrap()),
            ],
            then: Then::End,
        }];
        answers.get_job = Some(detail);
    });
    controller
}

fn prune(controller: &Controller, args: &[&str]) -> Said {
    controller.ctl(&[&["repository", "prune", "web-1"], args].concat())
}

#[test]
fn a_prune_is_watched_and_says_what_went() {
    let controller = prunes(42, JobState::Succeeded, &[]);
    let said = prune(&controller, &[]);
    assert_eq!(said.code, 0, "{said:#?}");
    let head = "job 42: prune the repository of web-1\n";
    assert!(said.err.starts_with(head), "{said:#?}");
    assert_eq!(
        said.out,
        "✓ repository of web-1: removed backup 3; 2.0 MiB freed, 1.0 MiB left\nnext:\n  ctl job show 42\n"
    );
    let request = controller.script.requests("prune_repository").remove(0);
    assert!(
        request.contains("host: \"web-1\", dry_run: false"),
        "{request}"
    );
    let json = controller.json(&["repository", "prune", "web-1"]);
    assert_eq!(json["pruned"]["backups"][0], 3, "{json:#}");
    assert_eq!(json["due"][0]["backup"], 3, "{json:#}");
}

#[test]
fn a_dry_run_shows_what_would_go_and_makes_no_job() {
    let controller = prunes(0, JobState::Succeeded, &[]);
    let said = prune(&controller, &["--dry-run"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:#?}");
    assert!(said.out.contains("deleted by operator/ann"), "{said:#?}");
    let end = "1 backup would go from the repository of web-1; nothing was touched\n";
    assert!(said.out.ends_with(end), "{said:#?}");
    let request = controller.script.requests("prune_repository").remove(0);
    assert!(request.contains("dry_run: true"), "{request}");
    assert!(controller.script.requests("watch_job").is_empty());
    let both = prune(&controller, &["--dry-run", "--detach"]);
    assert_eq!(both.code, 2, "{both:#?}");
}

#[test]
fn a_failure_says_what_is_gone_and_a_missing_backup_is_no_success() {
    let failed = prune(&prunes(42, JobState::Failed, &[]), &[]);
    assert_eq!(failed.code, 7, "{failed:#?}");
    let head = "✗ repository of web-1: job 42 failed; backup 3 stays removed\n";
    assert!(failed.out.starts_with(head), "{failed:#?}");
    let missing = prune(&prunes(42, JobState::Succeeded, &[7]), &[]);
    assert_eq!(missing.code, 8, "{missing:#?}");
    let told = "backup 7 of the catalog NOT IN THE REPOSITORY";
    assert!(missing.out.contains(told), "{missing:#?}");
}

#[test]
fn detached_it_is_left_to_the_controller() {
    let controller = prunes(42, JobState::Running, &[]);
    let said = prune(&controller, &["--detach"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.out.contains("job 42 is running"), "{said:#?}");
    assert!(controller.script.requests("watch_job").is_empty());
}

/// It goes on, or is watched, under `ctl job` as well.
#[test]
fn a_watched_prune_does_not_say_that_everything_is_undone() {
    let said = prunes(42, JobState::Failed, &[]).ctl(&["job", "watch", "42"]);
    let told = "failed; everything else it had done is undone; backup 3 stays removed";
    assert!(said.out.contains(told), "{said:#?}");
}
