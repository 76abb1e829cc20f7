//! How failures reach an operator: sentence, advice, suggestion, exit code.

use std::time::{Duration, Instant};

use tonic::{Code, Status};

use crate::{
    answers::{COPY, SHOP, fleet},
    controller::Controller,
    scripted::Failure,
};

fn small_fleet() -> Controller {
    let controller = Controller::with_login();
    controller.answer(fleet);
    controller
}

#[test]
fn each_status_has_its_exit_code_and_sentence() {
    let cases = [
        (Code::NotFound, 3),
        (Code::PermissionDenied, 4),
        (Code::Unauthenticated, 4),
        (Code::Unavailable, 5),
        (Code::FailedPrecondition, 6),
        (Code::AlreadyExists, 6),
        (Code::InvalidArgument, 2),
        (Code::Internal, 1),
    ];
    let controller = small_fleet();
    for (code, exit) in cases {
        controller.fail("list_jobs", Status::new(code, "the reason why"));
        controller
            .ctl(&["job", "list"])
            .refused(exit, &["error: cannot list the jobs: the reason why"]);
    }
}

#[test]
fn the_controllers_advice_is_the_second_line() {
    let controller = small_fleet();
    let mut status = Status::permission_denied("alice is a viewer");
    status
        .metadata_mut()
        .insert("holdfast-advice", "ask an admin".parse().unwrap());
    controller.fail("list_operators", status);
    controller.ctl(&["operator", "list"]).refused(
        4,
        &["error: cannot list the operators: alice is a viewer\n  next: ask an admin\n"],
    );
}

#[test]
fn a_mistyped_name_gets_the_nearest_one() {
    let controller = small_fleet();
    controller.fail(
        "copy_database",
        Status::not_found("web-1/shop-db has no database shp"),
    );
    controller
        .ctl(&["copy", "database", "web-1/shop-db/shp", COPY])
        .refused(
            3,
            &[
                "cannot copy web-1/shop-db/shp to web-2/shop-db/shop_test",
                "did you mean web-1/shop-db/shop?",
            ],
        );
    controller.ctl(&["host", "show", "wbe-1"]).refused(
        3,
        &[
            "there is no host wbe-1",
            "did you mean web-1?",
            "next: ctl host list",
        ],
    );
    controller
        .ctl(&["container", "list", "web1"])
        .refused(3, &["there is no host web1", "did you mean web-1?"]);
    controller.fail(
        "remove_host",
        Status::not_found("host web-11 is not enrolled"),
    );
    controller
        .ctl(&["host", "remove", "web-11", "--yes=web-11"])
        .refused(3, &["did you mean web-1?"]);
    controller
        .ctl(&["instance", "show", "web-1/shpo-db"])
        .refused(
            3,
            &[
                "there is no instance web-1/shpo-db",
                "did you mean web-1/shop-db?",
            ],
        );
    controller.fail("measure_volume", Status::not_found("no such volume"));
    controller
        .ctl(&["volume", "size", "web-1/shop_dat"])
        .refused(3, &["did you mean web-1/shop_data?"]);
    controller.fail("get_check_history", Status::not_found("no such check"));
    controller
        .ctl(&["check", "history", SHOP, "user"])
        .refused(3, &["did you mean web-1/shop-db/shop users?"]);
    controller.fail("get_job", Status::not_found("there is no job 99"));
    controller.ctl(&["job", "show", "99"]).refused(
        3,
        &[
            "cannot show job 99: there is no job 99",
            "next: ctl job list",
        ],
    );
}

#[test]
fn nothing_is_suggested_when_nothing_is_near() {
    let controller = small_fleet();
    let said = controller.ctl(&["host", "show", "database-server"]);
    assert!(!said.err.contains("did you mean"), "{}", said.err);
    said.refused(3, &["next: ctl host list"]);
}

#[test]
fn a_controller_that_does_not_answer_is_not_waited_for() {
    let controller = small_fleet();
    controller.answer(|answers| {
        answers.failures.insert("list_hosts", Failure::Silence);
    });
    let started = Instant::now();
    controller
        .ctl(&["host", "list", "--timeout", "700ms"])
        .refused(5, &["did not answer within 700ms", "--timeout"]);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_older_controller_is_named_as_the_cause() {
    let controller = Controller::with_login();
    controller
        .ctl(&["audit", "verify"])
        .refused(1, &["cannot verify the audit log", "next: ctl version"]);
}

#[test]
fn an_answer_that_makes_no_sense_is_no_panic() {
    let controller = small_fleet();
    controller.answer(|answers| {
        if let Some(list) = &mut answers.list_findings {
            list.findings[0].severity = 99;
        }
    });
    controller.ctl(&["finding", "list"]).refused(
        1,
        &["Finding.severity is not valid: 99", "next: ctl version"],
    );
}

#[test]
fn what_is_typed_wrongly_is_explained() {
    let controller = small_fleet();
    controller
        .ctl(&["host", "lst"])
        .refused(2, &["unrecognized subcommand 'lst'", "list"]);
    controller.ctl(&["copy", "database", "shop", COPY]).refused(
        2,
        &["is not host/instance/database, such as web-1/shop-db/shop"],
    );
    controller
        .ctl(&["copy", "database", SHOP, COPY, "--bandwidth", "fast"])
        .refused(2, &["an amount of bytes a second such as 50MB"]);
    controller
        .ctl(&["status", "--watch", "-o", "json"])
        .refused(2, &["--watch draws for people"]);
}

#[test]
fn a_bad_variable_of_the_environment_is_named() {
    let controller = small_fleet();
    let output = controller
        .command(&["host", "list"])
        .env("HOLDFAST_LOG", "=x=y")
        .output()
        .unwrap();
    crate::controller::Said::of(output).refused(
        2,
        &["cannot set up traces: HOLDFAST_LOG=\"=x=y\" is not a log filter"],
    );
}
