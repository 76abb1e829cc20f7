//! The commands of the incidents are refused and change nothing, whatever the way; ordinary life passes.

use std::{fs, time::Duration};

use e2e::{
    eventually::eventually,
    fleet::Fleet,
    host::{Host, succeed},
    postgres::{Version, run_postgres, wait_for_postgres},
};
use serde_json::{Value, json};

use super::{DATA, OF_COMPOSE, VOLUME, docker, guarded_shop, refused, said, users};

/// A call of the API as it is: status and body.
fn call(host: &Host, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
    let mut command = host.command("curl");
    command.args([
        "-sS",
        "-m",
        "60",
        "--path-as-is",
        "-w",
        "\n%{http_code}",
        "-X",
        method,
    ]);
    command.args(["--unix-socket", "/var/run/docker.sock"]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    if let Some(body) = body {
        fs::write(file.path(), body).expect("a body");
        command.args(["-H", "Content-Type: application/json", "--data-binary"]);
        command.arg(format!("@{}", file.path().display()));
    }
    command.arg(format!("http://docker{path}"));
    let text = succeed(command);
    let (body, status) = text.trim_end().rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

#[test]
fn the_commands_of_the_incidents_are_refused_and_change_nothing() {
    let (mut fleet, guard) = guarded_shop();
    let host = fleet.host("web-1");
    assert_eq!(
        guard.status(host)["guards"],
        true,
        "{:#}",
        guard.status(host)
    );
    second_mounts(host);
    bodies(host);
    lost_volumes(host);
    ordinary_life(host);
    two_at_once(host);
    pruned(host);
    let told = guard.status(host);
    let refusals = told["refusals"].as_array().expect("refusals");
    assert!(refusals.iter().any(|one| one["rule"] == "loss"), "{told:#}");

    // The agent is dead: the guard goes on with what it knows.
    fleet.member_mut("web-1").agent.kill_9();
    let host = fleet.host("web-1");
    refused(host, &["volume", "rm", VOLUME]);
    host.docker(&["start", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    refused(
        host,
        &[
            "run",
            "--rm",
            "-v",
            &format!("{VOLUME}:/x"),
            Version::V15.image(),
            "true",
        ],
    );
    host.docker(&["restart", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    assert_eq!(users(host), "14");

    // Another agent tells what was refused meanwhile too, each once.
    fleet.member_mut("web-1").restart_agent();
    told_to_the_controller(&fleet);
    let host = fleet.host("web-1");
    let told = guard.ok(host, &["uninstall"]);
    assert!(told.contains("Docker does not ask the guard"), "{told}");
    host.docker(&[
        "run",
        "--rm",
        "-v",
        &format!("{VOLUME}:/x:ro"),
        Version::V15.image(),
        "true",
    ]);
}

fn told_to_the_controller(fleet: &Fleet) {
    let journal = fleet.dir().join("web-1/state/guard/refusals.jsonl");
    let journal = fs::read_to_string(journal).expect("the journal");
    eventually(Duration::from_secs(60), "every refusal is told", || {
        let told = fleet
            .ctl
            .json(&["guard", "refusals", "web-1", "-n", "1000"]);
        let all = told["refusals"].as_array().cloned().unwrap_or_default();
        match all.len() == journal.lines().count() {
            true => Ok(()),
            false => Err(told),
        }
    });
    let lines = fleet.ctl.ok(&["guard", "refusals", "-n", "1"]);
    assert!(lines.contains(VOLUME), "{lines}");
}

/// Incident 1, and its variations.
fn second_mounts(host: &Host) {
    let image = Version::V15.image();
    let by_name = format!("{VOLUME}:{DATA}");
    let run = [
        "run",
        "-d",
        "--name",
        "copy",
        "-e",
        "POSTGRES_PASSWORD=x",
        "-v",
    ];
    let args: Vec<_> = run
        .into_iter()
        .chain([&*by_name, image, "postgres"])
        .collect();
    let text = refused(host, &args);
    for part in [
        "volume shop-db-data holds database shop and container shop-db runs on it",
        "ctl copy database web-1/shop-db/shop HOST/INSTANCE/NEW_NAME",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!host.docker(&["ps", "-a"]).contains("copy"));
    let path = host.docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", VOLUME]);
    let path = path.trim();
    let folder = path.trim_end_matches("/_data");
    for mount in [
        by_name.clone(),
        format!("{path}:/x"),
        format!("{path}/base:/x"),
        format!("{folder}/../{VOLUME}/_data:/x"),
        format!("{folder}:/x"),
        format!("/var/lib/docker:{DATA}"),
    ] {
        // It hangs for ever when its start is refused instead of its create.
        refused(host, &["run", "--rm", "-v", &mount, image, "postgres"]);
    }
    refused(
        host,
        &["run", "--rm", "--volumes-from", "shop-db", image, "true"],
    );
    let device = format!("device={path}");
    let alias = [
        "volume",
        "create",
        "-d",
        "local",
        "-o",
        "type=none",
        "-o",
        "o=bind",
        "-o",
    ];
    let alias: Vec<_> = alias.into_iter().chain([&*device, "alias"]).collect();
    refused(host, &alias);
    let read_only = format!("{VOLUME}:/x:ro");
    let read = [
        "run",
        "--rm",
        "-v",
        &read_only,
        "--entrypoint",
        "cat",
        image,
        "/x/PG_VERSION",
    ];
    assert_eq!(host.docker(&read).trim(), "15");
    // The engine takes named ones as well; the database is in use.
    host.docker(&["volume", "prune", "-f"]);
    assert_eq!(users(host), "14");
}

/// What a client can do to the call itself.
fn bodies(host: &Host) {
    let image = Version::V15.image();
    let bind = format!("{VOLUME}:/x");
    let plain = json!({"Image": image, "HostConfig": {"Binds": [bind]}}).to_string();
    let other_case = json!({"image": image, "hostCONFIG": {"bindS": [bind]}}).to_string();
    let beside = json!({"Image": image, "Binds": [bind]}).to_string();
    let twice = format!(
        r#"{{"Image":"{image}","HostConfig":{{"Binds":[]}},"hostconfig":{{"Binds":["{bind}"]}}}}"#
    );
    let subpath =
        json!({"Image": image, "HostConfig": {"Mounts": [{"Type": "volume", "Source": VOLUME,
        "Target": "/x", "VolumeOptions": {"Subpath": "base"}}]}})
        .to_string();
    let large = json!({"Image": image, "HostConfig": {"Binds": [bind]},
        "Env": [format!("X={}", "x".repeat(1_300_000))]})
    .to_string();
    for (what, path, body) in [
        ("plain", "/containers/create?name=copy", &plain),
        (
            "other case",
            "/v1.41/containers/create?name=copy",
            &other_case,
        ),
        ("beside", "/v1.41/containers/create?name=copy", &beside),
        ("twice", "/v1.41/containers/create?name=copy", &twice),
        ("sub-path", "/v1.41/containers/create?name=copy", &subpath),
        ("encoded", "/v1.41/%63ontainers/cre%61te?name=copy", &plain),
        ("large", "/v1.41/containers/create?name=copy", &large),
    ] {
        let (status, text) = call(host, "POST", path, Some(body));
        assert_eq!(status, 403, "{what}: {text}");
    }
    let removal = format!("/v1.41/volumes/%73{}?force=1", &VOLUME[1..]);
    assert_eq!(call(host, "DELETE", &removal, None).0, 403);
    let impostor = call(
        host,
        "POST",
        "/v1.41/plugins/pull?remote=x/y&name=holdfast",
        None,
    );
    assert_eq!(impostor.0, 403, "{}", impostor.1);
    assert!(!host.docker(&["ps", "-a"]).contains("copy"));
}

/// Incident 5, while containers are there.
fn lost_volumes(host: &Host) {
    let text = refused(host, &["volume", "rm", VOLUME]);
    let sentence = "volume shop-db-data holds database shop, no proven backup of shop is known; run: ctl backup create \
                    web-1/shop-db/shop && ctl drill run web-1/shop-db/shop, or to let it go: ctl guard allow \
                    web-1/shop-db-data --for 10m --reason WHY";
    assert!(text.contains(sentence), "{text}");
    refused(host, &["volume", "rm", "-f", VOLUME]);
    let mount = format!("type=volume,dst={DATA}");
    let anonymous = ["--mount", &mount, "-v", "unused:/unused"];
    run_postgres(host, "anon", Version::V15, &anonymous, &[]);
    let mounts = host.docker(&["inspect", "-f", "{{json .Mounts}}", "anon"]);
    let mounts: Value = serde_json::from_str(&mounts).expect("JSON");
    let mounts = mounts.as_array().expect("mounts").iter();
    let mut volumes = mounts.filter(|mount| mount["Destination"] == DATA);
    let volume = volumes.next().expect("its volume")["Name"]
        .as_str()
        .expect("a name");
    // It is in use: Docker itself says so, as long as the guard does not.
    let text = eventually(
        Duration::from_secs(60),
        "the anonymous database in the facts",
        || {
            let (code, text) = docker(host, 60, &["volume", "rm", volume]);
            if code != 0 && text.contains("plugin holdfast") {
                Ok(text)
            } else {
                Err(text)
            }
        },
    );
    assert!(text.contains("ctl backup create"), "{text}");
    let text = refused(host, &["rm", "-f", "-v", "anon"]);
    assert!(text.contains("goes with container anon"), "{text}");
    wait_for_postgres(host, "anon");
    host.docker(&["rm", "-f", "anon"]);
    host.docker(&["volume", "rm", "unused"]);
}

/// Compose replaces the container of a service: the next is made while the last runs.
fn ordinary_life(host: &Host) {
    host.docker(&["restart", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    let mount = format!("{VOLUME}:{DATA}");
    let image = Version::V15.image();
    let make = |name: &'static str, more: &'static [&'static str]| -> Vec<&str> {
        let create = [
            "create",
            "--name",
            name,
            "-e",
            "POSTGRES_PASSWORD=secret",
            "-v",
            &mount,
        ];
        let labels = OF_COMPOSE.into_iter().chain(more.iter().copied());
        create
            .into_iter()
            .chain(labels)
            .chain([image, "postgres"])
            .collect()
    };
    refused(
        host,
        &make("once", &["--label", "com.docker.compose.oneoff=True"]),
    );
    refused(
        host,
        &make(
            "second",
            &["--label", "com.docker.compose.container-number=2"],
        ),
    );
    host.docker(&make("next", &[]));
    refused(host, &["start", "next"]);
    host.docker(&["stop", "shop-db"]);
    host.docker(&["rm", "shop-db"]);
    host.docker(&["rename", "next", "shop-db"]);
    host.docker(&["start", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    assert_eq!(users(host), "14");
}

fn two_at_once(host: &Host) {
    host.docker(&["stop", "shop-db"]);
    let mount = format!("{VOLUME}:{DATA}");
    for name in ["one", "two"] {
        host.docker(&[
            "create",
            "--name",
            name,
            "-v",
            &mount,
            Version::V15.image(),
            "postgres",
        ]);
    }
    let starts = ["one", "two"].map(|name| {
        let mut start = host.command("timeout");
        start.args(["60", "docker", "start", name]);
        std::thread::spawn(move || said(start))
    });
    let codes = starts.map(|start| start.join().expect("a thread").0);
    assert!(
        codes.contains(&0) && codes.iter().any(|code| *code != 0),
        "{codes:?}"
    );
    host.docker(&["rm", "-f", "one", "two"]);
    host.docker(&["start", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    assert_eq!(users(host), "14");
}

/// What `compose down` and pruning come to.
fn pruned(host: &Host) {
    host.docker(&["stop", "shop-db"]);
    let make = [
        "create",
        "--name",
        "again",
        "-e",
        "POSTGRES_PASSWORD=secret",
    ];
    host.docker(&["rm", "shop-db"]);
    let text = refused(host, &["volume", "prune", "-f"]);
    assert!(
        text.contains("is used by no container and would go"),
        "{text}"
    );
    refused(host, &["system", "prune", "-f", "--volumes"]);
    refused(host, &["volume", "rm", VOLUME]);
    assert!(host.docker(&["volume", "ls", "-q"]).contains(VOLUME));
    let mount = format!("{VOLUME}:{DATA}");
    let rest = ["-v", &mount, Version::V15.image(), "postgres"];
    let args: Vec<_> = make.into_iter().chain(rest).collect();
    host.docker(&args);
    host.docker(&["rename", "again", "shop-db"]);
}
