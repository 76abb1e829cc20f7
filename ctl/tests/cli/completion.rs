//! Names for the shell: from the controller, quickly, or silently none.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::{answers::fleet, controller::Controller};

/// What bash would offer at the end of the words.
fn offered(controller: &Controller, words: &[&str]) -> Vec<String> {
    let mut args = vec!["--", "ctl"];
    args.extend(words);
    let output = controller
        .command(&args)
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "false")
        .env("_CLAP_IFS", "\n")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn names_of_the_fleet_are_offered() {
    let controller = Controller::with_login();
    controller.answer(fleet);
    assert_eq!(
        offered(&controller, &["host", "show", "we"]),
        ["web-1", "web-2"]
    );
    assert_eq!(
        offered(&controller, &["instance", "show", "web-1/"]),
        ["web-1/shop-db"]
    );
    assert_eq!(
        offered(&controller, &["copy", "database", "web-1/shop-db/s"]),
        ["web-1/shop-db/shop"]
    );
    assert_eq!(offered(&controller, &["job", "watch", "4"]), ["42"]);
    assert_eq!(
        offered(
            &controller,
            &["check", "history", "web-1/shop-db/shop", "u"]
        ),
        ["users"]
    );
    assert_eq!(
        offered(&controller, &["volume", "size", "web"]),
        ["web-1/shop_data"]
    );
    assert_eq!(
        offered(&controller, &["context", "use", ""])
            .first()
            .map(String::as_str),
        Some("prod")
    );
    assert!(offered(&controller, &["host", "re"]).contains(&"remove".to_owned()));
}

#[test]
fn a_silent_controller_costs_half_a_second_and_no_word() {
    let controller = Controller::with_login();
    // Takes connections and says nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = deaf.local_addr().unwrap().to_string();
    let started = Instant::now();
    let names = offered(
        &controller,
        &["--controller", &address, "host", "show", "we"],
    );
    assert_eq!(names, Vec::<String>::new());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn registrations_are_printed_for_each_shell() {
    let controller = Controller::start();
    for (shell, part) in [
        ("bash", "complete "),
        ("zsh", "#compdef ctl"),
        ("fish", "complete "),
    ] {
        let script = controller.ok(&["completions", shell]);
        assert!(
            script.contains(part) && script.contains("COMPLETE"),
            "{shell}:\n{script}"
        );
    }
    controller
        .ctl(&["completions", "tcsh"])
        .refused(2, &["[possible values: bash, zsh, fish]"]);
}
