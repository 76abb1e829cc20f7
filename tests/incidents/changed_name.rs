//! Incident 4: the same compose file from a renamed directory. Nobody saw it for eleven hours.

use std::{
    fs,
    path::{Path, PathBuf},
};

use e2e::{
    fleet::Fleet,
    host::{Engine, Host, succeed},
    postgres::{Version, psql, wait_for_postgres},
};

use super::{found, kind_of_one_incident, over, resolved, run_with_hands, wait_for_count};

/// A file without a name of its own.
const COMPOSE: &str = "
version: '3'
services:
  db:
    image: holdfast-test/postgres:15
    environment: {POSTGRES_PASSWORD: secret}
    volumes: ['data:/var/lib/postgresql/data']
volumes:
  data:
";

const FLEET: &str = "
policies:
  - name: shops
    select: {name: postgres}
    checks: [{name: users, count: select count(*) from users, every: 5s}]
";

/// The tool that is at home with the engine.
fn compose(fleet: &Fleet, directory: &Path, args: &[&str]) {
    let host = fleet.host("web-1");
    let mut command = host.command(tool(host));
    // It looks for its file where it is run.
    command
        .arg("-f")
        .arg(directory.join("compose.yml"))
        .args(args);
    succeed(command);
}

fn tool(host: &Host) -> &'static str {
    match host.engine() {
        Engine::Docker => "docker-compose",
        Engine::Podman => "podman-compose",
    }
}

fn users(fleet: &Fleet, container: &str, count: u32) {
    let host = fleet.host("web-1");
    wait_for_postgres(host, container);
    let sql = format!(
        "create table users (id int primary key, email text);
         insert into users select n, 'user' || n || '@example.org' from generate_series(1, {count}) n"
    );
    psql(host, container, "postgres", &sql);
}

fn directory(fleet: &Fleet, name: &str) -> PathBuf {
    fleet.dir().join(name)
}

fn replay(fleet: &Fleet) {
    let before = directory(fleet, "meaningful");
    fs::create_dir_all(&before).expect("a directory");
    fs::write(before.join("compose.yml"), COMPOSE).expect("a file");
    let file = fleet.dir().join("fleet.yaml");
    fs::write(&file, FLEET).expect("a file");
    let file = file.to_str().expect("UTF-8");
    fleet.ctl.ok(&["apply", "-f", file, "--yes"]);
    compose(fleet, &before, &["up", "-d"]);
    users(fleet, "meaningful_db_1", 14);
    fleet.wait_instance("web-1/meaningful_db_1");
    let history = ["instance", "history", "web-1/meaningful_db_1"];
    wait_for_count(fleet, "web-1/meaningful_db_1/postgres", 14);

    compose(fleet, &before, &["down"]);
    let after = directory(fleet, "manualmode");
    fs::rename(&before, &after).expect("renamed");
    compose(fleet, &after, &["up", "-d"]);
    let finding = found(
        fleet,
        "identity-swapped",
        "volume meaningful_data → manualmode_data",
    );
    assert_eq!(finding["severity"], "critical");
    assert_eq!(finding["subject"], "web-1/manualmode_db_1");
    let evidence = finding["evidence"].to_string();
    assert!(
        evidence.contains("meaningful_data is still there"),
        "{evidence}"
    );

    // The application's migrations, and the one who registered.
    users(fleet, "manualmode_db_1", 1);
    found(fleet, "identity-swapped", "postgres users 14 → 1");
    let incident = one_incident(fleet);
    let lines = fleet
        .ctl
        .ok(&["instance", "history", "web-1/manualmode_db_1"]);
    assert!(
        lines.contains("swapped") && lines.contains("first seen"),
        "{lines}"
    );
    let lines = fleet
        .ctl
        .ok(&["volume", "history", "web-1/meaningful_data"]);
    assert!(
        lines.contains("meaningful_data → manualmode_data"),
        "{lines}"
    );

    // Back to the old directory: everything is as it was, and nobody has to say so.
    compose(fleet, &after, &["down"]);
    fs::rename(&after, &before).expect("renamed");
    compose(fleet, &before, &["up", "-d"]);
    over(fleet, "identity-swapped");
    let lines = fleet.ctl.ok(&history);
    assert!(lines.contains("returned"), "{lines}");
    told(fleet, &incident);
    let counted = psql(
        fleet.host("web-1"),
        "meaningful_db_1",
        "postgres",
        "select count(*) from users",
    );
    assert_eq!(counted, "14");
}

/// The swap and the missing users are one thing to see to.
fn one_incident(fleet: &Fleet) -> String {
    let id = kind_of_one_incident(fleet, "identity-swapped");
    fleet.ctl.ok(&["incident", "assign", &id]);
    fleet
        .ctl
        .ok(&["incident", "note", &id, "the directory was renamed"]);
    id
}

