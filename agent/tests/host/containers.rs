//! What a report says of containers and volumes, against what the engine says.
//!
//! Needs Docker on its usual socket and the image `holdfast-test/postgres:15`.

use std::collections::BTreeMap;

use crate::observed::{EVENT, Observed, Started, container, docker, said};
use crate::support::context;
use chrono::{DateTime, Utc};
use holdfast_agent::{observe::instances::Instances, task::perform};
use holdfast_proto::{
    fleet::{Container, ContainerHealth, ContainerState, Mount, MountKind, PortBinding},
    task::{FailureKind, MeasureVolume, TaskResult, TaskSpec},
};

const IMAGE: &str = "holdfast-test/postgres:15";

/// A named volume of this test, removed at the end.
struct Named(String);

impl Named {
    fn create(word: &str, options: &[&str]) -> Self {
        let name = format!("observe-{word}-{}", std::process::id());
        let _ = docker(&["volume", "rm", "-f", &name]);
        said(&[&["volume", "create"], options, &[name.as_str()]].concat());
        Self(name)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = docker(&["volume", "rm", "-f", &self.0]);
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_and_its_volume_are_reported_as_the_engine_has_them() {
    let begun = Utc::now();
    let volume = Named::create("labelled", &["--label", "team=shop", "--label", "bare"]);
    let mounted = format!("{}:/srv/data:ro", volume.0);
    let options: [&[&str]; 10] = [
        &["--label", "com.docker.compose.project=shop"],
        &["--label", "com.docker.compose.service=db"],
        &["--health-cmd", "test -e /tmp/well"],
        &["--health-interval", "1s"],
        &["--health-retries", "1"],
        &["--mount", "type=tmpfs,destination=/scratch"],
        &["-v", mounted.as_str()],
        &["-p", "127.0.0.1::5432"],
        &["-p", "127.0.0.1::9187/udp"],
        &["--entrypoint", "sleep"],
    ];
    let observed = Observed::start();
    let started = Started::run("fields", &options.concat(), IMAGE, &["600"]);
    let of_health = async |health: ContainerHealth| -> Container {
        let shown = observed.until("its health", EVENT, |snapshot| {
            container(snapshot, &started.0)
                .filter(|c| c.health == health)
                .cloned()
        });
        shown.await.0
    };
    let seen = of_health(ContainerHealth::Unhealthy).await;
    assert_eq!(
        (seen.project.as_str(), seen.service.as_str()),
        ("shop", "db")
    );
    assert_eq!(seen.id, started.inspect("{{.Id}}"));
    assert_eq!(seen.image, IMAGE);
    assert_eq!(seen.image_digest, started.inspect("{{.Image}}"));
    assert_eq!((seen.state, seen.exit_code), (ContainerState::Running, 0));
    assert_eq!(
        seen.created_at,
        Some(time(&started.inspect("{{.Created}}")))
    );
    let at = started.inspect("{{.State.StartedAt}}");
    assert_eq!(seen.started_at, Some(time(&at)));

    let published = |port: &str| -> u16 {
        let address = said(&["port", &started.0, port]);
        let (ip, port) = address.rsplit_once(':').expect("an address");
        assert_eq!(ip, "127.0.0.1");
        port.parse().expect("a port")
    };
    let port = |container_port: u16, protocol: &str| PortBinding {
        container_port,
        protocol: protocol.to_owned(),
        host_ip: "127.0.0.1".to_owned(),
        host_port: published(&format!("{container_port}/{protocol}")),
    };
    assert_eq!(seen.ports, [port(5432, "tcp"), port(9187, "udp")]);

    let mut mounts = seen.mounts.clone();
    let data = mounts
        .iter()
        .position(|m| m.destination == "/var/lib/postgresql/data");
    let anonymous = mounts.remove(data.expect("the image's own volume"));
    assert_eq!(
        (anonymous.kind, anonymous.read_only),
        (MountKind::Volume, false)
    );
    assert_eq!(
        mounts,
        [
            Mount {
                kind: MountKind::Tmpfs,
                source: String::new(),
                destination: "/scratch".to_owned(),
                read_only: false,
                host_path: String::new(),
            },
            Mount {
                kind: MountKind::Volume,
                source: volume.0.clone(),
                destination: "/srv/data".to_owned(),
                read_only: true,
                host_path: said(&["volume", "inspect", "-f", "{{.Mountpoint}}", &volume.0]),
            }
        ]
    );

    started.exec(&["touch", "/tmp/well"]);
    of_health(ContainerHealth::Healthy).await;

    let find = |name: &str| {
        let snapshot = observed.reports.subscribe().borrow().clone();
        let volumes = snapshot.expect("a report").volumes.clone();
        volumes
            .into_iter()
            .find(|v| v.name == name)
            .expect("reported")
    };
    let shown = find(&volume.0);
    let engine = |format: &str| said(&["volume", "inspect", "-f", format, &volume.0]);
    assert_eq!(shown.driver, "local");
    assert_eq!(
        shown.labels,
        BTreeMap::from([("bare", ""), ("team", "shop")].map(|(k, v)| (k.to_owned(), v.to_owned())))
    );
    assert_eq!(shown.mountpoint, engine("{{.Mountpoint}}"));
    let created = shown.created_at.expect("a time");
    assert_eq!(created, time(&engine("{{.CreatedAt}}")));
    assert!((created - begun).num_seconds().abs() < 60, "{created}");
    assert!(!shown.anonymous);
    assert_eq!(shown.used_by, std::slice::from_ref(&started.0));
    let own = find(&anonymous.source);
    assert!(own.anonymous, "{own:?}");
    assert_eq!(own.used_by, std::slice::from_ref(&started.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_measured_by_what_its_files_take_on_disk() {
    let volume = Named::create("measured", &[]);
    let mounted = format!("{}:/srv/data", volume.0);
    // Ten megabytes under two names, and a file that is long and takes nothing.
    let fill = "mkdir /srv/data/deep && cd /srv/data/deep &&
        head -c 10485760 /dev/urandom >ten && ln ten again && truncate -s 1G hollow";
    said(&[
        "run",
        "--rm",
        "-v",
        &mounted,
        "--entrypoint",
        "sh",
        IMAGE,
        "-c",
        fill,
    ]);
    let state = tempfile::tempdir().unwrap();
    let context = context(Instances::default(), state.path());
    let measure = async |name: &str| {
        let spec = MeasureVolume {
            volume: name.to_owned(),
        };
        perform(TaskSpec::MeasureVolume(spec), &context).await
    };
    let TaskResult::MeasuredVolume(measured) = measure(&volume.0).await.unwrap() else {
        panic!("another task's result")
    };
    assert_eq!(measured.files, 2);
    let ten = 10_485_760;
    assert!(
        (ten..ten + 100_000).contains(&measured.bytes),
        "{measured:?}"
    );

    let missing = measure("no-such-volume").await.unwrap_err();
    assert_eq!(missing.kind, FailureKind::Invalid, "{missing:?}");
    assert!(missing.message.contains("no-such-volume"), "{missing:?}");
}
