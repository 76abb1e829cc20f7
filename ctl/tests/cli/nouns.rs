//! Every command against a fleet: tables for people, JSON for programs, nothing on stderr.

use holdfast_proto::wire;

use crate::{
    answers::{SHOP, ahead, check, fleet, run},
    controller::Controller,
};

fn small_fleet() -> Controller {
    let controller = Controller::with_login();
    controller.answer(fleet);
    controller
}

/// The command, a part of its table, the path and value of a part of its JSON.
const LISTS: &[(&[&str], &str, &str, &str)] = &[
    (
        &["status"],
        "2 hosts, 1 silent · 1 instance · 1 database · 1 volume without a policy · 1 finding (1 critical) · 1 incident · 1 job running",
        "/summary/hosts_silent",
        "1",
    ),
    (
        &["host", "list"],
        "web-2  silent     9 m ago",
        "/hosts/1/connected",
        "false",
    ),
    (
        &["host", "show", "web-1"],
        "web-1  connected",
        "/host/agent_rss_bytes",
        "19922944",
    ),
    (
        &["host", "show", "web-1"],
        "web-1  container  die    shop-db",
        "/events/0/subject",
        "\"shop-db\"",
    ),
    (
        &["container", "list"],
        "web-1  shop-db    running  postgres:15",
        "/containers/0/state",
        "\"running\"",
    ),
    (
        &["container", "list", "web-1"],
        "shop_data",
        "/containers/0/mounts/0/kind",
        "\"volume\"",
    ),
    (
        &["container", "events", "web-1"],
        "web-1  container  die    shop-db",
        "/events/0/action",
        "\"die\"",
    ),
    (
        &["volume", "list"],
        "web-1  shop_data  shop-db",
        "/volumes/0/used_by/0",
        "\"shop-db\"",
    ),
    (
        &["instance", "list"],
        "web-1/shop-db  up     PostgreSQL  15.20",
        "/instances/0/up",
        "true",
    ),
    (
        &["instance", "show", "web-1/shop-db"],
        "version      15.20 (Debian 15.20-1)",
        "/instance/health/connections_max",
        "100",
    ),
    (
        &["database", "list"],
        "web-1/shop-db/shop  340 MiB",
        "/databases/0/name",
        "\"shop\"",
    ),
    (
        &["finding", "list"],
        " 3  critical  HF0401  host-silent  web-2",
        "/findings/0/severity",
        "\"critical\"",
    ),
    (
        &["finding", "show", "3"],
        "  last heard of: yesterday",
        "/evidence/0/what",
        "\"last heard of\"",
    ),
    (
        &["finding", "explain", "HF0401"],
        "# HF0401 host-silent",
        "/kind",
        "\"host-silent\"",
    ),
    (
        &["guard", "refusals", "web-1"],
        "web-1  loss  shop_db  DELETE volumes/shop_db  volume shop_db holds database shop",
        "/refusals/0/place",
        "\"shop_db\"",
    ),
    (
        &["incident", "list"],
        " 5  open   critical  host-silent  web-2    no sign of life  9 m ago  nobody",
        "/incidents/0/state",
        "\"open\"",
    ),
    (
        &["incident", "show", "5"],
        "next: systemctl status holdfast-agent",
        "/findings/0/incident",
        "5",
    ),
    (
        &["incident", "timeline", "5"],
        "ctl finding show 3",
        "/timeline/0/kind",
        "\"finding\"",
    ),
    (
        &["incident", "open", "3"],
        "next: ctl incident show 5",
        "/change",
        "\"opened\"",
    ),
    (
        &["incident", "note", "5", "the power is gone"],
        "noted: incident 5",
        "/incident/id",
        "5",
    ),
    (
        &["incident", "assign", "5"],
        "ann has it",
        "/incident/assigned_to",
        "\"ann\"",
    ),
    (
        &["incident", "close", "5", "--cause", "a fuse"],
        "next: ctl incident report 5",
        "/change",
        "\"closed\"",
    ),
    (
        &["incident", "report", "5"],
        "# Incident 5: no sign of life",
        "/incident",
        "5",
    ),
    (
        &["instance", "history", "web-1/shop-db"],
        "swapped  volume shop_data → shop2_data",
        "/events/0/kind",
        "\"swapped\"",
    ),
    (
        &["volume", "history", "web-1/shop_data"],
        "swapped  volume shop_data → shop2_data",
        "/events/0/store/volume",
        "\"shop2_data\"",
    ),
    (
        &[
            "instance",
            "accept",
            "web-1/shop-db",
            "--reason",
            "moved on purpose",
        ],
        "accepted: the data of web-1/shop-db lie on volume shop2_data",
        "/event/instance",
        "\"shop-db\"",
    ),
    (
        &["job", "list"],
        "42  running  copy-database web-1/shop-db/shop →",
        "/jobs/0/id",
        "42",
    ),
    (
        &["job", "show", "42"],
        "green (full): 2 of 2 tables",
        "/proof/green",
        "true",
    ),
    (
        &["check", "list"],
        "users  web-1/shop-db/shop  ok       5 000",
        "/checks/0/last/count",
        "5000",
    ),
    (
        &["operator", "list"],
        "alice     admin",
        "/operators/0/role",
        "\"admin\"",
    ),
    (
        &["audit", "list"],
        "operator/alice  host.enrol  web-2",
        "/entries/0/sequence",
        "7",
    ),
    (
        &["repository", "list"],
        "web-1  /var/lib/holdfast/repositories/web-1",
        "/repositories/0/host",
        "\"web-1\"",
    ),
    (
        &["repository", "stats", "web-1"],
        "web-1/shop-db/shop",
        "/series/0/snapshots",
        "3",
    ),
    (
        &["repository", "check", "web-1", "--read-data", "5%"],
        "the repository of web-1 is sound",
        "/sound",
        "true",
    ),
    (
        &["audit", "verify"],
        "the audit log is whole: 7 entries",
        "/whole",
        "true",
    ),
    (
        &["context", "list"],
        "*  prod     127.0.0.1",
        "/contexts/0/operator",
        "\"alice\"",
    ),
    (
        &["version"],
        "controller  0.1.0-test",
        "/controller",
        "\"0.1.0-test\"",
    ),
];

