//! Which volumes policies look at, what lies in them, and when one is gone.

use holdfast_proto::fleet::{
    Container, ContainerHealth, ContainerState, Instance, InstanceHealth, Mount,
};

use super::*;

fn named(name: &str) -> Volume {
    Volume {
        device: String::new(),
        name: name.to_owned(),
        driver: "local".to_owned(),
        labels: BTreeMap::from([(PROJECT_LABEL.to_owned(), "shop".to_owned())]),
        created_at: None,
        mountpoint: String::new(),
        anonymous: false,
        used_by: vec![],
    }
}

fn container(name: &str, volume: &str, destination: &str) -> Container {
    Container {
        config_hash: String::new(),
        working_directory: String::new(),
        restart_count: 0,
        id: name.to_owned(),
        name: name.to_owned(),
        image: String::new(),
        image_digest: String::new(),
        state: ContainerState::Running,
        health: ContainerHealth::None,
        project: String::new(),
        service: String::new(),
        ports: vec![],
        mounts: vec![Mount {
            host_path: String::new(),
            kind: MountKind::Volume,
            source: volume.to_owned(),
            destination: destination.to_owned(),
            read_only: false,
        }],
        created_at: None,
        started_at: None,
        exit_code: 0,
        labels: BTreeMap::new(),
    }
}

fn server(container: &str, data_directory: &str) -> Instance {
    let health = serde_json::json!({
        "version": "17", "version_num": 170_000, "system_identifier": "", "in_recovery": false, "started_at": null,
        "connections_used": 0, "connections_max": 0, "long_queries": [], "longest_query_seconds": 0.0,
        "archiver": {"on": false, "archived": 0, "failed": 0, "last_archived_at": null, "last_failed_at": null,
            "last_failed_wal": ""},
        "slots": [], "transaction_id_age": 0, "checksums_on": true, "checksum_failures": 0, "disk_total_bytes": 0,
        "disk_free_bytes": 0, "data_directory": data_directory, "databases": [],
    });
    let health: InstanceHealth = serde_json::from_value(health).unwrap();
    Instance {
        data: None,
        name: container.to_owned(),
        engine: Engine::Postgres,
        container: container.to_owned(),
        reached_by: String::new(),
        down_reason: String::new(),
        health: Some(health),
        registered: false,
    }
}

fn host(volumes: Vec<Volume>) -> HostFacts {
    HostFacts {
        name: "web-1".parse().unwrap(),
        connected: true,
        enrolled_at: None,
        last_seen_at: None,
        clock_ahead: chrono::TimeDelta::zero(),
        engine_error: String::new(),
        containers: vec![],
        volumes,
        instances: vec![],
    }
}

fn known(subject: Subject) -> Known {
    Known {
        subject,
        since: DateTime::UNIX_EPOCH,
    }
}

#[test]
fn volumes_that_people_named_are_looked_at_with_their_own_labels() {
    let anonymous = Volume {
        anonymous: true,
        ..named("0123")
    };
    let made = ["shop__swap_7", "holdfast-drill-9"].map(named);
    let host = host([vec![named("shop_uploads"), anonymous], made.to_vec()].concat());
    let found = subjects(&[host]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].database.to_string(), "web-1/shop_uploads");
    assert!(found[0].is_volume());
    assert_eq!((found[0].engine, found[0].project.as_str()), (None, "shop"));
    // Those look alike, and are people's.
    for name in ["shop__swap_", "holdfast-drill-x", "shop__restored_3"] {
        assert!(!looks_made(name), "{name}");
    }
}

#[test]
fn what_a_server_keeps_in_a_volume_is_remembered_when_the_server_is_gone() {
    let mut host = host(vec![named("pgdata"), named("wal")]);
    host.containers = vec![container("shop-db", "pgdata", "/var/lib/postgresql")];
    host.instances = vec![server("shop-db", "/var/lib/postgresql/data")];
    let found = subjects(std::slice::from_ref(&host));
    assert_eq!(found[0].holds, ["shop-db"]);
    assert_eq!(found[1].holds, [""; 0]);
    let all: Vec<_> = found.iter().cloned().map(known).collect();
    host.containers = vec![];
    host.instances = vec![];
    assert_eq!(
        roll_call(&all, std::slice::from_ref(&host)),
        RollCall::default()
    );
    // Nobody has known it before: nobody knows what is in it.
    let anew = roll_call(&[], &[host]);
    assert_eq!((anew.here.len(), anew.here[0].holds.len()), (2, 0));
}

#[test]
fn a_volume_is_gone_only_when_its_host_says_so() {
    let gone = |change: fn(&mut HostFacts)| {
        let uploads = subjects(&[host(vec![named("uploads")])]).remove(0);
        let mut host = host(vec![named("other")]);
        change(&mut host);
        !roll_call(&[known(uploads)], &[host]).gone.is_empty()
    };
    assert!(gone(|_| {}));
    assert!(!gone(|host| host.connected = false));
    assert!(!gone(
        |host| host.engine_error = "it does not answer".to_owned()
    ));
    // It has just connected, and told nothing yet.
    assert!(!gone(|host| host.volumes.clear()));
    assert!(!gone(|host| host.volumes.push(named("uploads"))));
}
