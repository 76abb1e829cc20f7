//! One filled example of every view, for the golden texts and for the test of the docs.

use std::collections::BTreeMap;

use holdfast_chassis::identity::Role;
use holdfast_proto::{
    check::CheckVerdict,
    fleet::{ContainerHealth, ContainerState, Engine, MountKind},
};

use super::{
    account::{OperatorAccount, OperatorList},
    audit::{AuditEntry, AuditList, AuditVerdict},
    check::{Check, CheckHistory, CheckList, CheckRun, CheckSet, Limits, Outcome},
    container::{Container, ContainerList, Mount, Port},
    context::{ContextList, ContextRow},
    database::{DatabaseFacts, DatabaseList},
    event::{EngineEvent, EventList},
    finding::{Evidence, Finding, FindingList, Severity},
    host::{Host, HostDetail, HostList, RemovedHost},
    instance::{
        AddedInstance, Archiver, Health, Instance, InstanceDetail, InstanceList, LongQuery,
        MariadbFacts, ReplicationSource, Slot, Untold,
    },
    status::{Counted, Status, Summary},
    volume::{ProtectedBy, Volume, VolumeList, VolumeSize},
};
use crate::output::testing::at;

pub(crate) mod backup;
pub(crate) mod compose;
pub(crate) mod data_store;
pub(crate) mod drill;
mod every;
pub(crate) mod guard;
pub(crate) mod incident;
mod job;
mod merge;
pub(crate) mod policy;
mod restore;
pub(crate) mod runbook;

pub(crate) use every::every;
use job::job;
pub(crate) use job::{aftermath, job_detail, job_event, job_list, proof, pruned};
pub(crate) use merge::merged;
pub(crate) use restore::restored;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

fn text(of: &str) -> String {
    of.to_owned()
}

fn host(name: &str, connected: bool, seen: Option<&str>) -> Host {
    let known = |value: &str| {
        if seen.is_some() {
            text(value)
        } else {
            String::new()
        }
    };
    Host {
        name: text(name),
        connected,
        enrolled_at: Some(at("2026-11-01T12:00:00Z")),
        last_seen_at: seen.map(at),
        agent_version: known("0.1.0"),
        operating_system: known("Debian GNU/Linux 12"),
        container_engine: known("Docker 28.5.2"),
        engine_error: String::new(),
        cpus: 2,
        memory_bytes: 8 * GIB,
        agent_rss_bytes: if seen.is_some() { 19 * MIB } else { 0 },
        certificate_expires_at: Some(at("2026-12-20T11:00:00Z")),
        peer_addresses: vec![text("10.77.0.1:7444")],
    }
}

pub(crate) fn host_list() -> HostList {
    HostList {
        hosts: vec![
            host("web-1", true, Some("2026-11-20T11:59:58Z")),
            host("web-2", false, Some("2026-11-20T11:51:00Z")),
            host("web-3", false, None),
        ],
    }
}

pub(crate) fn host_detail() -> HostDetail {
    HostDetail {
        host: host("web-1", true, Some("2026-11-20T11:59:58Z")),
        instances: vec![up_instance()],
        containers: container_list().containers,
        findings: finding_list().findings,
        events: event_list().events,
    }
}

pub(crate) fn event_list() -> EventList {
    let event = |when: &str, action: &str| EngineEvent {
        host: text("web-1"),
        at: at(when),
        kind: text("container"),
        action: text(action),
        subject: text("shop-db"),
    };
    EventList {
        events: vec![
            event("2026-11-20T11:59:30Z", "start"),
            event("2026-11-20T11:59:00Z", "die"),
        ],
    }
}

pub(crate) fn removed_host() -> RemovedHost {
    RemovedHost {
        name: text("web-1"),
        revoked_certificates: 2,
        was_connected: true,
    }
}

