//! The observer against a real container engine and real servers.
//!
//! Needs Docker on its usual socket and the images `holdfast-test/postgres:15` and `:17`.

use std::time::Duration;

use crate::eventually::eventually;
use crate::observed::{
    EVENT, Observed, SERVER_START, Started, container, docker, down, engine, instance, up,
};
use holdfast_agent::container::exec;
use holdfast_proto::fleet::ContainerState;

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_found_reached_and_their_health_is_read() {
    let old = Started::run(
        "pg15",
        &["-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_USER=shop"],
        "holdfast-test/postgres:15",
        &[],
    );
    let new = Started::run(
        "pg17",
        &["-e", "POSTGRES_PASSWORD=secret"],
        "holdfast-test/postgres:17",
        &["postgres", "-c", "port=6543"],
    );
    let observed = Observed::start();
    for (name, major) in [(&old.0, 15), (&new.0, 17)] {
        let (found, _) = observed
            .until("the server is up", SERVER_START, |s| up(s, name))
            .await;
        let health = found.health.unwrap();
        assert_eq!(health.version_num / 10_000, major);
        assert!(
            found.reached_by.starts_with("socket "),
            "{}",
            found.reached_by
        );
        assert_eq!(found.container, *name);
        assert!(!health.system_identifier.is_empty() && !health.in_recovery);
        assert!(health.started_at.is_some() && health.connections_max >= 10);
        assert!(health.disk_total_bytes >= health.disk_free_bytes && health.disk_free_bytes > 0);
        let database = |name: &str| health.databases.iter().find(|d| d.name == name);
        assert!(database("postgres").unwrap().size_bytes > 1_000_000);
        let located = observed.instances.locate(name).unwrap();
        assert_eq!(located.data_directory, "/var/lib/postgresql/data");
        let client = located.route.connect("postgres").await.unwrap();
        let row = client.query_one("select current_user::text", &[]).await;
        let user: String = row.unwrap().get(0);
        assert_eq!(user, if major == 15 { "shop" } else { "postgres" });
    }
    let (snapshot, _) = observed
        .until("the volume of the container", EVENT, |s| {
            s.volumes
                .iter()
                .find(|v| v.used_by.contains(&old.0))
                .cloned()
        })
        .await;
    assert!(snapshot.anonymous && snapshot.mountpoint.ends_with("_data"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_a_container_is_reported_within_a_second() {
    let observed = Observed::start();
    observed
        .until("the first report", EVENT, |s| {
            s.container_engine.starts_with("docker ").then_some(())
        })
        .await;
    let sleeper = Started::run(
        "sleep",
        &["--entrypoint", "sleep"],
        "holdfast-test/postgres:15",
        &["600"],
    );
    let (seen, took) = observed
        .until("a started container", EVENT, |s| {
            container(s, &sleeper.0)
                .filter(|c| c.state == ContainerState::Running)
                .cloned()
        })
        .await;
    println!("docker run returned -> reported: {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(seen.image, "holdfast-test/postgres:15");
    assert!(seen.image_digest.starts_with("sha256:"));
    let snapshot = observed.reports.subscribe().borrow().clone().unwrap();
    assert!(instance(&snapshot, &sleeper.0).is_none(), "a mere tool");
    let events = std::sync::Mutex::new(Vec::new());
    eventually("the event of the start", async || {
        let mut events = events.lock().unwrap();
        events.extend(observed.reports.take_events());
        events
            .iter()
            .any(|e| e.action == "start" && e.subject == sleeper.0)
    })
    .await;
    let _ = docker(&["kill", &sleeper.0]);
    let (_, took) = observed
        .until("a killed container", EVENT, |s| {
            container(s, &sleeper.0)
                .filter(|c| c.exit_code == 137)
                .map(|_| ())
        })
        .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let _ = docker(&["rm", "-v", &sleeper.0]);
    let (_, took) = observed
        .until("a removed container", EVENT, |s| {
            container(s, &sleeper.0).is_none().then_some(())
        })
        .await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_why_and_comes_back_by_itself() {
    let server = Started::run(
        "stop",
        &["-e", "POSTGRES_PASSWORD=secret"],
        "holdfast-test/postgres:15",
        &[],
    );
    let name = &server.0;
    let observed = Observed::start();
    observed
        .until("the server is up", SERVER_START, |s| up(s, name))
        .await;
    let _ = docker(&["pause", name]);
    observed
        .until("paused", EVENT, |s| {
            down(s, name, "the container is paused")
        })
        .await;
    let _ = docker(&["unpause", name]);
    observed.until("up again", EVENT, |s| up(s, name)).await;
    let _ = docker(&["stop", "-t", "20", name]);
    observed
        .until("stopped", EVENT, |s| down(s, name, "exited with code"))
        .await;
    let refused = observed.instances.locate(name).unwrap_err();
    assert!(refused.retryable && refused.message.contains("exited with code"));
    let _ = docker(&["start", name]);
    let (back, took) = observed
        .until("started again", SERVER_START, |s| up(s, name))
        .await;
    println!("docker start returned -> up: {took:?}");
    assert!(back.health.is_some());
    assert!(observed.look_at(name).await.up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_tells_the_servers_last_words() {
    let server = Started::run(
        "crash",
        &["-e", "POSTGRES_PASSWORD=secret"],
        "holdfast-test/postgres:15",
        &["postgres", "-c", "shared_buffers=nonsense"],
    );
    let observed = Observed::start();
    let (instance, _) = observed
        .until("down with the reason", SERVER_START, |s| {
            down(s, &server.0, "exited with code")
        })
        .await;
    println!("{}", instance.down_reason);
    assert!(
        instance.down_reason.contains("shared_buffers"),
        "{instance:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_container_streams_and_tells_how_it_ended() {
    let home = Started::run(
        "exec",
        &["--entrypoint", "sleep"],
        "holdfast-test/postgres:15",
        &["600"],
    );
    let command = |words: &[&str]| exec::Command {
        container: home.0.clone(),
        command: words.iter().map(|w| (*w).to_owned()).collect(),
        user: "postgres".to_owned(),
        ..exec::Command::default()
    };
    let engine = engine();
    let input = vec![b'x'; 3_000_000];
    let words = ["sh", "-c", "cat; echo trouble >&2; exit 3"];
    let (output, ended) = engine
        .run(command(&words), &input, usize::MAX)
        .await
        .unwrap();
    assert_eq!(output.len(), input.len());
    assert_eq!((ended.code, ended.stderr.as_str()), (3, "trouble\n"));
    let (_, ended) = engine
        .run(command(&["no-such-program"]), b"", 100)
        .await
        .unwrap();
    assert!(matches!(ended.code, 126 | 127), "{ended:?}");
    let running = engine.exec(command(&["sleep", "4242"])).await.unwrap();
    let processes = || {
        let output = docker(&["top", &home.0, "-eo", "pid,args"]);
        String::from_utf8_lossy(&output.stdout).contains("sleep 4242")
    };
    eventually("the command runs", async || processes()).await;
    drop(running);
    eventually("the dropped command is killed", async || !processes()).await;
}