#[test]
fn every_list_has_a_table_and_json() {
    let controller = small_fleet();
    for (args, table, path, value) in LISTS {
        let said = controller.ctl(args);
        assert_eq!(said.code, 0, "{args:?} {said:#?}");
        assert!(
            said.out.contains(table),
            "{args:?} lacks {table:?}:\n{}",
            said.out
        );
        assert_eq!(said.err, "", "{args:?}");
        let json = controller.json(args);
        let found = json.pointer(path).map(ToString::to_string);
        assert_eq!(
            found.as_deref(),
            Some(*value),
            "{args:?} {path} of {json:#}"
        );
    }
}

#[test]
fn what_goes_into_a_pipe_has_no_colour() {
    let controller = small_fleet();
    for (args, ..) in LISTS {
        assert!(!controller.ok(args).contains('\u{1b}'), "{args:?}");
    }
}

#[test]
fn a_host_is_enrolled_with_one_line_on_stdout() {
    let controller = small_fleet();
    controller.answer(|answers| {
        answers.enrol_host = Some(wire::EnrolHostResponse {
            command: "holdfast-agent join --controller a:7443 --token hf1_x".to_owned(),
            expires_at: Some(ahead(3600)),
        });
    });
    let said = controller.ctl(&["host", "enrol", "web-3", "--controller-address", "a:7443"]);
    assert_eq!(
        said.out,
        "holdfast-agent join --controller a:7443 --token hf1_x\n"
    );
    assert!(
        said.err
            .contains("run this on web-3 as root; it works once and expires in 59 m"),
        "{}",
        said.err
    );
    let request = controller.script.requests("enrol_host").remove(0);
    assert!(
        request.contains("web-3") && request.contains("a:7443"),
        "{request}"
    );
    controller
        .ctl(&["host", "enrol", "WEB 3"])
        .refused(2, &["is not a host name"]);
}