pub(crate) fn container_list() -> ContainerList {
    let shop = Container {
        host: text("web-1"),
        id: "ab".repeat(32),
        name: text("shop-db"),
        image: text("postgres:15"),
        image_digest: text("sha256:00"),
        state: ContainerState::Running,
        health: ContainerHealth::Healthy,
        project: text("shop"),
        service: text("db"),
        ports: ["0.0.0.0", "::"]
            .map(|host_ip| Port {
                container_port: 5432,
                protocol: text("tcp"),
                host_ip: text(host_ip),
                host_port: 5433,
            })
            .to_vec(),
        mounts: vec![Mount {
            kind: MountKind::Volume,
            source: text("shop_data"),
            destination: text("/var/lib/postgresql/data"),
            read_only: false,
        }],
        created_at: Some(at("2026-11-01T12:00:00Z")),
        started_at: Some(at("2026-11-20T10:00:00Z")),
        exit_code: 0,
    };
    let job = Container {
        name: text("job"),
        image: text("busybox"),
        state: ContainerState::Exited,
        health: ContainerHealth::None,
        project: String::new(),
        ports: Vec::new(),
        mounts: Vec::new(),
        started_at: Some(at("2026-11-17T10:00:00Z")),
        exit_code: 1,
        ..shop.clone()
    };
    ContainerList {
        containers: vec![shop, job],
    }
}

pub(crate) fn volume_list() -> VolumeList {
    let volume = |name: &str, used_by: &[&str], created: Option<&str>| Volume {
        host: text("web-1"),
        name: text(name),
        driver: text("local"),
        labels: BTreeMap::new(),
        created_at: created.map(at),
        mountpoint: format!("/var/lib/docker/volumes/{name}/_data"),
        anonymous: created.is_none(),
        used_by: used_by.iter().map(|name| text(name)).collect(),
        protected_by: if created.is_some() {
            ProtectedBy::Databases
        } else {
            ProtectedBy::NotAsked
        },
        policy: String::new(),
        holds: used_by.iter().map(|name| text(name)).collect(),
        last_backup_at: None,
    };
    let uploads = Volume {
        protected_by: ProtectedBy::Policy,
        policy: text("files"),
        holds: vec![],
        last_backup_at: Some(at("2026-11-20T02:11:00Z")),
        ..volume("uploads", &["web"], Some("2026-11-01T12:00:00Z"))
    };
    let mail = Volume {
        protected_by: ProtectedBy::Nobody,
        ..volume("mail", &[], Some("2026-11-01T12:00:00Z"))
    };
    VolumeList {
        volumes: vec![
            volume("shop_data", &["shop-db"], Some("2026-11-01T12:00:00Z")),
            uploads,
            mail,
            volume(&"ab".repeat(32), &[], None),
        ],
    }
}

pub(crate) fn volume_size() -> VolumeSize {
    VolumeSize {
        host: text("web-1"),
        volume: text("shop_data"),
        bytes: 340 * MIB,
        files: 1214,
    }
}

fn health() -> Health {
    let database = |name: &str, is_template, size_bytes| DatabaseFacts {
        name: text(name),
        owner: text("shop"),
        size_bytes,
        encoding: text("UTF8"),
        collation: text("C.UTF-8"),
        allows_connections: true,
        is_template,
    };
    Health {
        version: text("15.20 (Debian 15.20-1)"),
        version_num: 150_020,
        system_identifier: text("7412345678901234567"),
        in_recovery: false,
        started_at: Some(at("2026-11-20T10:00:00Z")),
        connections_used: 7,
        connections_max: 100,
        long_queries: vec![LongQuery {
            pid: 4711,
            database: text("shop"),
            user: text("report"),
            seconds: 900.0,
            statement: text("select *\n from orders"),
        }],
        longest_query_seconds: 900.0,
        archiver: Some(Archiver {
            on: true,
            archived: 12,
            failed: 1,
            last_archived_at: Some(at("2026-11-20T11:50:00Z")),
            last_failed_at: Some(at("2026-11-20T11:00:00Z")),
            last_failed_wal: text("0000000100000000000000A1"),
        }),
        slots: Some(vec![Slot {
            name: text("standby_1"),
            kind: text("physical"),
            active: false,
            lag_bytes: 3 * GIB,
        }]),
        transaction_id_age: Some(1_234_567),
        checksums_on: Some(true),
        checksum_failures: Some(0),
        disk_total_bytes: 100 * GIB,
        disk_free_bytes: 9 * GIB,
        data_directory: text("/var/lib/postgresql/data"),
        databases: vec![
            database("shop", false, 340 * MIB),
            database("template1", true, 0),
        ],
        mariadb: None,
        untold: Vec::new(),
    }
}