/// Nobody has to remember what happened.
fn told(fleet: &Fleet, incident: &str) {
    resolved(fleet, incident);
    let cause = "compose took the name from the directory";
    fleet
        .ctl
        .ok(&["incident", "close", incident, "--cause", cause]);
    let lines = fleet.ctl.ok(&["incident", "timeline", incident]);
    for words in [
        "swapped: volume meaningful_data → manualmode_data",
        "critical identity-swapped",
        "the directory was renamed",
        "identity-swapped of web-1/manualmode_db_1 is over",
    ] {
        assert!(lines.contains(words), "{words}: {lines}");
    }
    let report = fleet.ctl.ok(&["incident", "report", incident]);
    for words in ["users 14 → 1", cause, "ctl compose check FILE --patch"] {
        assert!(report.contains(words), "{words}: {report}");
    }
}

/// What `ctl compose check` would have said before, and the same day with its patch.
fn mended(fleet: &Fleet) {
    let before = directory(fleet, "meaningful");
    fs::create_dir_all(&before).expect("a directory");
    fs::write(before.join("compose.yml"), COMPOSE).expect("a file");
    let check = |more: &[&str]| {
        let mut ctl = fleet.ctl.command();
        ctl.current_dir(&before)
            .args(["compose", "check", "compose.yml"])
            .args(more);
        ctl.output().expect("ctl runs")
    };
    let told = check(&[]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(8), "{text}");
    assert!(
        text.contains("[no-fixed-name]") && text.contains("[volume-not-external]"),
        "{text}"
    );

    compose(fleet, &before, &["up", "-d"]);
    users(fleet, "meaningful_db_1", 14);
    compose(fleet, &before, &["down"]);
    // These tools know no `name:` in the file.
    fs::write(before.join(".env"), "COMPOSE_PROJECT_NAME=meaningful\n").expect("a file");
    let patch = before.join("patch");
    fs::write(&patch, check(&["--patch"]).stdout).expect("a patch");
    let mut apply = std::process::Command::new("patch");
    apply.current_dir(&before).arg("-p0").arg("-i").arg(&patch);
    succeed(apply);
    assert_eq!(check(&[]).status.code(), Some(0));

    let after = directory(fleet, "manualmode");
    fs::rename(&before, &after).expect("renamed");
    compose(fleet, &after, &["up", "-d"]);
    let host = fleet.host("web-1");
    wait_for_postgres(host, "meaningful_db_1");
    let counted = psql(
        host,
        "meaningful_db_1",
        "postgres",
        "select count(*) from users",
    );
    assert_eq!(counted, "14");
    // The end of it does not take the data along.
    compose(fleet, &after, &["down", "-v"]);
    let volumes = host.docker(&["volume", "ls", "-q"]);
    assert!(
        volumes.lines().any(|name| name == "meaningful_data"),
        "{volumes}"
    );
}

/// The whole of it: what was there, and who registered meanwhile.
fn brought_back(fleet: &Fleet) {
    let before = directory(fleet, "meaningful");
    fs::create_dir_all(&before).expect("a directory");
    fs::write(before.join("compose.yml"), COMPOSE).expect("a file");
    compose(fleet, &before, &["up", "-d"]);
    users(fleet, "meaningful_db_1", 14);
    fleet.wait_instance("web-1/meaningful_db_1");
    compose(fleet, &before, &["down"]);
    let after = directory(fleet, "manualmode");
    fs::rename(&before, &after).expect("renamed");
    compose(fleet, &after, &["up", "-d"]);
    found(
        fleet,
        "identity-swapped",
        "meaningful_data → manualmode_data",
    );
    let host = fleet.host("web-1");
    wait_for_postgres(host, "manualmode_db_1");
    psql(
        host,
        "manualmode_db_1",
        "postgres",
        "create table users (id int primary key, email text);
         insert into users values (100, 'new@example.org')",
    );
    fleet.wait_instance("web-1/manualmode_db_1");
    let incident = one_incident(fleet);
    let plan = fleet.ctl.ok(&["incident", "run", &incident, "--dry-run"]);
    let command = "docker compose -p manualmode down && docker compose -p meaningful up -d";
    for words in ["ctl backup create web-1/manualmode_db_1/postgres", command] {
        assert!(plan.contains(words), "{words}: {plan}");
    }

    let (said, code) = run_with_hands(
        fleet,
        &[&incident, "--yes"],
        "the server to come up",
        || {
            compose(fleet, &after, &["-p", "manualmode", "down"]);
            compose(fleet, &after, &["-p", "meaningful", "up", "-d"]);
        },
    );
    assert_eq!(code, Some(0), "{said}");
    let counted = psql(
        host,
        "meaningful_db_1",
        "postgres",
        "select count(*), count(*) filter (where email = 'new@example.org') from users",
    );
    assert_eq!(counted, "15|1");
}

#[test]
fn docker_compose_from_a_renamed_directory_is_a_swap_with_users_14_to_1() {
    replay(&Fleet::start(1));
}

#[test]
fn one_runbook_later_everybody_is_there_and_so_is_the_new_one() {
    brought_back(&Fleet::start(1));
}

#[test]
fn a_file_that_was_checked_and_patched_keeps_its_14_users_from_a_renamed_directory() {
    mended(&Fleet::start(1));
}

#[test]
fn so_is_podman_compose() {
    let mut fleet = Fleet::start(0);
    let host = Host::start_with(Engine::Podman);
    host.load(Version::V15.archive());
    fleet.enrol("web-1", host);
    replay(&fleet);
}
