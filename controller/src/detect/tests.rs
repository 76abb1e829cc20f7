//! Each detector: what it sees, what it does not, and from which limit on.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{
    check::{CheckLimits, CheckOutcome, CheckVerdict},
    fleet::{
        Archiver, Container, ContainerHealth, ContainerState, DataPlace, Engine, Instance,
        InstanceHealth, LongQuery, MariadbHealth, Mount, MountKind, ReplicationSlot,
        ReplicationSource, Volume,
    },
};

use super::{Facts, HostFacts, Ours, Seen, Severity, look};
use crate::{
    check::{Check, CheckRun, CheckState},
    job::{JobState, JobSummary},
};

mod places;

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn health() -> InstanceHealth {
    InstanceHealth {
        version: "17.6".to_owned(),
        version_num: 170_006,
        system_identifier: "7".to_owned(),
        in_recovery: false,
        started_at: Some(now()),
        connections_used: 5,
        connections_max: 100,
        long_queries: vec![],
        longest_query_seconds: 0.0,
        archiver: Archiver::default(),
        slots: vec![],
        transaction_id_age: 1000,
        checksums_on: true,
        checksum_failures: 0,
        disk_total_bytes: 1000 << 20,
        disk_free_bytes: 900 << 20,
        data_directory: "/var/lib/postgresql/data".to_owned(),
        databases: vec![],
        mariadb: None,
        untold: vec![],
    }
}

fn mount(source: &str, destination: &str) -> Mount {
    Mount {
        kind: MountKind::Volume,
        source: source.to_owned(),
        destination: destination.to_owned(),
        read_only: false,
        host_path: format!("/volumes/{source}"),
    }
}

fn volume(name: &str, anonymous: bool) -> Volume {
    Volume {
        name: name.to_owned(),
        driver: "local".to_owned(),
        labels: [].into(),
        created_at: None,
        mountpoint: String::new(),
        anonymous,
        used_by: vec![],
        device: String::new(),
    }
}

/// An instance that answers, and has no databases.
pub fn healthy(name: &str) -> Instance {
    Instance {
        name: name.to_owned(),
        engine: Engine::Postgres,
        container: name.to_owned(),
        reached_by: "socket".to_owned(),
        down_reason: String::new(),
        health: Some(health()),
        registered: false,
        data: Some(place("/volumes/shop_data")),
    }
}

fn place(host_path: &str) -> DataPlace {
    DataPlace {
        path: "/var/lib/postgresql/data".to_owned(),
        host_path: host_path.to_owned(),
        ..DataPlace::default()
    }
}

/// One healthy host with one healthy database on a named volume.
pub fn facts() -> Facts {
    let container = Container {
        id: "c1".to_owned(),
        name: "shop-db".to_owned(),
        image: "postgres:17".to_owned(),
        image_digest: String::new(),
        state: ContainerState::Running,
        health: ContainerHealth::None,
        project: "shop".to_owned(),
        service: "db".to_owned(),
        ports: vec![],
        mounts: vec![mount("shop_data", "/var/lib/postgresql/data")],
        created_at: None,
        started_at: None,
        exit_code: 0,
        labels: BTreeMap::new(),
        config_hash: String::new(),
        working_directory: String::new(),
        restart_count: 0,
    };
    let instance = healthy("shop-db");
    Facts {
        hosts: vec![HostFacts {
            name: "web-1".parse().unwrap(),
            connected: true,
            enrolled_at: Some(now() - TimeDelta::days(1)),
            last_seen_at: Some(now()),
            clock_ahead: chrono::TimeDelta::zero(),
            engine_error: String::new(),
            containers: vec![container],
            volumes: vec![volume("shop_data", false)],
            instances: vec![instance],
        }],
        checks: vec![],
        jobs: vec![],
        prunings: vec![],
        protection: vec![],
        whole_hosts: vec![],
        stores: vec![],
        triages: vec![],
        ours: Ours::default(),
    }
}

fn seen(change: impl FnOnce(&mut Facts)) -> Vec<Seen> {
    let mut facts = facts();
    change(&mut facts);
    look(&Facts::default(), &facts, now())
}

fn of_health(change: impl FnOnce(&mut InstanceHealth)) -> Vec<Seen> {
    seen(|facts| change(facts.hosts[0].instances[0].health.as_mut().unwrap()))
}

#[track_caller]
fn one(found: &[Seen], kind: &str, severity: Severity, says: &str) {
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].kind.name, found[0].severity),
        (kind, severity),
        "{found:?}"
    );
    assert!(found[0].message.contains(says), "{found:?}");
}

use Severity::{Critical, Warning};