fn mariadb_health() -> Health {
    let mut health = health();
    health.databases.truncate(1);
    health.databases[0].name = text("blog");
    health.databases[0].owner.clear();
    Health {
        version: text("11.8.6-MariaDB-0+deb13u1 from Debian"),
        version_num: 110_806,
        archiver: None,
        slots: None,
        transaction_id_age: None,
        checksums_on: None,
        checksum_failures: None,
        mariadb: Some(MariadbFacts {
            read_only: true,
            binary_log_on: true,
            sources: vec![ReplicationSource {
                name: text("backup"),
                address: text("db-2:3306"),
                receiving: false,
                applying: true,
                lag_seconds: None,
                last_error: text("error connecting"),
            }],
        }),
        untold: vec![Untold {
            part: text("running statements"),
            reason: text("no PROCESS"),
        }],
        ..health
    }
}

fn up_instance() -> Instance {
    Instance {
        host: text("web-1"),
        name: text("shop-db"),
        engine: Engine::Postgres,
        up: true,
        down_reason: String::new(),
        container: text("shop-db"),
        reached_by: text("socket /run/postgresql"),
        registered: false,
        reported_at: Some(at("2026-11-20T11:59:58Z")),
        health: Some(health()),
    }
}

pub(crate) fn instance_list() -> InstanceList {
    let down = Instance {
        host: text("web-2"),
        name: text("crm-db"),
        up: false,
        down_reason: text("the server refuses: starting up"),
        health: None,
        ..up_instance()
    };
    let mariadb = Instance {
        host: text("web-3"),
        name: text("blog-db"),
        engine: Engine::Mariadb,
        container: text("blog-db"),
        health: Some(mariadb_health()),
        ..up_instance()
    };
    InstanceList {
        instances: vec![up_instance(), down, mariadb],
    }
}

pub(crate) fn instance_detail() -> InstanceDetail {
    InstanceDetail {
        instance: up_instance(),
    }
}

pub(crate) fn added_instance() -> AddedInstance {
    AddedInstance {
        host: text("web-1"),
        name: text("legacy"),
        up: false,
        down_reason: text("password authentication failed"),
        password_hint: text("/var/lib/holdfast-agent/passwords/legacy on web-1"),
    }
}

pub(crate) fn database_list() -> DatabaseList {
    DatabaseList::of(&instance_list().instances, false)
}

pub(crate) fn finding_list() -> FindingList {
    let finding = |id,
                   (code, kind): (&str, &str),
                   severity,
                   subject: &str,
                   message: &str,
                   advice: &str,
                   opened: &str| {
        Finding {
            id,
            code: text(code),
            kind: text(kind),
            severity,
            subject: text(subject),
            message: text(message),
            evidence: vec![Evidence {
                what: text("since"),
                value: text("yesterday"),
            }],
            advice: text(advice),
            opened_at: Some(at(opened)),
            closed_at: None,
            incident: None,
        }
    };
    FindingList::sorted(vec![
        finding(
            1,
            ("HF0401", "host-silent"),
            Severity::Warning,
            "web-2",
            "no sign of life",
            "systemctl status holdfast-agent",
            "2026-11-20T11:51:00Z",
        ),
        finding(
            2,
            ("HF0403", "disk-filling"),
            Severity::Critical,
            "web-1/shop-db",
            "disk is 91 % full",
            "ctl volume list web-1",
            "2026-11-20T11:57:00Z",
        ),
    ])
}

fn outcome(count: Option<i64>) -> Outcome {
    Outcome {
        at: Some(at("2026-11-20T11:59:55Z")),
        count,
        newest: count.map(|_| at("2026-11-20T10:59:00Z")),
        error: if count.is_none() {
            text("connection refused")
        } else {
            String::new()
        },
    }
}

fn run(verdict: CheckVerdict, count: Option<i64>, reasons: &[&str]) -> CheckRun {
    CheckRun {
        verdict,
        reasons: reasons.iter().map(|reason| text(reason)).collect(),
        outcome: outcome(count),
    }
}