#[test]
fn a_host_is_removed_only_when_its_name_is_confirmed() {
    let controller = small_fleet();
    controller.answer(|answers| {
        answers.remove_host = Some(wire::RemoveHostResponse {
            revoked_certificates: 1,
            was_connected: true,
        });
    });
    controller
        .ctl(&["host", "remove", "web-1"])
        .refused(2, &["needs a confirmation", "next: give --yes"]);
    controller
        .ctl(&["host", "remove", "web-1", "--yes=web-2"])
        .refused(6, &["\"web-2\" is not \"web-1\"", "nothing was changed"]);
    assert!(controller.script.requests("remove_host").is_empty());
    let out = controller.ok(&["host", "remove", "web-1", "--yes=web-1"]);
    assert_eq!(
        out,
        "host web-1 is removed: 1 certificate revoked; its session has been ended\n"
    );
    assert_eq!(
        controller.json(&["host", "remove", "web-1", "--yes"])["was_connected"],
        true
    );
}

#[test]
fn volumes_are_measured_and_instances_registered() {
    let controller = small_fleet();
    controller.answer(|answers| {
        answers.measure_volume = Some(wire::MeasureVolumeResponse {
            bytes: 2048,
            files: 3,
        });
        answers.add_instance = Some(wire::AddInstanceResponse {
            up: true,
            down_reason: String::new(),
            password_hint: "/var/lib/holdfast-agent/passwords/legacy".to_owned(),
        });
        answers.remove_instance = Some(wire::RemoveInstanceResponse {});
    });
    assert_eq!(
        controller.ok(&["volume", "size", "web-1/shop_data"]),
        "web-1/shop_data: 2.0 KiB in 3 files\n"
    );
    assert_eq!(
        controller.json(&["volume", "size", "web-1/shop_data"])["files"],
        3
    );
    let out = controller.ok(&[
        "instance",
        "add",
        "web-1/legacy",
        "--address",
        "10.0.0.9",
        "--tls",
        "require",
    ]);
    assert!(
        out.contains("instance web-1/legacy is registered and up"),
        "{out}"
    );
    let request = controller.script.requests("add_instance").remove(0);
    assert!(
        request.contains("10.0.0.9") && request.contains("5432") && request.contains("require"),
        "{request}"
    );
    let out = controller.ok(&["instance", "remove", "web-1/legacy", "--yes"]);
    assert!(out.contains("no longer registered"), "{out}");
}

#[test]
fn a_check_tells_its_verdict_by_exit_code() {
    let controller = small_fleet();
    let set = |verdict, count| {
        let response = wire::SetCheckResponse {
            check: Some(check(run(verdict, count))),
            replaced: false,
        };
        controller.answer(|answers| answers.set_check = Some(response));
        controller.ctl(&[
            "check",
            "set",
            SHOP,
            "users",
            "--count",
            "select count(*) from users",
            "--min",
            "100",
        ])
    };
    let said = set(wire::CheckVerdict::Ok, Some(5000));
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.out.contains("first run: ok, 5 000 rows"), "{said:#?}");
    let said = set(wire::CheckVerdict::Suspicious, Some(12));
    assert_eq!(said.code, 8, "{said:#?}");
    assert!(
        said.out
            .contains("suspicious, 12 rows (12 is fewer than 100)"),
        "{said:#?}"
    );
    let said = set(wire::CheckVerdict::CouldNotRun, None);
    assert_eq!(said.code, 10, "{said:#?}");
    assert!(said.out.contains("connection refused"), "{said:#?}");
    let request = controller.script.requests("set_check").remove(0);
    assert!(request.contains("min: Some(100)"), "{request}");
}