#[test]
fn a_healthy_fleet_has_no_finding() {
    assert_eq!(seen(|_| {}), []);
}

#[test]
fn hosts_fall_silent() {
    let silent_for = |seconds| {
        seen(|facts| {
            facts.hosts[0].connected = false;
            facts.hosts[0].last_seen_at = Some(now() - TimeDelta::seconds(seconds));
        })
    };
    assert_eq!(silent_for(45), []);
    one(
        &silent_for(46),
        "host-silent",
        Critical,
        "web-1 was last heard of",
    );
    let never = seen(|facts| {
        facts.hosts[0].connected = false;
        facts.hosts[0].last_seen_at = None;
    });
    one(&never, "host-silent", Warning, "never connected");
    let unreachable = seen(|facts| facts.hosts[0].engine_error = "no socket".to_owned());
    one(&unreachable, "engine-unreachable", Warning, "no socket");
}

#[test]
fn instances_go_down() {
    let down = seen(|facts| {
        facts.hosts[0].instances[0].health = None;
        facts.hosts[0].instances[0].down_reason = "connection refused".to_owned();
    });
    one(
        &down,
        "instance-down",
        Critical,
        "web-1/shop-db does not answer: connection refused",
    );
    assert!(down[0].advice.contains("docker logs shop-db"));
}

/// The server does not answer, and its container was started so long ago.
fn down_since(reason: &str, started: TimeDelta, state: ContainerState) -> Vec<Seen> {
    seen(|facts| {
        let host = &mut facts.hosts[0];
        host.instances[0].health = None;
        reason.clone_into(&mut host.instances[0].down_reason);
        host.containers[0].started_at = Some(now() - started);
        host.containers[0].created_at = Some(now() - started);
        host.containers[0].state = state;
    })
}

#[test]
fn a_server_that_is_just_starting_up_is_not_down() {
    use ContainerState::{Created, Exited, Restarting, Running};
    let (seconds, minutes) = (TimeDelta::seconds, TimeDelta::minutes);
    let starting = "the database system is starting up";
    assert_eq!(down_since(starting, seconds(29), Running), []);
    assert_eq!(down_since("connection refused", seconds(29), Running), []);
    // The host's clock is ahead of ours.
    assert_eq!(down_since(starting, seconds(-10), Running), []);

    let late = down_since(starting, seconds(30), Running);
    one(&late, "instance-down", Warning, "is starting up");
    let later = down_since(starting, minutes(10), Running);
    one(&later, "instance-down", Critical, "is starting up");
    let refused = down_since("connection refused", seconds(30), Running);
    one(&refused, "instance-down", Critical, "connection refused");
    // One that dies again and again was always started a moment ago.
    let dying = down_since("connection refused", seconds(1), Restarting);
    one(&dying, "instance-down", Critical, "connection refused");
    // Compose makes it a moment before it starts it.
    assert_eq!(down_since("never started", seconds(29), Created), []);
    let made = down_since("never started", seconds(30), Created);
    one(&made, "instance-down", Critical, "never started");
    let ended = down_since("exited", seconds(1), Exited);
    one(&ended, "instance-down", Critical, "exited");
    // Outside of containers nobody knows since when.
    let bare = seen(|facts| {
        let host = &mut facts.hosts[0];
        host.containers.clear();
        host.instances[0].health = None;
        host.instances[0].container.clear();
        starting.clone_into(&mut host.instances[0].down_reason);
    });
    one(&bare, "instance-down", Warning, "is starting up");
}

#[test]
fn disks_fill() {
    let free = |mebibytes: u64| of_health(|health| health.disk_free_bytes = mebibytes << 20);
    assert_eq!(free(201), []);
    one(
        &free(200),
        "disk-filling",
        Warning,
        "80 % full, 200 MiB are left",
    );
    one(&free(101), "disk-filling", Warning, "89 % full");
    one(&free(100), "disk-filling", Critical, "90 % full");
    // Nobody sees the disk of a registered instance.
    let unseen = of_health(|health| (health.disk_total_bytes, health.disk_free_bytes) = (0, 0));
    assert_eq!(unseen, []);
}