fn check(name: &str, last: Option<CheckRun>) -> Check {
    let limits = match last {
        Some(_) => Limits {
            min: Some(100),
            max: Some(9000),
            max_drop_percent: Some(10.0),
            max_age_seconds: Some(604_800),
        },
        None => Limits {
            min: None,
            max: None,
            max_drop_percent: None,
            max_age_seconds: None,
        },
    };
    Check {
        id: 7,
        database: text("web-1/shop-db/shop"),
        name: text(name),
        count_sql: text("select count(*) from users"),
        newest_sql: text("select max(created_at) from users"),
        limits,
        every_seconds: 60,
        timeout_seconds: 10,
        last,
    }
}

fn suspicious() -> CheckRun {
    run(CheckVerdict::Suspicious, Some(12), &["12 fewer than 100"])
}

pub(crate) fn check_list() -> CheckList {
    CheckList {
        checks: vec![check("users", Some(suspicious())), check("carts", None)],
    }
}

pub(crate) fn check_set() -> CheckSet {
    CheckSet {
        check: check("users", Some(suspicious())),
        replaced: true,
    }
}

pub(crate) fn check_history() -> CheckHistory {
    CheckHistory {
        check: check("users", Some(suspicious())),
        runs: vec![
            suspicious(),
            run(CheckVerdict::Ok, Some(5000), &[]),
            run(CheckVerdict::CouldNotRun, None, &[]),
            run(CheckVerdict::Ok, Some(4000), &[]),
        ],
    }
}

pub(crate) fn operator_list() -> OperatorList {
    let operator = |name: &str, role, expires: Option<&str>| OperatorAccount {
        name: text(name),
        role,
        certificate_expires_at: expires.map(at),
    };
    OperatorList {
        operators: vec![
            operator("alice", Role::Admin, Some("2026-12-20T11:00:00Z")),
            operator("bob", Role::Viewer, Some("2026-11-20T11:00:00Z")),
            operator("carol", Role::Operator, None),
        ],
    }
}

pub(crate) fn audit_list() -> AuditList {
    let entry = |sequence,
                 time: &str,
                 actor: &str,
                 action: &str,
                 subject: &str,
                 outcome: &str,
                 detail: &str| {
        AuditEntry {
            sequence,
            at: Some(at(time)),
            actor: text(actor),
            action: text(action),
            subject: text(subject),
            outcome: text(outcome),
            detail: text(detail),
            hash: "0".repeat(64),
        }
    };
    AuditList {
        entries: vec![
            entry(
                8,
                "2026-11-20T11:59:00Z",
                "10.0.0.7:51234",
                "tls.refused",
                "",
                "refused",
                "certificate is revoked",
            ),
            entry(
                7,
                "2026-11-20T11:58:00Z",
                "operator/alice",
                "host.enrol",
                "web-3",
                "ok",
                "",
            ),
        ],
    }
}

pub(crate) fn audit_verdict() -> AuditVerdict {
    AuditVerdict {
        whole: false,
        entries: 8,
        first_broken_sequence: Some(5),
        problem: text("hash does not match"),
    }
}

pub(crate) fn context_list() -> ContextList {
    let prod = ContextRow {
        name: text("prod"),
        current: true,
        controller: text("10.0.0.1:7443"),
        operator: text("alice"),
        role: text("admin"),
        certificate_expires_at: Some(at("2026-12-20T11:00:00Z")),
    };
    let lab = ContextRow {
        name: text("lab"),
        current: false,
        controller: text("lab:7443"),
        operator: String::new(),
        role: String::new(),
        certificate_expires_at: None,
    };
    ContextList {
        contexts: vec![prod, lab],
    }
}

pub(crate) fn status() -> Status {
    let hosts = host_list().hosts;
    let instances = instance_list().instances;
    let findings = finding_list().findings;
    let jobs = vec![job_list().jobs[0].clone()];
    let counted = Counted {
        containers: 2,
        volumes: 2,
        databases: 1,
        unprotected: 0,
        unprotected_by_choice: 0,
        volumes_without_policy: 0,
    };
    Status {
        summary: Summary::of(&hosts, &instances, &findings, &jobs, counted),
        hosts,
        instances,
        findings,
        jobs,
        now: Some(at("2026-11-20T12:00:00Z")),
    }
}