#[test]
fn check_list_is_strict_on_demand() {
    let controller = small_fleet();
    controller.answer(|answers| {
        answers.list_checks = Some(wire::ListChecksResponse {
            checks: vec![
                check(run(wire::CheckVerdict::CouldNotRun, None)),
                check(run(wire::CheckVerdict::Suspicious, Some(12))),
            ],
        });
    });
    assert_eq!(controller.ctl(&["check", "list"]).code, 0);
    assert_eq!(controller.ctl(&["check", "list", "--strict"]).code, 8);
}

#[test]
fn history_has_a_sparkline_and_all_runs() {
    let controller = small_fleet();
    controller.answer(|answers| {
        answers.get_check_history = Some(wire::GetCheckHistoryResponse {
            check: Some(check(run(wire::CheckVerdict::Ok, Some(5000)))),
            runs: vec![
                run(wire::CheckVerdict::Suspicious, Some(12)),
                run(wire::CheckVerdict::CouldNotRun, None),
                run(wire::CheckVerdict::Ok, Some(5000)),
            ],
        });
        answers.remove_check = Some(wire::RemoveCheckResponse {});
    });
    let out = controller.ok(&["check", "history", SHOP, "users"]);
    assert!(out.contains("█×▁  12 to 5 000"), "{out}");
    let json = controller.json(&["check", "history", SHOP, "users"]);
    assert_eq!(json["runs"][1]["verdict"], "could-not-run");
    let out = controller.ok(&["check", "remove", SHOP, "users", "--yes=users"]);
    assert_eq!(out, format!("check users on {SHOP} is removed\n"));
}

#[test]
fn operators_are_invited_and_removed() {
    let controller = small_fleet();
    controller.answer(|answers| {
        answers.invite_operator = Some(wire::InviteOperatorResponse {
            command: "ctl login --controller a:7443 --token hf1_x".to_owned(),
            expires_at: Some(ahead(3600)),
        });
        answers.remove_operator = Some(wire::RemoveOperatorResponse {
            revoked_certificates: 2,
        });
    });
    let out = controller.ok(&["operator", "invite", "bob", "--role", "viewer"]);
    assert_eq!(out, "ctl login --controller a:7443 --token hf1_x\n");
    let request = controller.script.requests("invite_operator").remove(0);
    assert!(request.contains("bob"), "{request}");
    let json = controller.json(&["operator", "remove", "bob", "--yes=bob"]);
    assert_eq!(json["revoked_certificates"], 2);
}

#[test]
fn a_broken_audit_chain_ends_with_eight() {
    let controller = small_fleet();
    controller.answer(|answers| {
        answers.verify_audit = Some(wire::VerifyAuditResponse {
            entries: 7,
            first_broken_sequence: Some(5),
            problem: "hash does not match".to_owned(),
        });
    });
    let said = controller.ctl(&["audit", "verify"]);
    assert_eq!(said.code, 8);
    assert_eq!(
        said.out,
        "the audit log was tampered with at entry 5: hash does not match\n"
    );
}

#[test]
fn an_unfinished_reader_is_no_error() {
    let controller = small_fleet();
    let program = env!("CARGO_BIN_EXE_ctl");
    let status = std::process::Command::new("bash")
        .args([
            "-c",
            &format!("set -o pipefail; {program} audit list -o json | true"),
        ])
        .env("HOME", controller.home.path())
        .env_remove("XDG_CONFIG_HOME")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn events_are_asked_for_by_host_and_in_small_numbers() {
    let controller = small_fleet();
    controller.ok(&["host", "show", "web-1"]);
    controller.ok(&["container", "events"]);
    controller.ok(&["container", "events", "web-2", "-n", "200"]);
    assert_eq!(
        controller.script.requests("list_engine_events"),
        [
            r#"ListEngineEventsRequest { host: "web-1", limit: 10 }"#,
            r#"ListEngineEventsRequest { host: "", limit: 50 }"#,
            r#"ListEngineEventsRequest { host: "web-2", limit: 200 }"#,
        ]
    );
    controller
        .ctl(&["container", "events", "web-3"])
        .refused(3, &["there is no host web-3"]);
}