#[test]
fn servers_get_into_trouble() {
    let slow = of_health(|health| {
        health.long_queries.push(LongQuery {
            pid: 42,
            database: "shop".to_owned(),
            user: "app".to_owned(),
            seconds: 301.0,
            statement: "select 1".to_owned(),
        });
    });
    one(&slow, "long-queries", Warning, "select 1");
    assert_eq!(
        of_health(|health| health.transaction_id_age = 499_999_999),
        []
    );
    let old = of_health(|health| health.transaction_id_age = 500_000_000);
    one(&old, "transaction-id-age", Warning, "500 million");
    let old = of_health(|health| health.transaction_id_age = 1_500_000_000);
    one(&old, "transaction-id-age", Critical, "1500 million");
    assert_eq!(of_health(|health| health.connections_used = 79), []);
    let full = of_health(|health| health.connections_used = 80);
    one(&full, "connections-near-max", Warning, "80 of 100");
    let full = of_health(|health| health.connections_used = 95);
    one(&full, "connections-near-max", Critical, "95 of 100");
    let damaged = of_health(|health| health.checksum_failures = 1);
    one(&damaged, "checksum-failures", Critical, "1 damaged pages");
}

#[test]
fn damage_that_grows_is_told_apart() {
    let (mut before, mut after) = (facts(), facts());
    for (facts, failures) in [(&mut before, 1), (&mut after, 2)] {
        let instance = &mut facts.hosts[0].instances[0];
        instance.health.as_mut().unwrap().checksum_failures = failures;
    }
    let message = &look(&before, &after, now())[0].message;
    assert!(message.contains("goes on"), "{message}");
    let message = &look(&after, &after, now())[0].message;
    assert!(!message.contains("goes on"), "{message}");
}

#[test]
fn archiving_fails() {
    let archiver = |failed: Option<i64>, archived: Option<i64>, on| {
        let minutes_ago = |minutes| now() - TimeDelta::minutes(minutes);
        of_health(|health| {
            health.archiver = Archiver {
                on,
                last_failed_at: failed.map(minutes_ago),
                last_archived_at: archived.map(minutes_ago),
                last_failed_wal: "0000000100000001".to_owned(),
                ..Archiver::default()
            };
        })
    };
    assert_eq!(archiver(None, None, true), []);
    assert_eq!(archiver(Some(9), Some(8), true), []);
    assert_eq!(archiver(Some(1), None, false), []);
    one(
        &archiver(Some(1), Some(10), true),
        "archiver-failing",
        Warning,
        "cannot archive",
    );
    one(
        &archiver(Some(1), Some(16), true),
        "archiver-failing",
        Critical,
        "cannot archive",
    );
    one(
        &archiver(Some(1), None, true),
        "archiver-failing",
        Critical,
        "nothing has been archived",
    );
}

#[test]
fn slots_keep_wal() {
    let slot = |name: &str, lag_bytes| ReplicationSlot {
        name: name.to_owned(),
        kind: "logical".to_owned(),
        active: false,
        lag_bytes,
    };
    let lagging = |lag_bytes, free| {
        of_health(|health| {
            health.disk_total_bytes = 100 << 30;
            health.disk_free_bytes = free;
            health.slots = vec![slot("cdc", lag_bytes), slot("idle", 0)];
        })
    };
    assert_eq!(lagging((1 << 30) - 1, 50 << 30), []);
    one(&lagging(1 << 30, 50 << 30), "slot-lag", Warning, "cdc");
    one(&lagging(10 << 30, 50 << 30), "slot-lag", Critical, "cdc");
    assert_eq!(lagging(30 << 30, 25 << 30)[0].severity, Critical);
    let two = of_health(|health| health.slots = vec![slot("a", 2 << 30), slot("b", 2 << 30)]);
    assert_ne!(two[0].key, two[1].key);
}

fn check_state(verdict: CheckVerdict, at: DateTime<Utc>) -> CheckState {
    CheckState {
        check: Check {
            id: 3,
            database: "web-1/shop-db/shop".parse().unwrap(),
            name: "users".to_owned(),
            count_sql: String::new(),
            newest_sql: String::new(),
            limits: CheckLimits::default(),
            every: Duration::from_mins(1),
            timeout: Duration::from_secs(1),
        },
        last: Some(CheckRun {
            outcome: CheckOutcome {
                at,
                count: Some(1),
                newest: None,
                error: String::new(),
            },
            verdict,
            reasons: vec!["users 14 → 1".to_owned()],
        }),
    }
}

#[test]
fn a_check_that_does_not_run_any_more_is_not_green() {
    let since = |minutes| {
        let mut facts = facts();
        let at = now() - TimeDelta::minutes(minutes);
        facts.checks.push(check_state(CheckVerdict::Ok, at));
        facts
    };
    let twice = |facts: &Facts| look(facts, facts, now());
    assert_eq!(twice(&since(4)), []);
    one(
        &twice(&since(5)),
        "check-could-not-run",
        Warning,
        "its last run was 5 min ago",
    );
    // Its host has just come back, and brings what it could not report.
    assert_eq!(look(&Facts::default(), &since(5), now()), []);
}

