//! `ctl copy database` from the command line to the last exit code.

use std::{
    io::{Read as _, Write as _},
    process::Stdio,
    sync::{Arc, Mutex},
};

use holdfast_proto::wire::{self, JobState, watch_job_response::Update};
use tonic::Status;

use crate::{
    answers::{COPY, SHOP, ahead, ended, event, fleet, job, preflight, progress, proof},
    controller::{Controller, Said, eventually},
    scripted::{Telling, Then},
};

/// A controller whose job 42 ends as given.
fn ends_as(detail: wire::GetJobResponse) -> Controller {
    let controller = Controller::with_login();
    controller.answer(fleet).answer(|answers| {
        answers.copy_database = Some(wire::CopyDatabaseResponse { job: 42 });
        answers.watch_job = vec![Telling {
            updates: vec![
                Update::Job(job(JobState::Running)),
                Update::Event(event(1, "created", "")),
                Update::Event(event(2, "step-started", "preflight")),
                Update::Event(event(3, "step-done", "preflight")),
                Update::Event(event(4, "step-started", "transfer")),
                progress(120),
                progress(200),
                Update::Event(event(5, "step-done", "transfer")),
                Update::Job(detail.job.clone().unwrap()),
            ],
            then: Then::End,
        }];
        answers.get_job = Some(detail);
    });
    controller
}

fn copy(controller: &Controller, more: &[&str]) -> Said {
    let mut args = vec!["copy", "database", SHOP, COPY];
    args.extend(more);
    controller.ctl(&args)
}

#[test]
fn a_copy_is_told_step_by_step_and_ends_with_its_proof() {
    let controller = ends_as(ended(JobState::Succeeded));
    let said = copy(
        &controller,
        &["--keep", "2h", "--jobs", "4", "--bandwidth", "50MB"],
    );
    assert_eq!(said.code, 0, "{said:#?}");
    let lines: Vec<&str> = said.err.lines().collect();
    assert_eq!(
        lines,
        [
            "job 42: copy web-1/shop-db/shop to web-2/shop-db/shop_test",
            "… preflight",
            "✓ source is readable: 15.20, 340 MiB",
            "✓ target name is free: shop_test",
            "✓ preflight",
            "… transfer",
            // The second progress comes within five seconds: no line.
            "   35 % transfer: data, 120 MiB of 340 MiB, 85 MiB/s, 3.0 s left, 120 000 rows, \
             4 000 rows read back, direct, public.orders",
            "✓ transfer",
        ]
    );
    for part in [
        "✓ web-1/shop-db/shop → web-2/shop-db/shop_test: copied and proven\n",
        "  carried    2 tables, 15 000 rows, 340 MiB in 12 s, direct from agent to agent\n",
        "  proof      green (full): 2 of 2 tables read back and equal in rows and fingerprint\n",
        "  check      users: ok, 5 000 rows\n",
        "  roles      created without a password: shop\n",
        "  ctl job undo 42",
        "  ctl job show 42",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in\n{}", said.out);
    }
    let request = controller.script.requests("copy_database").remove(0);
    for part in [
        "jobs: 4",
        "bandwidth: 50000000",
        "seconds: 7200",
        "replace: false",
    ] {
        assert!(request.contains(part), "{part:?} is not in {request}");
    }
}