#[test]
fn checks_are_not_ok() {
    let with = |verdict| seen(|facts| facts.checks.push(check_state(verdict, now())));
    assert_eq!(with(CheckVerdict::Ok), []);
    one(
        &with(CheckVerdict::Suspicious),
        "check-suspicious",
        Critical,
        "users 14 → 1",
    );
    one(
        &with(CheckVerdict::CouldNotRun),
        "check-could-not-run",
        Warning,
        "users",
    );
}

#[test]
fn jobs_get_stuck() {
    let stuck = seen(|facts| {
        facts.jobs.push(JobSummary {
            id: 7,
            kind: "copy-database".to_owned(),
            state: JobState::Stuck,
            title: "a → b".to_owned(),
            requested_by: "operator/alice".to_owned(),
            created_at: now(),
            started_at: None,
            ended_at: None,
            step: "stage".to_owned(),
            step_number: 2,
            step_count: 5,
            reason: "web-2 refuses".to_owned(),
            advice: String::new(),
            trace_id: String::new(),
            undo_until: None,
        });
    });
    one(&stuck, "job-stuck", Critical, "web-2 refuses");
}

#[test]
fn incident_5_data_on_a_volume_without_a_name() {
    let anonymous = seen(|facts| facts.hosts[0].volumes[0].anonymous = true);
    one(
        &anonymous,
        "anonymous-volume",
        Critical,
        "on the anonymous volume shop_data",
    );
    let advice = &anonymous[0].advice;
    assert!(
        advice.contains("- db_data:/var/lib/postgresql/data"),
        "{advice}"
    );

    let layer = seen(|facts| facts.hosts[0].containers[0].mounts.clear());
    one(
        &layer,
        "container-layer",
        Critical,
        "in the container itself",
    );

    // postgres:18 moved its data: the named volume stays empty beside them.
    let beside = seen(|facts| {
        let host = &mut facts.hosts[0];
        let health = host.instances[0].health.as_mut().unwrap();
        health.data_directory = "/var/lib/postgresql/18/docker".to_owned();
        host.containers[0].mounts = vec![
            mount("shop_data", "/var/lib/postgresql/data"),
            mount("0123456789abcdef", "/var/lib/postgresql"),
        ];
        host.volumes.push(volume("0123456789abcdef", true));
    });
    one(
        &beside,
        "beside-volume",
        Critical,
        "the volume shop_data is mounted at /var/lib/postgresql/data",
    );

    let bound = seen(|facts| facts.hosts[0].containers[0].mounts[0].kind = MountKind::Bind);
    assert_eq!(bound, []);
    let bare = seen(|facts| {
        facts.hosts[0].instances[0].container.clear();
        facts.hosts[0].containers.clear();
    });
    assert_eq!(bare, []);
}

#[test]
fn keys_stay_while_numbers_change() {
    let one = of_health(|health| health.disk_free_bytes = 150 << 20);
    let other = of_health(|health| health.disk_free_bytes = 50 << 20);
    assert_eq!(one[0].key, other[0].key);
    assert_ne!(one[0].message, other[0].message);
}

#[test]
fn a_clock_is_wrong() {
    let ahead = |seconds| seen(|facts| facts.hosts[0].clock_ahead = TimeDelta::seconds(seconds));
    assert_eq!(ahead(29), []);
    one(
        &ahead(30),
        "clock-skew",
        Warning,
        "half a minute or more ahead of",
    );
    one(&ahead(-299), "clock-skew", Warning, "4 min behind");
    one(&ahead(300), "clock-skew", Critical, "5 min ahead of");
    let away = seen(|facts| {
        facts.hosts[0].clock_ahead = TimeDelta::hours(1);
        facts.hosts[0].connected = false;
    });
    assert_eq!(away, [], "what was heard last says nothing of now");
}

#[test]
fn replication_stops() {
    let of = |receiving, applying, lag| {
        seen(|facts| {
            let health = facts.hosts[0].instances[0].health.as_mut().unwrap();
            health.mariadb = Some(MariadbHealth {
                sources: vec![ReplicationSource {
                    name: String::new(),
                    address: "db-1:3306".to_owned(),
                    receiving,
                    applying,
                    lag_seconds: lag,
                    last_error: "duplicate entry".to_owned(),
                }],
                ..MariadbHealth::default()
            });
        })
    };
    assert_eq!(of(true, true, Some(599)), []);
    one(
        &of(true, true, Some(600)),
        "replication-stopped",
        Warning,
        "lags",
    );
    one(
        &of(false, true, None),
        "replication-stopped",
        Critical,
        "fetches nothing",
    );
    one(
        &of(true, false, None),
        "replication-stopped",
        Critical,
        "applies nothing",
    );
}