#[test]
fn with_json_only_the_result_is_on_stdout() {
    let controller = ends_as(ended(JobState::Succeeded));
    let said = copy(&controller, &["-o", "json"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["green"], true);
    assert_eq!(json["tables"], 2);
    assert_eq!(json["rows"], 15_000);
    assert_eq!(json["path"], "direct");
    assert_eq!(json["proof"]["level"], "full");
    assert_eq!(json["proof"]["checks"][0]["outcome"]["count"], 5000);
    assert_eq!(json["job"]["state"], "succeeded");
    assert!(said.err.contains("✓ transfer"), "{said:#?}");
}

#[test]
fn failed_preflight_is_six_and_names_every_answer() {
    let mut detail = ended(JobState::Failed);
    detail.report = Some(wire::JobReport {
        preflight: preflight(wire::PreflightVerdict::Failed),
        ..wire::JobReport::default()
    });
    let said = copy(&ends_as(detail), &[]);
    assert_eq!(said.code, 6, "{said:#?}");
    assert!(
        said.err
            .contains("✗ target name is free: shop_test\n    → give --replace\n"),
        "{said:#?}"
    );
    assert!(
        said.out.contains("preflight failed; nothing was touched"),
        "{said:#?}"
    );
}

#[test]
fn a_dry_run_prints_the_answers_as_its_result() {
    let mut detail = ended(JobState::Succeeded);
    if let Some(report) = &mut detail.report {
        report.proof = None;
    }
    let controller = ends_as(detail);
    let said = copy(&controller, &["--dry-run", "--replace"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(
        said.out
            .starts_with("✓ source is readable: 15.20, 340 MiB\n"),
        "{said:#?}"
    );
    assert!(
        said.out
            .ends_with("this copy can be made; nothing was touched\n"),
        "{said:#?}"
    );
    assert!(!said.err.contains("source is readable"), "{said:#?}");
    assert!(controller.script.requests("copy_database")[0].contains("dry_run: true"));
}

#[test]
fn every_other_end_has_its_exit_code() {
    let with_proof = |state, green| {
        let mut detail = ended(state);
        if let Some(report) = &mut detail.report {
            report.proof = Some(proof(green));
        }
        detail
    };
    let mut unknown = with_proof(JobState::Succeeded, true);
    if let Some(proof) = unknown
        .report
        .as_mut()
        .and_then(|report| report.proof.as_mut())
    {
        proof.checks[0].verdict = wire::CheckVerdict::CouldNotRun.into();
    }
    let mut no_proof = ended(JobState::Failed);
    no_proof.report = None;
    let cases = [
        (
            with_proof(JobState::Failed, false),
            8,
            "✗ public.users: 5 000 rows left the source, 4 999 arrived",
        ),
        (no_proof, 7, "failed; everything it had done is undone"),
        (
            with_proof(JobState::Cancelled, true),
            11,
            "cancelled; everything it had done is undone",
        ),
        (
            with_proof(JobState::Stuck, true),
            9,
            "STUCK: its undo failed, a person must look",
        ),
        (unknown, 10, "could not run"),
    ];
    for (detail, code, part) in cases {
        let said = copy(&ends_as(detail), &[]);
        assert_eq!(said.code, code, "{said:#?}");
        assert!(said.out.contains(part), "{part:?} is not in {said:#?}");
    }
}

#[test]
fn replacing_needs_a_confirmation_before_anything_is_asked_for() {
    let controller = ends_as(ended(JobState::Succeeded));
    copy(&controller, &["--replace"]).refused(
        2,
        &["replacing web-2/shop-db/shop_test needs a confirmation, and there is no terminal to ask on"],
    );
    assert!(controller.script.requests("copy_database").is_empty());
    assert_eq!(copy(&controller, &["--replace", "--yes"]).code, 0);
    let request = controller.script.requests("copy_database").remove(0);
    assert!(request.contains("replace: true"), "{request}");
    // Nobody said how long: the controller's setting holds.
    assert!(request.contains("keep: None"), "{request}");
}

#[test]
fn detached_at_once_it_only_tells_the_number() {
    let controller = ends_as(ended(JobState::Running));
    let said = copy(&controller, &["--detach"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.out.starts_with("job 42 ("), "{said:#?}");
    assert!(said.err.contains("next: ctl job watch 42"), "{said:#?}");
    assert!(controller.script.requests("watch_job").is_empty());
    let json: serde_json::Value =
        serde_json::from_str(&copy(&controller, &["--detach", "-o", "json"]).out).unwrap();
    assert_eq!(json["job"]["id"], 42);
}

/// The connection breaks in the middle; what was told is not told again.
#[test]
fn a_lost_controller_is_waited_for() {
    let controller = ends_as(ended(JobState::Succeeded));
    controller.answer(|answers| {
        let whole = answers.watch_job.remove(0);
        let first = Telling {
            updates: whole.updates[..5].to_vec(),
            then: Then::Break(Status::unavailable("the controller is going down")),
        };
        answers.watch_job = vec![first, whole];
    });
    let said = copy(&controller, &[]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(
        said.err
            .contains("lost the controller (the controller is going down); the job goes on"),
        "{said:#?}"
    );
    assert!(said.err.contains("the controller is back"), "{said:#?}");
    assert_eq!(said.err.matches("✓ preflight\n").count(), 1, "{said:#?}");
    assert_eq!(
        said.err.matches("source is readable").count(),
        1,
        "{said:#?}"
    );
    let watched = controller.script.requests("watch_job");
    assert!(
        watched[0].contains("after_sequence: 0") && watched[1].contains("after_sequence: 4"),
        "{watched:?}"
    );
}

#[test]
fn ctrl_c_detaches_and_says_how_to_come_back() {
    let controller = ends_as(ended(JobState::Succeeded));
    controller.answer(|answers| {
        answers.watch_job[0].updates.truncate(5);
        answers.watch_job[0].then = Then::Hang;
    });
    let mut child = controller
        .command(&["copy", "database", SHOP, COPY])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its handler stands before it asks to watch.
    eventually("the job is watched", || {
        !controller.script.requests("get_job").is_empty()
    });
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let status = child.wait().unwrap();
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!(status.code(), Some(130), "{err}");
    assert!(
        err.contains("detached; job 42 goes on\n  next: ctl job watch 42\n"),
        "{err}"
    );
    assert!(controller.script.requests("cancel_job").is_empty());
}

#[test]
fn what_is_left_and_what_is_kept_is_told() {
    let mut failed = ended(JobState::Failed);
    failed.report = Some(wire::JobReport {
        preflight: preflight(wire::PreflightVerdict::Passed),
        roles_left: vec!["app".to_owned()],
        ..wire::JobReport::default()
    });
    let said = copy(&ends_as(failed), &[]);
    assert_eq!(said.code, 7, "{said:#?}");
    for part in [
        "failed; everything else it had done is undone\n",
        "  roles      created and left: app; drop them with DROP ROLE if nobody needs them\n",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in {said:#?}");
    }

    let mut replaced = ended(JobState::Succeeded);
    if let Some(report) = &mut replaced.report {
        let name: holdfast_proto::names::DatabaseName =
            "web-2/shop-db/shop_test__before_42".parse().unwrap();
        report.kept = vec![wire::KeptDatabase {
            database: Some(name.into()),
            until: Some(ahead(86_400)),
            reason: wire::KeptReason::Replaced.into(),
        }];
        report.undo = "gives shop_test__before_42 the name shop_test again".to_owned();
    }
    let controller = ends_as(replaced);
    let shown = controller.ok(&["job", "show", "42"]);
    for part in [
        "  kept       web-2/shop-db/shop_test__before_42, what stood there before, until ",
        "  undoing    gives shop_test__before_42 the name shop_test again\n",
    ] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let json = controller.json(&["copy", "database", SHOP, COPY]);
    assert_eq!(json["kept"][0]["reason"], "replaced");
    assert_eq!(
        json["kept"][0]["database"],
        "web-2/shop-db/shop_test__before_42"
    );
    assert_eq!(json["roles_left"], serde_json::json!([]));
}

/// `script` gives it a terminal: the bar is drawn over and over in one line, and Ctrl-C is a key.
#[test]
fn on_a_terminal_progress_is_one_line_that_is_drawn_anew() {
    let controller = ends_as(ended(JobState::Succeeded));
    controller.answer(|answers| {
        answers.watch_job[0].updates.truncate(7);
        answers.watch_job[0].then = Then::Hang;
    });
    let ctl = controller.command(&["copy", "database", SHOP, COPY]);
    let line = std::iter::once(ctl.get_program())
        .chain(ctl.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect::<Vec<_>>()
        .join(" ");
    let mut terminal = std::process::Command::new("script");
    terminal.args([
        "-qec",
        &format!("stty rows 50 cols 200; {line}"),
        "/dev/null",
    ]);
    for (name, value) in ctl.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    let mut child = terminal
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let drawn = shown.clone();
    let reader = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = screen.read(&mut piece) {
            drawn.lock().unwrap().extend_from_slice(&piece[..length]);
        }
    });
    let text = || String::from_utf8_lossy(&shown.lock().unwrap()).into_owned();
    let bars = || {
        let text = text();
        let drawn = text
            .split('\r')
            .filter(|line| line.contains("] ") && line.contains(" 59 % transfer: data, 200 MiB"));
        drawn.count()
    };
    // Twice over itself, with no line in between.
    eventually("the bar is drawn again", || bars() > 1);
    keys.write_all(b"\x03").unwrap();
    let status = child.wait().unwrap();
    reader.join().unwrap();
    let text = text();
    assert_eq!(status.code(), Some(130), "{text:?}");
    assert!(
        text.contains("200 000 rows, 4 000 rows read back"),
        "{text:?}"
    );
    assert!(text.contains("detached; job 42 goes on"), "{text:?}");
    let lines = text.split('\n').filter(|line| line.contains(" % "));
    assert_eq!(
        lines.count(),
        1,
        "each drawing is a line of its own: {text:?}"
    );
}
